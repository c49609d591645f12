"""Synthetic data: made from a law that is known, so that a model can be judged against it."""

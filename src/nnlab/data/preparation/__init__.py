"""Preparation: small steps from the examples as published to those that are trained on."""

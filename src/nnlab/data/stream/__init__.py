"""Data that are larger than memory: files read a window at a time, ahead of the training."""

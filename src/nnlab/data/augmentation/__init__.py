"""Augmentation: each batch is changed at random before it is trained on, never when measured."""

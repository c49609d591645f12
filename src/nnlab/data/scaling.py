"""Scaling of features: fitted on the training part, applied to every part."""

from collections.abc import Callable, Mapping

import numpy as np

from nnlab.core.arrays import Array

Scaler = Callable[[Array], Array]


def unscaled(train: Array) -> Scaler:
    """x as it is."""
    return lambda x: x


def unit(train: Array) -> Scaler:
    """(x - min) / (max - min), with one minimum and one maximum for all features: images."""
    low, high = train.min(), train.max()
    return lambda x: (x - low) / ((high - low) or 1.0)


def standard(train: Array) -> Scaler:
    """(x - mean) / standard deviation, feature by feature; a constant feature becomes 0."""
    constant = train.min(axis=0) == train.max(axis=0)  # their deviation may be rounded to 1e-17
    mean = np.where(constant, train[0], train.mean(axis=0))
    deviation = np.where(constant, 1.0, train.std(axis=0))
    return lambda x: (x - mean) / deviation


SCALINGS: Mapping[str, Callable[[Array], Scaler]] = {
    "none": unscaled,
    "unit": unit,
    "standard": standard,
}

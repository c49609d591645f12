"""What the mathematics is written on: array types and work arrays that are allocated once."""

from collections.abc import Hashable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array: TypeAlias = NDArray[Any]
"""An array of floats (or of integer labels). Leading axes are free: see `Hyper`."""

Hyper: TypeAlias = float | Array
"""A hyperparameter: a number, or a `(K, 1)` array holding one number for each of K models."""

State: TypeAlias = dict[str, Array]
"""What changes during a run, as plain named arrays: it can be saved, compared and restored."""


class Workspace:
    """Work arrays by name and shape, allocated at the first request and reused ever after.

    What an array holds between two requests for it is undefined.

    >>> work = Workspace()
    >>> work.get("sum", (2,), np.float64) is work.get("sum", (2,), np.float64)
    True
    """

    def __init__(self) -> None:
        self._arrays: dict[tuple[Hashable, tuple[int, ...], Any], Array] = {}

    def get(self, name: Hashable, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """The array of that name, shape and dtype."""
        key = (name, shape, dtype)
        array = self._arrays.get(key)
        if array is None:
            array = self._arrays[key] = np.empty(shape, dtype)
        return array


def as_coefficient(number: Hyper, theta: Array) -> Hyper:
    """`number`, ready to be multiplied with `theta` without widening its dtype.

    A Python number adopts the dtype of the array it meets; a `(K, 1)` array is rounded to it
    here, so that one model in a stack of K sees the same bits as it would alone.
    """
    return number.astype(theta.dtype) if isinstance(number, np.ndarray) else float(number)


def per_model(number: Hyper) -> Hyper:
    """A hyperparameter aligned with one value per model: `(K, 1)` becomes `(K,)`."""
    return number[..., 0] if isinstance(number, np.ndarray) else number

"""What the mathematics is written on: array types and work arrays that are allocated once."""

from collections.abc import Callable, Hashable
from operator import is_not
from typing import Any, TypeAlias, TypeVar, cast
from weakref import proxy

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array: TypeAlias = NDArray[Any]
"""An array of floats (or of integer labels). Leading axes are free: see `Hyper`."""

Hyper: TypeAlias = float | Array
"""A hyperparameter: a number, or a `(K, 1)` array holding one number for each of K models."""

State: TypeAlias = dict[str, Array]
"""What changes during a run, as plain named arrays: it can be saved, compared and restored."""


T = TypeVar("T")


class Workspace:
    """Work arrays by name and shape, allocated at the first request and reused ever after.

    What an array holds between two requests for it is undefined.

    >>> work = Workspace()
    >>> work.get("sum", (2,), np.float64) is work.get("sum", (2,), np.float64)
    True
    """

    def __init__(self) -> None:
        self._arrays: dict[tuple[Hashable, tuple[int, ...], Any], Array] = {}
        self._bound: dict[Hashable, tuple[tuple[object, ...], Any]] = {}

    def get(self, name: Hashable, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """The array of that name, shape and dtype."""
        key = (name, shape, dtype)
        array = self._arrays.get(key)
        if array is None:
            array = self._arrays[key] = np.empty(shape, dtype)
        return array

    def zeros(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """Zeros that nobody writes to."""
        return self._constant(0, shape, dtype)

    def ones(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """Ones that nobody writes to."""
        return self._constant(1, shape, dtype)

    def _constant(self, number: int, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        key = (("constant", number), shape, dtype)
        array = self._arrays.get(key)
        if array is None:
            array = self._arrays[key] = np.full(shape, number, dtype)
            array.flags.writeable = False
        return array

    def bound(self, name: Hashable, make: Callable[..., T], *to: object) -> T:
        """`make(*to, proxy(self))`, for instance functions that have the arrays they work on.

        It is made anew whenever one of `to` is another object than it was under that name, so that
        nothing bound to an array outlives its use. What is made may keep the workspace it is given:
        that is a weak one, so that arrays go with the last who uses them, not with the garbage.
        """
        held = self._bound.get(name)
        if held is None or any(map(is_not, held[0], to)):
            held = self._bound[name] = (to, make(*to, proxy(self)))
        return cast(T, held[1])


def as_coefficient(number: Hyper, theta: Array) -> Hyper:
    """`number`, ready to be multiplied with `theta` without widening its dtype.

    A Python number adopts the dtype of the array it meets; a `(K, 1)` array is rounded to it
    here, so that one model in a stack of K sees the same bits as it would alone.
    """
    return number.astype(theta.dtype) if isinstance(number, np.ndarray) else float(number)


def per_model(number: Hyper) -> Hyper:
    """A hyperparameter aligned with one value per model: `(K, 1)` becomes `(K,)`."""
    return number[..., 0] if isinstance(number, np.ndarray) else number

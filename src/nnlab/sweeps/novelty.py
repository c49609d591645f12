"""Novelty: which points of a space are new, so that none is tried twice."""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

import numpy as np

from nnlab.sweeps import points
from nnlab.sweeps.points import Values
from nnlab.sweeps.space import Space

_GUESSES = 1000
"""Points looked at for a new one where they are too many to be listed."""


class Novelty:
    """The points of a space that were there, and those that are not allowed."""

    def __init__(self, space: Space, allowed: Callable[[Mapping[str, Any]], bool]) -> None:
        self._space, self._allowed = space, allowed
        self._size = points.size(space)
        self._seen: set[str] = set()

    @property
    def exhausted(self) -> bool:
        """Is no point left?"""
        return len(self._seen) >= self._size

    def add(self, values: Mapping[str, Any]) -> None:
        """The point is there now."""
        self._seen.add(points.key(values))

    def new(self, values: Mapping[str, Any]) -> bool:
        """Was the point not there yet, and is it allowed? Remembers what is not."""
        key = points.key(values)
        if key in self._seen:
            return False
        if not self._allowed(values):
            self._seen.add(key)
            return False
        return True

    def first(self, several: Iterable[Values]) -> Values | None:
        """The first new one of several points, of as many as are worth a look."""
        some = islice(several, _GUESSES + 2 * len(self._seen))
        return next((values for values in some if self.new(values)), None)

    def any(self, rng: np.random.Generator) -> Values | None:
        """A new point at random; None where none is left, or in a large space none was found."""
        if self._size <= _GUESSES + 2 * len(self._seen):
            rest = [values for values in points.every(self._space) if self.new(values)]
            return rest[rng.integers(len(rest))] if rest else None
        many = (rng.random(len(self._space)).tolist() for _ in range(_GUESSES))
        return self.first(points.at(self._space, quantiles) for quantiles in many)

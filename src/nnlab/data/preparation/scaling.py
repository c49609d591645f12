"""Scaling of features: fitted on the training part, applied to every part."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError
from nnlab.data.preparation.step import Step
from nnlab.data.view import Transform, View


@dataclass(frozen=True)
class Affine:
    """(x - shift) / scale, elementwise."""

    shift: Array
    scale: Array

    cheap: ClassVar[bool] = True

    @property
    def arrays(self) -> dict[str, Array]:
        return {"shift": self.shift, "scale": self.scale}

    def __call__(self, x: Array) -> Array:
        prepared = x.copy()
        self.over(prepared)
        return prepared

    def over(self, x: Array) -> None:
        """The same, written over x."""
        if self._shifts:
            x -= self.shift.astype(x.dtype)
        x /= self.scale.astype(x.dtype)

    @cached_property
    def _shifts(self) -> bool:
        return bool(self.shift.any())


@dataclass(frozen=True)
class Unit:
    """(x - min) / (max - min), with one minimum and one maximum for all features: images."""

    name: ClassVar[str] = "unit"

    def fit(self, train: View, rng: np.random.Generator) -> Transform:
        bounds = [(float(x.min()), float(x.max())) for x in train.blocks()]
        low, high = min(one[0] for one in bounds), max(one[1] for one in bounds)
        return Affine(np.array(low), np.array((high - low) or 1.0))


@dataclass(frozen=True)
class Standard:
    """(x - mean) / standard deviation, feature by feature; a constant feature becomes 0.

    Means and squares of the blocks are combined as in Chan, Golub & LeVeque 1979, "Updating
    formulae and a pairwise algorithm for computing sample variances", in float64.
    """

    name: ClassVar[str] = "standard"

    def fit(self, train: View, rng: np.random.Generator) -> Transform:
        mean, deviation = moments(train)
        bad = np.flatnonzero(~((deviation > 0) & (deviation < np.inf)).ravel())
        if len(bad) and np.isfinite(mean).all():
            raise LawError(
                "`every feature has a deviation that float64 can hold` must hold, but feature "
                f"{bad[0]} (counted from 0) has {deviation.flat[bad[0]]:g}; its numbers are too "
                "small or too large: give it another unit, or choose scale=unit",
                "scale",
            )
        return Affine(mean, deviation)


def standardized(y: Array) -> Affine:
    """Mean 0 and deviation 1 for targets `(n, targets)`."""
    every = View(y, np.arange(len(y)))
    return Affine(*moments(every))


@np.errstate(all="ignore")
def moments(train: View) -> tuple[Array, Array]:
    """Mean and standard deviation of every feature; of a constant one its value and 1."""
    count, mean, squares = 0, np.zeros(train.inner), np.zeros(train.inner)
    first: Array | None = None
    constant = np.ones(train.inner, bool)
    for block in train.blocks():
        first = block[0].copy() if first is None else first
        constant &= (block == first).all(axis=0)
        m = len(block)
        of_block = block.mean(axis=0, dtype=np.float64)
        delta = of_block - mean
        squares += m * np.square(block.std(axis=0, dtype=np.float64))
        squares += np.square(delta) * (count * m / (count + m))
        mean = of_block if not count else mean + delta * (m / (count + m))
        count += m
    assert first is not None
    # the deviation of a constant feature may be rounded to 1e-17
    deviation = np.where(constant, 1.0, np.sqrt(squares / count))
    return np.where(constant, first, mean), np.asarray(deviation)


SCALINGS: Mapping[str, Step | None] = {"none": None, "unit": Unit(), "standard": Standard()}

"""Imputation: numbers that are missing are filled by what the training part tells."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError
from nnlab.data.view import Transform, View


@dataclass(frozen=True)
class Filled:
    """x with `fill` `(features,)` where it is not a number."""

    fill: Array

    cheap: ClassVar[bool] = True

    @property
    def arrays(self) -> dict[str, Array]:
        return {"fill": self.fill}

    def __call__(self, x: Array) -> Array:
        return np.where(np.isnan(x), self.fill.astype(x.dtype), x)


@dataclass(frozen=True)
class Imputation:
    """NaN becomes the feature's mean, median or most frequent value in the training part.

    Of values that are equally frequent the least is taken, as scikit-learn's SimpleImputer does.
    """

    method: str
    names: tuple[str, ...] = ()
    """Of the features, for messages."""

    name: ClassVar[str] = "imputation"

    def fit(self, train: View, rng: np.random.Generator) -> Transform:
        """Raises `LawError` where a feature has no value at all in the training part."""
        x = train[:]
        empty = np.flatnonzero(np.isnan(x).all(axis=0))
        if len(empty):
            name = self.names[empty[0]] if self.names else str(empty[0])
            raise LawError(
                f"column {name} has no value in the training part: nothing can stand for the "
                f"missing ones; leave it out with data.ignore=[{name}]",
                "ignore",
            )
        return Filled(METHODS[self.method](x))


def _most_frequent(x: Array) -> Array:
    found = []
    for column in x.T:
        values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
        found.append(values[counts.argmax()])
    return np.array(found)


METHODS: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "mean": lambda x: np.asarray(np.nanmean(x, axis=0)),
        "median": lambda x: np.asarray(np.nanmedian(x, axis=0)),
        "most_frequent": _most_frequent,
    }
)

"""Fewer examples to train on: what does a model learn from n?"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError, law
from nnlab.data.preparation.step import Resampled
from nnlab.data.view import View


@dataclass(frozen=True)
class Subset:
    """n examples of the training part, drawn at random; of labels, in the proportions there are.

    The classes share n as Sainte-Laguë shares seats, with one for each to begin with: the k-th
    example of a class of m has the key (k + 1/2) / m, the first of each 0, and the n lowest keys
    are taken. So of one seed a smaller subset is a part of any larger one, as learning curves want.
    """

    n: int = 100

    name: ClassVar[str] = "subset"

    def __post_init__(self) -> None:
        law("n >= 1", self.n >= 1, n=self.n)

    def resample(self, train: View, y: Array, classes: int, rng: np.random.Generator) -> Resampled:
        self._check(f"n <= {len(y)} examples of the training part", self.n <= len(y))
        labels = y if classes else np.zeros(len(y), np.intp)
        shuffled = rng.permutation(len(y))
        order = shuffled[np.argsort(labels[shuffled], kind="stable")]
        present, first, counts = np.unique(labels[order], return_index=True, return_counts=True)
        self._check(f"n >= {len(present)} classes", self.n >= len(present))
        k = np.arange(len(order)) - np.repeat(first, counts)
        keys = np.where(k, (k + 0.5) / np.repeat(counts, counts), 0.0)
        rows = np.sort(order[np.argsort(keys, kind="stable")[: self.n]])
        return Resampled(rows, y[rows])

    def _check(self, text: str, holds: bool) -> None:
        if not holds:
            raise LawError(f"`{text}` must hold, but got n={self.n}", "preparation.subset.n")

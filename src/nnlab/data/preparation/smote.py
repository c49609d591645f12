"""Classes of equal size, by examples that are made up between those there are."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError, law
from nnlab.data.preparation.needs import check_in_memory, check_labels
from nnlab.data.preparation.step import Resampled
from nnlab.data.view import View


@dataclass(frozen=True)
class Smote:
    """Every class as large as the largest: x + u (x' - x) is added, x an example of the class, x'
    one of its nearest `neighbours` in it, u uniform on [0, 1].

    Chawla et al. 2002, "SMOTE: synthetic minority over-sampling technique"; by imbalanced-learn.
    It works on what the steps before made of the examples, all at once in memory, and mixes the
    columns of categories as it mixes numbers. Raises `LawError` for targets that are numbers, data
    on disk, and a class that has not more than `neighbours` examples.
    """

    neighbours: int = 5

    name: ClassVar[str] = "smote"

    def __post_init__(self) -> None:
        law("neighbours >= 1", self.neighbours >= 1, neighbours=self.neighbours)

    def resample(self, train: View, y: Array, classes: int, rng: np.random.Generator) -> Resampled:
        check_labels(self.name, classes)
        check_in_memory(self.name, train, ", use preparation=[balance]")
        present, counts = np.unique(y, return_counts=True)
        rows = np.arange(len(y))
        growing = counts < counts.max()
        if not growing.any():
            return Resampled(rows, y)
        smallest = counts.argmin()
        if self.neighbours >= counts[smallest]:
            raise LawError(
                f"`neighbours < {counts[smallest]} training examples of class number "
                f"{present[smallest]} (counted from 0)` must hold, but got "
                f"neighbours={self.neighbours}",
                "preparation.smote.neighbours",
            )
        try:
            from imblearn.over_sampling import SMOTE
        except ImportError as error:
            raise LawError(
                "smote is computed by imbalanced-learn, which is not installed: "
                "pip install nnlab[features]",
                "preparation",
            ) from error
        seed = int(rng.integers(2**31))
        x, labels = SMOTE(k_neighbors=self.neighbours, random_state=seed).fit_resample(train[:], y)
        return Resampled(rows, labels, x[len(y) :])

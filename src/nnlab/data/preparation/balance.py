"""Classes of equal size, by repeating examples or by leaving some out."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import one_of
from nnlab.data.preparation.needs import check_labels
from nnlab.data.preparation.step import Resampled
from nnlab.data.view import View

METHODS = ("oversample", "undersample")


@dataclass(frozen=True)
class Balance:
    """As many examples of each class that the training part has: of the largest (oversample), or of
    the smallest (undersample).

    Which are repeated or kept is random. Oversampling repeats every example of a class before it
    repeats one again, so that they differ by one time at most; imbalanced-learn's
    `RandomOverSampler` draws with replacement.
    """

    method: str = "oversample"

    name: ClassVar[str] = "balance"

    def __post_init__(self) -> None:
        one_of(METHODS, method=self.method)

    def resample(self, train: View, y: Array, classes: int, rng: np.random.Generator) -> Resampled:
        check_labels(self.name, classes)
        present, counts = np.unique(y, return_counts=True)
        size = counts.max() if self.method == "oversample" else counts.min()
        rows = np.concatenate(
            [np.resize(rng.permutation(np.flatnonzero(y == label)), size) for label in present]
        )
        rows.sort()
        return Resampled(rows, y[rows])

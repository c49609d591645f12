"""Wrong labels on purpose: does a model learn them by heart?"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError, law
from nnlab.data.preparation.needs import check_labels
from nnlab.data.preparation.step import Resampled
from nnlab.data.view import View


@dataclass(frozen=True)
class LabelNoise:
    """A fraction of the training labels, chosen at random, is wrong: another class, each of the
    others alike. Of m labels exactly round(fraction * m) are.

    Symmetric noise as in Patrini et al. 2017, "Making deep neural networks robust to label noise".
    """

    fraction: float = 0.1

    name: ClassVar[str] = "label_noise"

    def __post_init__(self) -> None:
        law("0 <= fraction <= 1", 0 <= self.fraction <= 1, fraction=self.fraction)

    def resample(self, train: View, y: Array, classes: int, rng: np.random.Generator) -> Resampled:
        check_labels(self.name, classes)
        if classes < 2:
            raise LawError(
                f"label_noise gives labels another class, but the data have {classes}; "
                "leave it out of preparation",
                "preparation",
            )
        wrong = rng.choice(len(y), round(self.fraction * len(y)), replace=False)
        noisy = y.copy()
        noisy[wrong] = (y[wrong] + rng.integers(1, classes, len(wrong))) % classes
        return Resampled(np.arange(len(y)), noisy)

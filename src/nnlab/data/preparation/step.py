"""What a step of the preparation is: fitted to the training part alone, then the same for all."""

from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.view import Transform, View


class Step(Protocol):
    """A step that prepares inputs: features and images of every part."""

    name: ClassVar[str]

    def fit(self, train: View, rng: np.random.Generator) -> Transform:
        """What is done to every row, fitted to those of the training part.

        `train.blocks()` yields them as `(m, *train.inner)`, in the shape that the steps before
        gave them. Raises `LawError` where they are not what the step needs.
        """


class Resampled(NamedTuple):
    """Which examples are trained on, and as what."""

    rows: Array
    """Numbers of training examples; one may be there several times."""
    y: Array
    """The target of each of them, and then of those that are added."""
    added: Array | None = None
    """Inputs `(m, features)` that were made up."""


@runtime_checkable
class Resampling(Protocol):
    """A step that changes which examples are trained on; the other parts stay what they are."""

    name: ClassVar[str]

    def resample(self, train: View, y: Array, classes: int, rng: np.random.Generator) -> Resampled:
        """The examples to train on; `classes` is 0 for regression.

        `train` is prepared by the steps before. Raises `LawError` where it cannot be done.
        """

"""Class weights: how much each example counts in the mean of the loss, by its class."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError, law


class Weighting(Protocol):
    """A rule for the weights of training examples."""

    def of(self, labels: Array, classes: int, dtype: DTypeLike) -> Array | None:
        """The weight of each example `(n,)`, or None where all count alike.

        `classes` is 0 for regression; raises `LawError` where labels are needed.
        """


@dataclass(frozen=True)
class NoWeighting:
    """1 for every example."""

    def of(self, labels: Array, classes: int, dtype: DTypeLike) -> Array | None:
        return None


@dataclass(frozen=True)
class Balanced:
    """n / (C n_c) for an example of class c, which has n_c of the n: all classes count alike.

    King & Zeng 2001, "Logistic regression in rare events data"; scikit-learn's "balanced".
    """

    def of(self, labels: Array, classes: int, dtype: DTypeLike) -> Array | None:
        _needs_labels(classes)
        counts = np.bincount(labels, minlength=classes)
        by_class = len(labels) / (classes * np.maximum(counts, 1))
        return np.asarray(by_class.astype(dtype)[labels])


@dataclass(frozen=True)
class ByClass:
    """A weight for each class, in the order of the classes."""

    weights: tuple[float, ...] = (1.0, 1.0)

    def __post_init__(self) -> None:
        law(
            "every weight >= 0, and one > 0",
            all(weight >= 0 for weight in self.weights) and any(self.weights),
            weights=list(self.weights),
        )

    def of(self, labels: Array, classes: int, dtype: DTypeLike) -> Array | None:
        _needs_labels(classes)
        law(
            f"one weight for each of the {classes} classes",
            len(self.weights) == classes,
            weights=list(self.weights),
        )
        with np.errstate(over="ignore"):
            weights = np.asarray(self.weights, dtype)
        law(
            f"every weight fits {np.dtype(dtype)}", np.isfinite(weights), weights=list(self.weights)
        )
        return weights[labels]


def _needs_labels(classes: int) -> None:
    if not classes:
        raise LawError(
            "weights by class need class labels, but the data have regression targets; "
            "choose weighting=none or other data",
            "weighting",
        )

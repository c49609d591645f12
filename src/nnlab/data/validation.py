"""Validation: which examples a model is judged by while it is being made.

The test part is taken away first, and is the same however the rest is divided.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError, law
from nnlab.data.dataset import Dataset


class Division(NamedTuple):
    """Row numbers of the disjoint parts of a dataset."""

    train: Array
    validation: Array
    test: Array


class Validation(Protocol):
    """A way to divide what is not for testing into training and validation."""

    def members(self) -> Sequence["Validation"]:
        """The validation of each training that it takes: itself where it takes one."""

    def divide(self, dataset: Dataset, test: float, seed: int) -> Division:
        """The parts; with class labels, every class is divided in the same proportions.

        Raises `LawError` where a part would be empty, or where it takes several trainings.
        """


@dataclass(frozen=True)
class Holdout:
    """One part, a fraction of the whole data set, is held out."""

    fraction: float = 0.15

    def __post_init__(self) -> None:
        law("0 < fraction < 1", 0 < self.fraction < 1, fraction=self.fraction)

    def members(self) -> Sequence[Validation]:
        return (self,)

    def divide(self, dataset: Dataset, test: float, seed: int) -> Division:
        law("fraction + test < 1", self.fraction + test < 1, fraction=self.fraction)
        parts: list[list[Array]] = [[], [], []]
        for rows in _groups(dataset, seed):
            first = round(self.fraction * len(rows))
            last = len(rows) - round(test * len(rows))
            for part, chosen in zip(
                parts, (rows[first:last], rows[:first], rows[last:]), strict=True
            ):
                part.append(chosen)
        return _division(*parts)


@dataclass(frozen=True)
class KFold:
    """k-fold cross-validation, stratified: each of `folds` equal parts is held out once.

    Stone 1974, "Cross-validatory choice and assessment of statistical predictions"; Kohavi 1995,
    "A study of cross-validation and bootstrap", for the stratification.
    """

    folds: int = 5

    def __post_init__(self) -> None:
        law("folds >= 2", self.folds >= 2, folds=self.folds)

    def members(self) -> Sequence["Fold"]:
        return [Fold(self.folds, fold) for fold in range(self.folds)]

    def divide(self, dataset: Dataset, test: float, seed: int) -> Division:
        raise LawError(f"{self.folds} folds are {self.folds} trainings, not one", "validation")


@dataclass(frozen=True)
class Fold:
    """One training of `KFold`: number `fold`, counted from 0."""

    of: int = 5
    fold: int = 0

    def __post_init__(self) -> None:
        law("of >= 2", self.of >= 2, of=self.of)
        law("0 <= fold < of", 0 <= self.fold < self.of, fold=self.fold)

    def members(self) -> Sequence[Validation]:
        return (self,)

    def divide(self, dataset: Dataset, test: float, seed: int) -> Division:
        tested, held, kept, dealt = [], [], [], 0
        for rows in _groups(dataset, seed):
            last = len(rows) - round(test * len(rows))
            rest = rows[:last]
            # dealt like cards, on from where the class before ended: folds differ by one example
            turn = (np.arange(len(rest)) + dealt) % self.of == self.fold
            dealt += len(rest)
            tested.append(rows[last:])
            held.append(rest[turn])
            kept.append(rest[~turn])
        return _division(kept, held, tested)


def _groups(dataset: Dataset, seed: int) -> list[Array]:
    """The rows of each class, or all rows, in random order."""
    rng = np.random.default_rng(seed)
    if not dataset.classes:
        return [rng.permutation(len(dataset.y))]
    return [
        rng.permutation(np.flatnonzero(dataset.y == label)) for label in range(len(dataset.classes))
    ]


def _division(train: list[Array], validation: list[Array], test: list[Array]) -> Division:
    parts = [np.sort(np.concatenate(part)) for part in (train, validation, test)]
    for name, rows in zip(Division._fields, parts, strict=True):
        if not len(rows):
            raise LawError(
                f"`every part has an example` must hold, but got {name}=0; "
                "choose other fractions or fewer folds",
                name,
            )
    return Division(*parts)

"""Validation: which examples a model is judged by while it is being made.

The test part is taken away first, and is the same however the rest is divided.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError, law
from nnlab.data.dataset import REST, TEST, VALIDATION, Dataset


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
    """Of the data set, not counting a test part that it names itself."""

    def __post_init__(self) -> None:
        law("0 < fraction < 1", 0 < self.fraction < 1, fraction=self.fraction)

    def members(self) -> Sequence[Validation]:
        return (self,)

    def divide(self, dataset: Dataset, test: float, seed: int) -> Division:
        law("fraction + test < 1", self.fraction + test < 1, fraction=self.fraction)
        parts: list[list[Array]] = [[], [], [named_test(dataset, test)]]
        for rows in _groups(dataset, seed):
            first = round(self.fraction * len(rows))
            last = len(rows) - round(test * len(rows))
            for part, chosen in zip(
                parts, (rows[first:last], rows[:first], rows[last:]), strict=True
            ):
                part.append(chosen)
        return _division(parts[0], parts[1], parts[2], "validation.fraction")


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
        tested, held, kept, dealt = [named_test(dataset, test)], [], [], 0
        for rows in _groups(dataset, seed):
            last = len(rows) - round(test * len(rows))
            rest = rows[:last]
            # dealt like cards, on from where the class before ended: folds differ by one example
            turn = (np.arange(len(rest)) + dealt) % self.of == self.fold
            dealt += len(rest)
            tested.append(rows[last:])
            held.append(rest[turn])
            kept.append(rest[~turn])
        return _division(kept, held, tested, "validation.folds")


@dataclass(frozen=True)
class Given:
    """The validation part that the data name themselves: by a column, or as a file."""

    def members(self) -> Sequence[Validation]:
        return (self,)

    def divide(self, dataset: Dataset, test: float, seed: int) -> Division:
        held = _named(dataset, VALIDATION)
        if not len(held):
            raise LawError(
                "validation=given needs data that name their validation part, and these do not; "
                "choose validation=holdout",
                "validation",
            )
        kept, tested = [], [named_test(dataset, test)]
        for rows in _groups(dataset, seed, named=True):
            last = len(rows) - round(test * len(rows))
            kept.append(rows[:last])
            tested.append(rows[last:])
        return _division(kept, [held], tested, "validation")


def check_division(division: Division, dataset: Dataset) -> None:
    """Raise `LawError` unless every example, if its label is one of the classes, is in exactly one
    part, once: who divides otherwise judges a model by what it was trained on."""
    seen = np.zeros(len(dataset.y), bool)
    for rows in division:
        seen[rows] = True
    if sum(map(len, division)) > seen.sum():
        times = np.bincount(np.concatenate(division))
        raise LawError(
            _not_once(np.flatnonzero(times > 1), "in several, or several times"), "validation"
        )
    missing = ~seen
    if dataset.classes:
        missing &= (dataset.y >= 0) & (dataset.y < len(dataset.classes))
    if missing.any():
        raise LawError(_not_once(np.flatnonzero(missing), "in none"), "validation")


def _not_once(rows: Array, where: str) -> str:
    more = f" and {len(rows) - 5:,} more" if len(rows) > 5 else ""
    return (
        "`every example is in one part` must hold, but got rows "
        f"{', '.join(map(str, rows[:5].tolist()))}{more} {where}: see `divide` of the validation"
    )


def named_test(dataset: Dataset, test: float) -> Array:
    """The rows of the test part that the data name themselves, if they do.

    Raises `LawError` unless `test` is 0 then, and above 0 otherwise.
    """
    rows = _named(dataset, TEST)
    if len(rows):
        law("test = 0, for the data name their own test part", test == 0, test=test)
    else:
        law("0 < test < 1", test > 0, test=test)
    return rows


def _named(dataset: Dataset, part: int) -> Array:
    """The rows that the data say are in that part."""
    if dataset.parts is None:
        return np.empty(0, np.intp)
    return np.flatnonzero(dataset.parts == part)


def _groups(dataset: Dataset, seed: int, named: bool = False) -> list[Array]:
    """The rows of each class that are to be divided, or all of them, in random order.

    Raises `LawError` where the data name their validation part, unless that is what is asked for.
    """
    if not named and len(_named(dataset, VALIDATION)):
        raise LawError(
            "the data name their own validation part; choose validation=given", "validation"
        )
    rng = np.random.default_rng(seed)
    free = np.ones(len(dataset.y), bool) if dataset.parts is None else dataset.parts == REST
    if not dataset.classes:
        return [rng.permutation(np.flatnonzero(free))]
    return [
        rng.permutation(np.flatnonzero((dataset.y == label) & free))
        for label in range(len(dataset.classes))
    ]


def _division(
    train: list[Array], validation: list[Array], test: list[Array], knob: str
) -> Division:
    """The parts, each in the order of the data; `knob` is the key that makes one smaller."""
    parts = [np.sort(np.concatenate(part)) for part in (train, validation, test)]
    for name, rows in zip(Division._fields, parts, strict=True):
        if not len(rows):
            raise LawError(
                f"`every part has an example` must hold, but got {name}=0; "
                "choose other fractions or fewer folds",
                {"train": f"{knob}, data.test", "validation": knob, "test": "data.test"}[name],
            )
    return Division(*parts)

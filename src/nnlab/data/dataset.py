"""A dataset, its fingerprint, and its seeded division into train, validation and test."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import law


@dataclass(frozen=True)
class Dataset:
    """Examples x `(n, features)` with labels y `(n,)` or regression targets y `(n, targets)`."""

    x: Array
    y: Array
    classes: tuple[str, ...] = ()
    """The names of the labels 0, 1, ...; empty for regression."""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content: shapes, dtypes and bytes of x and y, and the classes."""
        digest = sha256(repr(self.classes).encode())
        for array in (self.x, self.y):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


class Part(NamedTuple):
    """The examples of one part of a split."""

    x: Array
    y: Array


class Splits(NamedTuple):
    """A dataset divided into disjoint parts, ready for training."""

    train: Part
    validation: Part
    test: Part
    classes: tuple[str, ...]
    fingerprint: str


class Division(NamedTuple):
    """Row numbers of the disjoint parts of a dataset."""

    train: Array
    validation: Array
    test: Array


def divide(dataset: Dataset, validation: float, test: float, seed: int) -> Division:
    """Draw the parts; with class labels every class is divided in the same proportions.

    Raises `LawError` where a part would be empty.
    """
    rng = np.random.default_rng(seed)
    n = len(dataset.y)
    groups = (
        [np.flatnonzero(dataset.y == label) for label in range(len(dataset.classes))]
        if dataset.classes
        else [np.arange(n)]
    )
    parts: list[list[Array]] = [[], [], []]
    for group in groups:
        rows = rng.permutation(group)
        first = round(validation * len(rows))
        second = first + round(test * len(rows))
        for part, chosen in zip(
            parts, (rows[second:], rows[:first], rows[first:second]), strict=True
        ):
            part.append(chosen)
    train_rows, validation_rows, test_rows = (np.sort(np.concatenate(part)) for part in parts)
    law("every part has an example", len(validation_rows) > 0, validation=validation)
    law("every part has an example", len(test_rows) > 0, test=test)
    law("every part has an example", len(train_rows) > 0, validation=validation)
    return Division(train_rows, validation_rows, test_rows)

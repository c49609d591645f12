"""A dataset, its fingerprint, and the parts it is divided into."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from nnlab.core.arrays import Array


@dataclass(frozen=True)
class Dataset:
    """Examples x `(n, features)` with labels y `(n,)` or regression targets y `(n, targets)`."""

    x: Array
    y: Array
    classes: tuple[str, ...] = ()
    """The names of the labels 0, 1, ...; empty for regression."""
    weights: Array | None = None
    """How much each example counts in training `(n,)`; None where all count alike."""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content: shapes, dtypes and bytes of the arrays, and the classes."""
        digest = sha256(repr(self.classes).encode())
        for array in (self.x, self.y, *(() if self.weights is None else (self.weights,))):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


class Part(NamedTuple):
    """The examples of one part of a split."""

    x: Array
    y: Array
    weights: Array | None = None


class Splits(NamedTuple):
    """A dataset divided into disjoint parts, ready for training."""

    train: Part
    validation: Part
    test: Part
    classes: tuple[str, ...]
    fingerprint: str

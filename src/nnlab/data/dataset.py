"""A dataset, its fingerprint, and the parts it is divided into."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

from nnlab.core.arrays import Array
from nnlab.data import fingerprint
from nnlab.data.about import About
from nnlab.data.overlap import hashes
from nnlab.data.own import Own
from nnlab.data.view import Inputs, Stored

REST, VALIDATION, TEST = range(3)
"""The parts that data may name themselves; the rest is for training, or to be divided."""
PARTS = {"train": REST, "validation": VALIDATION, "test": TEST}
"""What they are called."""


@dataclass(frozen=True)
class Dataset:
    """Examples x `(n, ...)` with labels y `(n,)` or regression targets y `(n, targets)`.

    x holds features `(n, features)` or images, `(n, height, width)` or `(n, height, width,
    channels)`: floats, or bytes (uint8) as they are stored.
    """

    x: Array | Stored
    y: Array
    classes: tuple[str, ...] = ()
    """The names of the labels 0, 1, ...; empty for regression."""
    weights: Array | None = None
    """How much each example counts in training `(n,)`; None where all count alike."""
    names: tuple[str, ...] = ()
    """The names of the features; empty where they have none (pixels)."""
    kinds: tuple[str, ...] = ()
    """What each feature is: number or category; empty where all are numbers."""
    parts: Array | None = None
    """The part that each example is in `(n,)`, REST, VALIDATION or TEST, where the data name it."""
    origin: str = ""
    """Where they are from, for people: a file, a URL, a formula."""
    files: tuple[fingerprint.File, ...] = ()
    """All files that they were read from, as `fingerprint.look` saw them before. Where they are
    told, the fingerprint is remembered."""
    reading: str = ""
    """Whatever else decides what was read from the files: the source with its options."""
    own: Mapping[str, Own] = field(default_factory=dict)
    """Those that are the user's own, by the key of the config that names them."""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content: shapes, dtypes and bytes of the arrays, and the classes."""
        size = math.prod(self.x.shape) * self.x.dtype.itemsize
        if not self.files or size < fingerprint.WORTH:
            return self._digest()
        return fingerprint.remembered(self.files, self.reading, self._digest)

    @cached_property
    def hashes(self) -> Array:
        """64 bits of each input's bytes: equal inputs have equal ones in this process."""
        return hashes(self.x)

    def _digest(self) -> str:
        arrays = (self.x, self.y, self.parts)
        return fingerprint.digest(*arrays, of=repr(self.classes), weights=self.weights)


class Part(NamedTuple):
    """The examples of one part of a split."""

    x: Inputs
    """`(m, features)`"""
    y: Array
    weights: Array | None = None


class Splits(NamedTuple):
    """A dataset divided into disjoint parts, ready for training."""

    train: Part
    validation: Part
    test: Part
    classes: tuple[str, ...]
    fingerprint: str
    shape: tuple[int, ...] = ()
    """The shape of one input before it was made a row: of an image `(height, width)` or
    `(height, width, channels)`."""
    fitted: Mapping[str, Array] = MappingProxyType({})
    """What the steps of the preparation learnt from the training part, by name."""
    about: About = About()
    """What is told of the whole."""

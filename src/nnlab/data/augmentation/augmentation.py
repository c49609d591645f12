"""What an augmentation is."""

from typing import ClassVar, Protocol

import numpy as np

from nnlab.core.arrays import Array


class Augmentation(Protocol):
    """A random change of the examples of a batch."""

    name: ClassVar[str]
    mixes_targets: ClassVar[bool]
    """Does it make targets between those of the data? Labels then become distributions."""

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise `LawError` unless inputs of that shape can be changed so: images are `(height,
        width)` or `(height, width, channels)`."""

    def __call__(
        self, x: Array, y: Array, shape: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[Array, Array]:
        """The batch changed, x `(m, features)` (rows of inputs of `shape`) and the encoded targets
        y. Both may be changed in place: they are work arrays."""

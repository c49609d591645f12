"""Images mirrored: left becomes right."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import law
from nnlab.data.augmentation.images import check_images


@dataclass(frozen=True)
class Flip:
    """Each image of a batch is mirrored left to right with that probability.

    Not for digits and letters: a mirrored 2 is none.
    """

    probability: float = 0.5

    name: ClassVar[str] = "flip"
    mixes_targets: ClassVar[bool] = False

    def __post_init__(self) -> None:
        holds = 0 <= self.probability <= 1
        law("0 <= probability <= 1", holds, probability=self.probability)

    def check(self, shape: tuple[int, ...]) -> None:
        check_images(shape, self.name)

    def __call__(
        self, x: Array, y: Array, shape: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[Array, Array]:
        chosen = np.flatnonzero(rng.random(len(x)) < self.probability)
        mirrored = np.arange(x.shape[1]).reshape(*shape[:2], -1)[:, ::-1].ravel()
        x[chosen] = x[chosen].take(mirrored, axis=1)
        return x, y

"""Images cropped at random out of larger ones."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import law, one_of
from nnlab.data.augmentation.images import check_images, check_within
from nnlab.data.augmentation.window import move

EDGES = ("zero", "reflect")


@dataclass(frozen=True)
class Crop:
    """Each image is padded on every side, then cropped back to its size at a random place.

    He et al. 2016, "Deep residual learning for image recognition", section 4.2: padding = 4, with
    zeros, for CIFAR-10. With zeros it is `Shift` by the name that papers give it; `edge=reflect`
    mirrors the image at its edges instead, so that no border appears in it.
    """

    padding: int = 4
    edge: str = "zero"

    name: ClassVar[str] = "crop"
    mixes_targets: ClassVar[bool] = False

    def __post_init__(self) -> None:
        law("padding >= 0", self.padding >= 0, padding=self.padding)
        one_of(EDGES, edge=self.edge)

    def check(self, shape: tuple[int, ...]) -> None:
        check_images(shape, self.name)
        check_within(shape, self.name, padding=self.padding)

    def __call__(
        self, x: Array, y: Array, shape: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[Array, Array]:
        move(x, shape, self.padding, self.edge == "reflect", rng)
        return x, y

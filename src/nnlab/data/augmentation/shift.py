"""Images moved by a few pixels."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import law
from nnlab.data.augmentation.images import check_images, check_within
from nnlab.data.augmentation.window import move


@dataclass(frozen=True)
class Shift:
    """Each image is moved by whole pixels, down and right each uniform on -pixels to pixels.

    What comes in is 0: black with `data.scale=unit`, the mean of the pixel with `standard`.
    """

    pixels: int = 1

    name: ClassVar[str] = "shift"
    mixes_targets: ClassVar[bool] = False

    def __post_init__(self) -> None:
        law("pixels >= 0", self.pixels >= 0, pixels=self.pixels)

    def check(self, shape: tuple[int, ...]) -> None:
        check_images(shape, self.name)
        check_within(shape, self.name, pixels=self.pixels)

    def __call__(
        self, x: Array, y: Array, shape: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[Array, Array]:
        move(x, shape, self.pixels, False, rng)
        return x, y

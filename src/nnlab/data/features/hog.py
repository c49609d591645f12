"""Histograms of oriented gradients: where there are edges, and in which direction."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError, law
from nnlab.data.view import Transform, View


@dataclass(frozen=True)
class HOG:
    """Histograms of the directions of gradients, one for each cell of the image.

    A direction is from 0 to 180 degrees, a gradient counts as long as it is; of a pixel with
    several channels that channel counts whose gradient is the longest. Blocks of cells overlap,
    and each is normalised: L2, cut at 0.2, L2 again. k = blocks * cells_per_block^2 *
    orientations. Dalal & Triggs 2005, "Histograms of oriented gradients for human detection"; as
    scikit-image computes them (a gradient counts for one cell and one direction only).
    """

    orientations: int = 9
    """The number of directions."""
    pixels_per_cell: int = 8
    """The side of a cell."""
    cells_per_block: int = 2
    """The side of a block."""

    name: ClassVar[str] = "hog"
    version: ClassVar[int] = 1
    libraries: ClassVar[tuple[str, ...]] = ("scikit-image",)
    learns: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        law(
            "1 <= orientations <= 180",
            1 <= self.orientations <= 180,
            orientations=self.orientations,
        )
        law("pixels_per_cell >= 2", self.pixels_per_cell >= 2, pixels_per_cell=self.pixels_per_cell)
        law("cells_per_block >= 1", self.cells_per_block >= 1, cells_per_block=self.cells_per_block)

    def fit(self, train: View, rng: np.random.Generator) -> Transform:
        """Nothing is learnt. Raises `LawError` where the images have no room for a block."""
        height, width = train.inner[:2]
        side = self.pixels_per_cell * self.cells_per_block
        if side > min(height, width):
            raise LawError(
                "`pixels_per_cell * cells_per_block <= height, width` must hold, but got "
                f"{self.pixels_per_cell} * {self.cells_per_block} = {side} for images of "
                f"{height} x {width}",
                "features.hog.pixels_per_cell",
            )
        return OrientedGradients(self.orientations, self.pixels_per_cell, self.cells_per_block)


@dataclass(frozen=True)
class OrientedGradients:
    """Images `(m, height, width[, channels])` to rows `(m, k)`."""

    orientations: int
    pixels_per_cell: int
    cells_per_block: int

    cheap: ClassVar[bool] = False

    @property
    def arrays(self) -> dict[str, Array]:
        return {}

    def __call__(self, x: Array) -> Array:
        from skimage.feature import hog

        rows = [
            hog(
                image,
                self.orientations,
                (self.pixels_per_cell, self.pixels_per_cell),
                (self.cells_per_block, self.cells_per_block),
                block_norm="L2-Hys",
                channel_axis=-1 if image.ndim == 3 else None,
            )
            for image in x
        ]
        return np.stack(rows)

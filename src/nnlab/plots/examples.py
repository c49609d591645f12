"""Examples of a data set: a sheet of small images, each with what it shows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

COLUMNS = 5


def sheet(images: NDArray[Any], titles: Sequence[str]) -> Figure:
    """Images `(m, height, width)`, dark to bright, or `(m, height, width, 3)`, in rows of five.

    Bytes are drawn as 0 to 255, other numbers as the least to the greatest of all.
    """
    low, high = (0, 255) if images.dtype == np.uint8 else (images.min(), images.max())
    grey = images.ndim == 3 or images.shape[3] == 1
    shown = images.reshape(images.shape[:3]) if grey else (images - low) / ((high - low) or 1)
    rows = -(-len(images) // COLUMNS)
    figure = Figure(figsize=(6, 1.3 * rows))
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, title in zip(grid.flat, shown, titles, strict=False):
        axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        axes.set_title(title, fontsize=9, pad=3)
    figure.subplots_adjust(
        left=0.01, right=0.99, bottom=0.01, top=1 - 0.2 / rows, hspace=0.3, wspace=0.05
    )
    return figure

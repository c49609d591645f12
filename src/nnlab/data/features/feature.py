"""What a feature is: numbers computed of an image."""

from typing import ClassVar, Protocol

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError
from nnlab.data.preparation.step import Step
from nnlab.data.view import Stored


class Feature(Step, Protocol):
    """A step that makes rows `(m, k)` of images `(m, height, width)` or `(m, height, width,
    channels)`, whose pixels are from 0 to 255."""

    version: ClassVar[int]
    """Raised whenever the same images and fields begin to give other numbers."""
    libraries: ClassVar[tuple[str, ...]]
    """The packages that compute it: another version of them may give other numbers."""
    learns: ClassVar[tuple[str, ...]]
    """The names of the arrays that it learns from the training images, if any."""


def check_images(x: Array | Stored) -> None:
    """Raise `LawError` unless these are images of bytes."""
    if len(x.shape) < 3 or x.dtype != np.uint8:
        raise LawError(
            "features are computed of images whose pixels are bytes, but the data are "
            f"{x.dtype} of shape {x.shape}; choose data of images (data=cifar10) or features=[]",
            "features",
        )

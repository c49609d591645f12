"""Each image less its own mean: how bright a picture is does not matter then."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.view import Transform, View


@dataclass(frozen=True)
class WithoutMean:
    """x - mean of x, image by image and channel by channel."""

    cheap: ClassVar[bool] = True

    @property
    def arrays(self) -> dict[str, Array]:
        return {}

    def __call__(self, x: Array) -> Array:
        channels = x.shape[3] if x.ndim == 4 else 1
        pixels, out = x.reshape(len(x), -1, channels), np.empty(x.shape, x.dtype)
        centred = out.reshape(pixels.shape)
        for k in range(channels):  # a loop over three numbers inside would be far slower
            of_channel = pixels[..., k]
            mean = of_channel.mean(axis=1, keepdims=True, dtype=np.float64)
            np.subtract(of_channel, mean.astype(x.dtype), out=centred[..., k])
        return out


@dataclass(frozen=True)
class ImageMean:
    """x - mean over the pixels of the same image, for each channel apart: images `(h, w)` and
    `(h, w, channels)`; a row of features counts as the pixels of one channel.

    Ng et al., "UFLDL tutorial", data preprocessing, per-example mean subtraction. Nothing is
    fitted.
    """

    name: ClassVar[str] = "image_mean"

    def fit(self, train: View, rng: np.random.Generator) -> Transform:
        return WithoutMean()

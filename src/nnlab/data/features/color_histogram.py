"""Colour histograms: which colours an image has, wherever they are."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError, law
from nnlab.data.view import Transform, View


@dataclass(frozen=True)
class ColorHistogram:
    """The fraction of an image's pixels in each bin of hue x saturation x value.

    Bins are of equal width. Joint bins tell dark red from light red, and hue and value change
    apart when the light does. Swain & Ballard 1991, "Color indexing"; Smith 1978, "Color gamut
    transform pairs", for hue, saturation and value. `saturation=1 value=1 hue=10` is the
    histogram of hues alone.
    """

    hue: int = 8
    saturation: int = 4
    value: int = 4

    name: ClassVar[str] = "color_histogram"
    version: ClassVar[int] = 1
    libraries: ClassVar[tuple[str, ...]] = ()
    learns: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        law("1 <= hue <= 256", 1 <= self.hue <= 256, hue=self.hue)
        law("1 <= saturation <= 256", 1 <= self.saturation <= 256, saturation=self.saturation)
        law("1 <= value <= 256", 1 <= self.value <= 256, value=self.value)
        bins = self.hue * self.saturation * self.value
        law("hue * saturation * value <= 4096", bins <= 4096, hue=self.hue)

    def fit(self, train: View, rng: np.random.Generator) -> Transform:
        """Nothing is learnt. Raises `LawError` unless images are red, green and blue."""
        if len(train.inner) != 3 or train.inner[2] != 3:
            raise LawError(
                "a colour histogram needs images `(height, width, 3)` of red, green and blue, but "
                f"these are {train.inner}; grey images have features=[hog] or "
                "features=[visual_words]",
                "features",
            )
        return ColorBins(self.hue, self.saturation, self.value)


@dataclass(frozen=True)
class ColorBins:
    """Images `(m, height, width, 3)` of 0 to 255 to rows `(m, hue * saturation * value)`."""

    hue: int
    saturation: int
    value: int

    cheap: ClassVar[bool] = False

    @property
    def arrays(self) -> dict[str, Array]:
        return {}

    def __call__(self, x: Array) -> Array:
        cells = self._cells(x.astype(np.int64)).reshape(len(x), -1)
        m, bins = len(x), self.hue * self.saturation * self.value
        of_image = cells + bins * np.arange(m)[:, None]
        counts = np.bincount(of_image.ravel(), minlength=m * bins).reshape(m, bins)
        return (counts / cells.shape[1]).astype(x.dtype)

    def _cells(self, x: Array) -> Array:
        """The number of each pixel's bin: floor(size * part), and the last one where part is 1.

        With v = max, s = max - min of red, green and blue, in whole numbers for no bin to depend
        on rounding: value is v / 255, saturation s / v, and 6 * hue is (green - blue) / s where v
        is red, 2 + (blue - red) / s where it is green, 4 + (red - green) / s where it is blue.
        A grey has hue 0, black also saturation 0.
        """
        red, green, blue = np.moveaxis(x, -1, 0)
        value, span = x.max(axis=-1), np.ptp(x, axis=-1)
        sixths = np.where(  # times span
            value == red,
            green - blue,
            np.where(value == green, 2 * span + blue - red, 4 * span + red - green),
        )
        sixths += np.where(sixths < 0, 6 * span, 0)
        hue = sixths * self.hue // np.maximum(6 * span, 1)
        saturation = np.minimum(span * self.saturation // np.maximum(value, 1), self.saturation - 1)
        level = np.minimum(value * self.value // 255, self.value - 1)
        return np.asarray((hue * self.saturation + saturation) * self.value + level)

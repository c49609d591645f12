import colorsys
from fractions import Fraction

import numpy as np
import pytest

from nnlab.core.laws import LawError
from nnlab.data.features.color_histogram import ColorHistogram
from nnlab.data.view import View


def histograms(feature, images, dtype=np.float32):
    """The rows of images of bytes."""
    view = View(images, np.arange(len(images)), (), dtype)
    return feature.fit(view, None)(view.of.astype(dtype))


def binned(pixel, feature):
    """The number of a pixel's bin, by the standard library in fractions."""
    parts = colorsys.rgb_to_hsv(*(Fraction(int(one), 255) for one in pixel))
    number = 0
    for part, size in zip(parts, (feature.hue, feature.saturation, feature.value), strict=True):
        exact = Fraction(part).limit_denominator(6 * 255)
        number = number * size + min(int(exact * size), size - 1)
    return number


def test_four_pixels_by_hand():
    # red, dark green, grey, black: hue 0, 1/3, 0, 0; saturation 1, 1, 0, 0; value 1, 0.39, 0.5, 0
    image = np.array([[[255, 0, 0], [0, 100, 0]], [[128, 128, 128], [0, 0, 0]]], np.uint8)
    (row,) = histograms(ColorHistogram(hue=3, saturation=2, value=2), image[None])
    expected = np.zeros((3, 2, 2))
    expected[0, 1, 1] = expected[1, 1, 0] = expected[0, 0, 1] = expected[0, 0, 0] = 1 / 4
    np.testing.assert_array_equal(row, expected.ravel())


@pytest.mark.parametrize(
    "feature", [ColorHistogram(), ColorHistogram(10, 1, 1), ColorHistogram(7, 3, 5)], ids=str
)
def test_bins_are_those_of_exact_fractions(feature):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 4, 5, 3), np.uint8)
    images[10:20] = rng.integers(0, 9, (10, 4, 5, 3)) * 31  # many ties, many edges of bins
    images[20:] = rng.integers(0, 4, (10, 4, 5, 3)) * 85
    expected = [
        np.bincount(
            [binned(pixel, feature) for pixel in image.reshape(-1, 3)],
            minlength=feature.hue * feature.saturation * feature.value,
        )
        / 20
        for image in images
    ]
    np.testing.assert_allclose(histograms(feature, images, np.float64), expected, rtol=1e-15)


def test_places_do_not_matter_and_images_do_not_mix():
    images = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 3), np.uint8)
    rows = histograms(ColorHistogram(), images)
    assert (rows.dtype, rows.shape) == (np.float32, (5, 128))
    np.testing.assert_array_equal(rows, histograms(ColorHistogram(), images[:, ::-1, ::-1]))
    np.testing.assert_array_equal(rows[3:4], histograms(ColorHistogram(), images[3:4]))
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 8, 8, 1), (2, 8, 8, 4)])
def test_images_that_are_not_red_green_and_blue_are_refused(shape):
    with pytest.raises(LawError, match=r"red, green and blue.*grey images have features=\[hog\]"):
        histograms(ColorHistogram(), np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"hue": 0}, "1 <= hue <= 256"),
        ({"saturation": 257}, "1 <= saturation <= 256"),
        ({"value": -1}, "1 <= value <= 256"),
        ({"hue": 256, "saturation": 17, "value": 1}, r"hue \* saturation \* value <= 4096"),
    ],
)
def test_a_value_out_of_range_is_refused(arguments, said):
    with pytest.raises(LawError, match=said):
        ColorHistogram(**arguments)

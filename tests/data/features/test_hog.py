import numpy as np
import pytest

from nnlab.core.laws import LawError
from nnlab.data.features.hog import HOG
from nnlab.data.view import View

pytest.importorskip("skimage", reason="scikit-image, an extra, is not installed")


def gradients(feature, images, dtype=np.float32):
    """The rows of images of bytes."""
    view = View(images, np.arange(len(images)), (), dtype)
    return feature.fit(view, None)(view.of.astype(dtype))


def naive(image, orientations, side, block):
    """The histograms of one image in float64, a pixel at a time, from the paper."""
    image = image.astype(np.float64).reshape(*image.shape[:2], -1)
    height, width = image.shape[:2]
    cells = np.zeros((height // side, width // side, orientations))
    for i in range(cells.shape[0] * side):
        for j in range(cells.shape[1] * side):
            inside_i, inside_j = 0 < i < height - 1, 0 < j < width - 1
            down = image[i + 1, j] - image[i - 1, j] if inside_i else 0 * image[i, j]
            right = image[i, j + 1] - image[i, j - 1] if inside_j else 0 * image[i, j]
            channel = np.argmax(np.hypot(down, right))
            degrees = np.rad2deg(np.arctan2(down[channel], right[channel])) % 180
            bin_ = min(int(degrees / (180 / orientations)), orientations - 1)
            cells[i // side, j // side, bin_] += np.hypot(down, right)[channel] / side**2
    rows = []
    for i in range(cells.shape[0] - block + 1):
        for j in range(cells.shape[1] - block + 1):
            one = cells[i : i + block, j : j + block].ravel()
            one = np.minimum(one / np.sqrt((one**2).sum() + 1e-10), 0.2)
            rows.append(one / np.sqrt((one**2).sum() + 1e-10))
    return np.concatenate(rows)


@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 3), (13, 18, 3)])
@pytest.mark.parametrize("feature", [HOG(9, 4, 2), HOG(7, 6, 1)], ids=str)
def test_histograms_are_those_of_the_paper(feature, shape):
    images = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    fields = (feature.orientations, feature.pixels_per_cell, feature.cells_per_block)
    expected = [naive(image, *fields) for image in images]
    for dtype in (np.float64, np.float32):
        rows = gradients(feature, images, dtype)
        assert rows.dtype == dtype
        # scikit-image adds up a cell in float32
        np.testing.assert_allclose(rows, expected, atol=2e-6)


def test_a_ramp_by_hand():
    # brighter from left to right: every gradient is at 0 degrees, the first of the directions;
    # each of a block's four is cut at 0.2, and they are equal then: 1/2 each
    ramp = np.tile(np.arange(0, 160, 10, dtype=np.uint8), (16, 1))
    (row,) = gradients(HOG(9, 8, 2), ramp[None], np.float64)
    np.testing.assert_allclose(row.reshape(4, 9)[:, 0], 1 / 2, rtol=1e-6)
    np.testing.assert_array_equal(row.reshape(4, 9)[:, 1:], 0)


def test_the_number_of_features_is_as_said():
    images = np.zeros((2, 32, 32, 3), np.uint8)
    assert gradients(HOG(), images).shape == (2, 3 * 3 * 2**2 * 9)


def test_images_without_room_for_a_block_are_refused():
    with pytest.raises(LawError, match=r"8 \* 2 = 16 for images of 15 x 28") as refused:
        gradients(HOG(), np.zeros((2, 15, 28), np.uint8))
    assert refused.value.field == "features.hog.pixels_per_cell"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"orientations": 0}, "1 <= orientations <= 180"),
        ({"pixels_per_cell": 1}, "pixels_per_cell >= 2"),
        ({"cells_per_block": 0}, "cells_per_block >= 1"),
    ],
)
def test_a_value_out_of_range_is_refused(arguments, said):
    with pytest.raises(LawError, match=said):
        HOG(**arguments)

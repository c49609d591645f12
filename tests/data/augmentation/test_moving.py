"""Flip, shift and crop, compared with NumPy's own mirroring, rolling and padding."""

from collections import Counter

import numpy as np
import pytest

from nnlab.data.augmentation.crop import Crop
from nnlab.data.augmentation.flip import Flip
from nnlab.data.augmentation.shift import Shift

SHAPES = [(5, 4), (4, 6, 3), (8, 8)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def images(m, shape, seed=0):
    """Rows of images without a zero and without two equal pixels."""
    rng = np.random.default_rng(seed)
    size = m * int(np.prod(shape))
    return (rng.permutation(size) + 1.0).astype(np.float32).reshape(m, -1)


def applied(change, x, shape, seed=0):
    y = np.zeros((len(x), 1), np.float32)
    return change(x.copy(), y, shape, np.random.default_rng(seed))[0].reshape(-1, *shape)


@every_shape
def test_a_certain_flip_is_numpys(shape):
    x = images(30, shape)
    expected = np.flip(x.reshape(-1, *shape), axis=2)
    np.testing.assert_array_equal(applied(Flip(1.0), x, shape), expected)


@every_shape
def test_each_image_is_flipped_or_not(shape):
    x = images(2000, shape)
    before = x.reshape(-1, *shape)
    after = applied(Flip(0.3), x, shape)
    mirrored = (after == np.flip(before, axis=2)).all(axis=tuple(range(1, before.ndim)))
    same = (after == before).all(axis=tuple(range(1, before.ndim)))
    assert (mirrored ^ same).all()
    assert abs(mirrored.sum() - 600) < 5 * np.sqrt(2000 * 0.3 * 0.7)


def moves(before, after, most, edge):
    """By how much each image was moved: the only (down, right) that numpy.pad agrees with."""
    height, width = before.shape[1:3]
    rest = ((0, 0),) * (before.ndim - 3)
    padded = np.pad(before, ((0, 0), (most, most), (most, most), *rest), mode=edge)
    found = []
    for k in range(len(before)):
        places = [
            (most - top, most - left)
            for top in range(2 * most + 1)
            for left in range(2 * most + 1)
            if np.array_equal(padded[k, top : top + height, left : left + width], after[k])
        ]
        assert len(places) == 1
        found += places
    return found


@pytest.mark.parametrize(
    ("change", "most", "edge"),
    [
        (Shift(1), 1, "constant"),
        (Shift(3), 3, "constant"),
        (Crop(2), 2, "constant"),
        (Crop(2, "reflect"), 2, "reflect"),
        (Crop(1, "reflect"), 1, "reflect"),
    ],
    ids=repr,
)
@every_shape
def test_images_are_crops_of_what_numpy_pads(change, most, edge, shape):
    x = images(300, shape)
    found = moves(x.reshape(-1, *shape), applied(change, x, shape), most, edge)
    assert {abs(down) for down, _ in found} == {abs(right) for _, right in found}
    assert max(down for down, _ in found) == most


def test_a_shift_is_a_roll_with_zeros_for_what_comes_in():
    x = images(60, (7, 5))
    before = x.reshape(-1, 7, 5)
    after = applied(Shift(2), x, (7, 5))
    for k, (down, right) in enumerate(moves(before, after, 2, "constant")):
        rolled = np.roll(before[k], (down, right), (0, 1))
        rolled[: max(down, 0)] = rolled[7 + min(down, 0) :] = 0
        rolled[:, : max(right, 0)] = rolled[:, 5 + min(right, 0) :] = 0
        np.testing.assert_array_equal(after[k], rolled)


def test_moves_are_uniform_and_down_and_right_apart():
    x = images(9000, (6, 6))
    before, after = x.reshape(-1, 6, 6), applied(Shift(1), x, (6, 6))
    counts = Counter(moves(before, after, 1, "constant"))
    assert len(counts) == 9
    assert all(abs(count - 1000) < 5 * np.sqrt(1000) for count in counts.values())


def test_a_crop_with_zeros_is_a_shift():
    x = images(40, (9, 9))
    np.testing.assert_array_equal(applied(Crop(3), x, (9, 9)), applied(Shift(3), x, (9, 9)))


@pytest.mark.parametrize("change", [Shift(2), Crop(2, "reflect")], ids=repr)
def test_how_many_are_moved_at_a_time_does_not_matter(change, monkeypatch):
    from nnlab.data.augmentation import window

    x = images(50, (6, 5, 3))
    whole = applied(change, x, (6, 5, 3))
    for numbers in (1, 7 * x.shape[1], 10**9):
        monkeypatch.setattr(window, "AT_ONCE", numbers)
        np.testing.assert_array_equal(applied(change, x, (6, 5, 3)), whole)

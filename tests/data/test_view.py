import tracemalloc

import numpy as np
import pytest

from nnlab.data.preparation.image_mean import WithoutMean
from nnlab.data.preparation.scaling import Affine
from nnlab.data.view import TILE, View

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (4000, 28, 28)).astype(np.uint8)
MEAN, DEVIATION = RNG.normal(100, 5, (28, 28)), RNG.uniform(1, 90, (28, 28))
PREPARED = {
    "as they are": ((), lambda x: x),
    "unit": ((Affine(np.array(0.0), np.array(255.0)),), lambda x: x / 255),
    "standard": ((Affine(MEAN, DEVIATION),), lambda x: (x - MEAN) / DEVIATION),
    "two steps": (
        (Affine(np.array(0.0), np.array(255.0)), WithoutMean()),
        lambda x: x / 255 - (x / 255).mean(axis=(1, 2), keepdims=True),
    ),
}
every_preparation = pytest.mark.parametrize(
    ("transforms", "textbook"), PREPARED.values(), ids=PREPARED
)


def taken(view, rows):
    return view.take(rows, 0, np.empty((len(rows), view.shape[1]), view.dtype))


@every_preparation
@pytest.mark.parametrize(("arithmetic", "dtype"), [("f4", "f4"), ("f8", "f8"), ("f8", "f4")])
def test_a_batch_of_bytes_is_what_the_textbook_says(transforms, textbook, arithmetic, dtype):
    view = View(IMAGES, np.arange(100, 3000), transforms, arithmetic, dtype)
    rows = RNG.permutation(2900)[: 3 * TILE // 784]  # more than one tile
    expected = textbook(IMAGES[100 + rows].astype(np.float64)).reshape(len(rows), -1)
    single = "f4" in (arithmetic, dtype)
    close = {"rtol": 2e-6, "atol": 2e-6} if single else {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(taken(view, rows), expected, **close)
    assert taken(view, rows).dtype == np.dtype(dtype)
    assert IMAGES[100 + rows].dtype == np.uint8


@every_preparation
def test_in_place_or_not_the_bits_are_the_same(transforms, textbook):
    view, rows = View(IMAGES, np.arange(4000), transforms, "f4"), RNG.permutation(4000)[:500]
    strided = np.empty((500, 2 * 784), np.float32)[:, ::2]
    view.take(rows, 0, strided)  # where rows are not contiguous nothing is done in place
    x = IMAGES[rows].astype(np.float32)
    for transform in transforms:
        x = transform(x)
    assert taken(view, rows).tobytes() == x.tobytes() == strided.tobytes()


def test_a_transform_does_not_change_what_it_gets():
    x = IMAGES[:5].astype(np.float32)
    for shift in (0.0, 1.0):
        Affine(np.array(shift), np.array(255.0))(x)
    np.testing.assert_array_equal(x, IMAGES[:5])


@pytest.mark.parametrize("name", ["as they are", "unit", "standard"])
def test_a_batch_of_bytes_needs_no_room_of_its_size(name):
    view, out = View(IMAGES, np.arange(4000), PREPARED[name][0], "f4"), np.empty((128, 784), "f4")
    order = RNG.permutation(4000)
    view.take(order[:128], 0, out)
    tracemalloc.start()
    try:
        for start in range(0, 3800, 128):
            view.take(order[start : start + 128], 0, out)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < out.nbytes / 8

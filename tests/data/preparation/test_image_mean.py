import numpy as np
import pytest

from nnlab.data.preparation.image_mean import ImageMean
from nnlab.data.view import View

RNG = np.random.default_rng(0)


def without_mean(x):
    every = View(x, np.arange(len(x)), (), x.dtype)
    return ImageMean().fit(every, np.random.default_rng(0))(x)


def test_by_hand():
    grey = np.array([[[1.0, 3.0], [5.0, 7.0]], [[0.0, 0.0], [0.0, 8.0]]])
    assert without_mean(grey).tolist() == [[[-3, -1], [1, 3]], [[-2, -2], [-2, 6]]]
    rows = np.array([[1.0, 3.0, 5.0, 7.0]])
    assert without_mean(rows).tolist() == [[-3, -1, 1, 3]]


def test_each_channel_has_a_mean_of_its_own():
    image = np.array([[[[0.0, 10.0], [2.0, 30.0]]]])  # 1 x 2 pixels of 2 channels
    assert without_mean(image).tolist() == [[[[-1, -10], [1, 10]]]]


@pytest.mark.parametrize("shape", [(9,), (5, 4), (6, 5, 3)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_the_mean_of_the_image_alone(shape, dtype):
    x = RNG.normal(100, 10, (20, *shape)).astype(dtype)
    axes = (1,) if len(shape) == 1 else (1, 2)
    expected = x - x.astype(np.float64).mean(axis=axes, keepdims=True)
    np.testing.assert_allclose(without_mean(x), expected, atol=2e-5 if dtype == np.float32 else 0)
    np.testing.assert_allclose(without_mean(x).mean(axis=axes), 0, atol=1e-5)


def test_the_order_in_memory_does_not_matter():
    x = RNG.normal(size=(5, 6, 4, 3))
    turned = np.asfortranarray(x)
    np.testing.assert_allclose(without_mean(turned), without_mean(x), rtol=1e-12, atol=1e-15)

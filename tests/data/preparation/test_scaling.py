from math import sqrt

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from nnlab.core.laws import LawError
from nnlab.data.preparation.scaling import SCALINGS, Standard, Unit
from nnlab.data.view import ROWS, View

TRAIN = np.array([[0.0, 7.0], [2.0, 7.0], [4.0, 7.0]])
OTHER = np.array([[6.0, 7.0], [2.0, 7.0]])

TABLE = {  # scaling: (TRAIN scaled, OTHER scaled), by hand
    "none": (TRAIN, OTHER),
    # one minimum 0 and one maximum 7 for all
    "unit": (TRAIN / 7, OTHER / 7),
    # mean 2, variance (4 + 0 + 4) / 3; the second feature is constant
    "standard": (
        np.array([[-2, 0], [0, 0], [2, 0]]) / sqrt(8 / 3),
        np.array([[4, 0], [0, 0]]) / sqrt(8 / 3),
    ),
}


def fitted(step, train):
    """What is done to rows, by a step (None: nothing)."""
    if step is None:
        return lambda x: x
    return step.fit(View(train, np.arange(len(train))), np.random.default_rng(0))


def unit(train):
    return fitted(Unit(), train)


def standard(train):
    return fitted(Standard(), train)


def test_every_scaling_is_in_the_table():
    assert {"none": None, "unit": Unit(), "standard": Standard()} == SCALINGS
    assert SCALINGS.keys() == TABLE.keys()


@pytest.mark.parametrize("name", TABLE)
def test_a_scaling_by_hand(name):
    scale = fitted(SCALINGS[name], TRAIN)
    for raw, expected in zip((TRAIN, OTHER), TABLE[name], strict=True):
        np.testing.assert_allclose(scale(raw), expected, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("name", SCALINGS)
def test_the_raw_data_stays_as_it_is(name):
    raw = TRAIN.copy()
    fitted(SCALINGS[name], raw)(raw)
    np.testing.assert_array_equal(raw, TRAIN)


def test_unit_starts_at_the_minimum():
    scaled = unit(np.array([[3.0, 5.0], [4.0, 3.0]]))(np.array([[3.0, 5.0], [4.0, 2.0]]))
    assert scaled.tolist() == [[0, 1], [0.5, -0.5]]


def test_data_of_one_value_becomes_zero():
    same = np.full((4, 2), 3.0)
    assert unit(same)(same).tolist() == [[0, 0]] * 4
    assert standard(same)(same).tolist() == [[0, 0]] * 4


@pytest.mark.parametrize("value", [0.1, 0.3, 1 / 3, 1e-3, -1e10])
@pytest.mark.parametrize("n", [1, 7, 10, 100, 388])
def test_a_constant_becomes_zero_though_its_mean_be_rounded(n, value):
    same = np.full((n, 1), value)
    for scaling in (unit, standard):
        assert scaling(same)(same).tolist() == [[0.0]] * n
    # a value that the training part does not have is only moved
    assert standard(np.full((n, 1), 0.1))(np.array([[0.6]])).tolist() == [[0.5]]


def test_standard_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    train, other = rng.normal(3, 10, (50, 4)), rng.normal(0, 1, (9, 4))
    reference = StandardScaler().fit(train)
    np.testing.assert_allclose(standard(train)(other), reference.transform(other), rtol=1e-12)


@pytest.mark.parametrize("n", [ROWS - 1, ROWS, ROWS + 1, 3 * ROWS + 5])
def test_blocks_are_combined(n):
    x = np.random.default_rng(1).normal(1e6, 3, (n, 2))
    x[:, 1] = 0.1
    step = standard(x)
    np.testing.assert_allclose(step.shift, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(step.scale, [x[:, 0].std(), 1], rtol=1e-10)
    low, high = x.min(), x.max()
    assert (unit(x).shift, unit(x).scale) == (low, high - low)


@pytest.mark.parametrize("step", [Unit(), Standard()])
def test_bytes_are_scaled_in_the_dtype_of_the_training(step):
    images = np.random.default_rng(2).integers(0, 256, (9, 4, 4), np.uint8)
    view = View(images, np.arange(9), (), np.float32)
    scaled = view.then(step.fit(view, np.random.default_rng(0)))
    assert scaled[:].dtype == np.float32
    exact = fitted(step, images.reshape(9, 16).astype(float))(images.reshape(9, 16).astype(float))
    np.testing.assert_allclose(scaled[:], exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_numbers_whose_deviation_cannot_be_held_are_refused(unit):
    x = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 4.0]]) * [1.0, unit]
    with np.errstate(over="ignore"), pytest.raises(LawError, match=r"feature 1 .*counted from 0"):
        standard(x)

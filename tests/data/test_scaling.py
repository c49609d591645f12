from math import sqrt

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from nnlab.data.scaling import SCALINGS, standard, unit, unscaled

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


def test_every_scaling_is_in_the_table():
    assert {"none": unscaled, "unit": unit, "standard": standard} == SCALINGS
    assert SCALINGS.keys() == TABLE.keys()


@pytest.mark.parametrize("name", TABLE)
def test_a_scaling_by_hand(name):
    scale = SCALINGS[name](TRAIN)
    for raw, expected in zip((TRAIN, OTHER), TABLE[name], strict=True):
        np.testing.assert_allclose(scale(raw), expected, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("name", SCALINGS)
def test_the_raw_data_stays_as_it_is(name):
    raw = TRAIN.copy()
    SCALINGS[name](raw)(raw)
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

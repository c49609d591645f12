import numpy as np
import pytest

from nnlab.core.arrays import Workspace, as_coefficient, per_model


def test_work_arrays_are_told_apart_by_name_shape_and_dtype():
    work = Workspace()
    first = work.get("a", (2, 3), np.float32)
    assert (first.shape, first.dtype) == ((2, 3), np.float32)
    others = [
        work.get("b", (2, 3), np.float32),
        work.get("a", (3, 2), np.float32),
        work.get("a", (2, 3), np.float64),
    ]
    assert all(other is not first for other in others)
    assert work.get("a", (2, 3), np.float32) is first


def test_zeros_stay_zeros():
    zeros = Workspace().zeros((2, 3), np.float32)
    assert (zeros.shape, zeros.dtype, zeros.any()) == ((2, 3), np.float32, False)
    with pytest.raises(ValueError, match="read-only"):
        zeros += 1


def test_what_is_bound_to_an_array_is_made_again_for_another_one_that_is_equal():
    work, made = Workspace(), []

    def make(array, flag, where):
        made.append(array)
        return array[:1], flag, where

    first, second = np.zeros(2), np.zeros(2)
    bound = work.bound("a", make, first, True)
    assert (bound[0].base is first, bound[1:]) == (True, (True, work))
    assert work.bound("a", make, first, True) is bound
    assert work.bound("a", make, second, True)[0].base is second
    assert work.bound("a", make, first, False)[0].base is first
    assert work.bound("b", make, first, False) is not bound
    assert len(made) == 4


def test_a_coefficient_does_not_widen_theta():
    theta = np.ones((3, 2), np.float32)
    for number in (0.1, np.full((3, 1), 0.1)):
        product = theta * as_coefficient(number, theta)
        assert product.dtype == np.float32
        np.testing.assert_array_equal(product, np.float32(0.1))


def test_a_column_of_hyperparameters_lines_up_with_one_value_per_model():
    np.testing.assert_array_equal(per_model(np.array([[1.0], [2.0]])), [1.0, 2.0])
    assert per_model(0.5) == 0.5

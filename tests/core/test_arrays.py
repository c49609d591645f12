import numpy as np

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


def test_a_coefficient_does_not_widen_theta():
    theta = np.ones((3, 2), np.float32)
    for number in (0.1, np.full((3, 1), 0.1)):
        product = theta * as_coefficient(number, theta)
        assert product.dtype == np.float32
        np.testing.assert_array_equal(product, np.float32(0.1))


def test_a_column_of_hyperparameters_lines_up_with_one_value_per_model():
    np.testing.assert_array_equal(per_model(np.array([[1.0], [2.0]])), [1.0, 2.0])
    assert per_model(0.5) == 0.5

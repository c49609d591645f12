import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

from nnlab.core.arrays import Workspace
from nnlab.core.gradients import central_differences, relative_error
from nnlab.core.surfaces import Beale, Parabola, Rosenbrock

HAND_WORKED = {  # surface: (an instance, its minimum, a point, value and gradient there)
    Parabola: (Parabola((1.0, 10.0)), [0, 0], [3.0, -2.0], 4.5 + 20, [3, -20]),
    # (1 + 1.2)^2 + 100 (1 - 1.44)^2
    Rosenbrock: (Rosenbrock(), [1, 1], [-1.2, 1.0], 4.84 + 19.36, [-215.6, -88.0]),
    # misses of 1.5 + 1, 2.25 + 3, 2.625 + 7 at (1, 2); d/da 2 (2.5 * 1 + 5.25 * 3 + 9.625 * 7),
    # d/db 2 (2.5 * 1 + 5.25 * 4 + 9.625 * 12)
    Beale: (Beale(), [3, 0.5], [1.0, 2.0], 6.25 + 27.5625 + 92.640625, [171.25, 278.0]),
}


def evaluate(surface, theta):
    theta = np.asarray(theta)
    grad = np.full_like(theta, np.nan)
    return surface(theta, None, grad, Workspace()), grad


def test_every_surface_is_in_the_table(surface_class):
    assert surface_class in HAND_WORKED


def test_surfaces_by_hand(surface_class):
    surface, minimum, point, expected, expected_grad = HAND_WORKED[surface_class]
    value, grad = evaluate(surface, point)
    assert value == pytest.approx(expected)
    np.testing.assert_allclose(grad, expected_grad, rtol=1e-13)
    value, grad = evaluate(surface, np.array(minimum, float))
    assert value == 0
    np.testing.assert_array_equal(grad, 0)


def test_without_a_gradient_the_value_is_the_same(surface_class):
    surface = HAND_WORKED[surface_class][0]
    for theta in np.random.default_rng(2).normal(size=(5, 2)):
        assert surface(theta, None, None, Workspace()) == evaluate(surface, theta)[0]


def test_rosenbrock_s_function_is_scipy_s():
    for theta in np.random.default_rng(3).normal(size=(10, 2)):
        value, grad = evaluate(Rosenbrock(), theta)
        assert value == pytest.approx(rosen(theta), rel=1e-13)
        np.testing.assert_allclose(grad, rosen_der(theta), rtol=1e-12, atol=1e-12)


def test_theta_is_left_alone(surface_class):
    theta = np.array([0.3, -0.7])
    evaluate(HAND_WORKED[surface_class][0], theta)
    np.testing.assert_array_equal(theta, [0.3, -0.7])


def test_gradients_agree_with_central_differences(surface_class):
    surface = HAND_WORKED[surface_class][0]
    for theta in np.random.default_rng(0).normal(size=(10, 2)):
        differences = central_differences(lambda thetas: evaluate(surface, thetas)[0], theta)
        assert relative_error(evaluate(surface, theta)[1], differences) <= 1e-8


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_k_stacked_points_have_the_bits_of_k_single_ones(surface_class, dtype):
    surface = HAND_WORKED[surface_class][0]
    thetas = np.random.default_rng(1).normal(size=(5, 2)).astype(dtype)
    values, grads = evaluate(surface, thetas)
    assert (values.shape, values.dtype) == ((5,), dtype)
    for k, theta in enumerate(thetas):
        value, grad = evaluate(surface, theta)
        assert values[k] == value
        np.testing.assert_array_equal(grads[k], grad)


def test_a_parabola_may_have_any_number_of_dimensions():
    value, grad = evaluate(Parabola((2.0, 4.0, 6.0)), [1.0, 1.0, -1.0])
    assert value == 6
    np.testing.assert_array_equal(grad, [2, 4, -6])

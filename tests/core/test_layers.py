from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nnlab.core.arrays import Workspace
from nnlab.core.gradients import relative_error
from nnlab.core.layers import ACTIVATIONS, Dense, ReLU, Sigmoid, Tanh

HAND_WORKED = {  # activation: {x: (f(x), f'(x))}
    ReLU: {-2.0: (0.0, 0.0), 0.0: (0.0, 0.0), 3.0: (3.0, 1.0)},
    Tanh: {0.0: (0.0, 1.0), log(3): (0.8, 0.36), -log(3): (-0.8, 0.36)},
    Sigmoid: {0.0: (0.5, 0.25), log(3): (0.75, 0.1875), -log(3): (0.25, 0.1875)},
}


def forward(activation, x):
    return activation.forward({}, np.array(x), Workspace())


def backward(activation, y, dy):
    dy = np.array(dy)
    return activation.backward({}, {}, y, y, dy, Workspace(), input_needed=True)


def test_every_activation_is_in_the_table_and_can_be_asked_for_by_name(activation_class):
    assert activation_class in HAND_WORKED
    assert activation_class in ACTIVATIONS.values()


def test_activations_have_the_hand_worked_values_and_slopes(activation_class):
    x, expected = zip(*HAND_WORKED[activation_class].items(), strict=True)
    values, slopes = zip(*expected, strict=True)
    activation = activation_class()
    y = forward(activation, x)
    np.testing.assert_allclose(y, values, rtol=1e-14, atol=1e-16)
    # dL/dx = dL/dy * f'(x)
    dy = np.arange(1.0, len(x) + 1)
    np.testing.assert_allclose(backward(activation, y, dy), dy * slopes, rtol=1e-14)


def test_slopes_agree_with_central_differences(activation_class):
    activation, x, step = activation_class(), np.linspace(-3.03, 3.07, 62), 1e-6
    differences = (forward(activation, x + step) - forward(activation, x - step)) / (2 * step)
    slopes = backward(activation, forward(activation, x), np.ones_like(x))
    assert relative_error(slopes, differences) < 1e-8


@settings(max_examples=50, deadline=None)
@given(x=arrays(np.float64, 5, elements=st.floats(-1e300, 1e300)))
def test_activations_are_finite_and_monotone(activation_class, x):
    x.sort()
    y = forward(activation_class(), x)
    assert np.isfinite(y).all()
    assert (np.diff(y) >= -1e-15).all()  # tanh is right to a few units of the last place
    assert np.isfinite(backward(activation_class(), y, np.ones(5))).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_work_in_place_and_keep_the_dtype(activation_class, dtype):
    x, work = np.linspace(-1, 1, 6, dtype=dtype).reshape(2, 3), Workspace()
    y = activation_class().forward({}, x, work)
    assert y is x
    dy = np.ones((2, 3), dtype)
    dx = activation_class().backward({}, {}, y, y, dy, work, input_needed=True)
    assert dx.dtype == dtype


# One dense layer by hand: 2 examples, 2 inputs, 3 outputs.
X = np.array([[1.0, 2.0], [3.0, 4.0]])
PARAMETERS = {
    "d.weight": np.array([[1.0, 0.0, -1.0], [2.0, 1.0, 0.0]]),
    "d.bias": np.array([10.0, 20.0, 30.0]),
}
Y = np.array([[15.0, 22.0, 29.0], [21.0, 24.0, 27.0]])
DY = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]])


def test_dense_names_and_shapes():
    assert Dense("d", 2, 3).shapes() == {"d.weight": (2, 3), "d.bias": (3,)}


def test_dense_by_hand():
    dense, work = Dense("d", 2, 3), Workspace()
    y = dense.forward(PARAMETERS, X, work)
    np.testing.assert_array_equal(y, Y)
    grads = {name: np.full_like(parameter, np.nan) for name, parameter in PARAMETERS.items()}
    dx = dense.backward(PARAMETERS, grads, X, y, DY, work, input_needed=True)
    np.testing.assert_array_equal(grads["d.weight"], [[1, 3, -1], [2, 4, 0]])  # x^T dy
    np.testing.assert_array_equal(grads["d.bias"], [1, 1, 1])
    np.testing.assert_array_equal(dx, [[-1, 2], [1, 1]])  # dy W^T


def test_dense_writes_the_same_gradients_where_that_of_the_input_is_not_needed():
    dense, work = Dense("d", 2, 3), Workspace()
    grads = {name: np.full_like(parameter, np.nan) for name, parameter in PARAMETERS.items()}
    dense.backward(PARAMETERS, grads, X, Y, DY, work, input_needed=False)
    np.testing.assert_array_equal(grads["d.weight"], [[1, 3, -1], [2, 4, 0]])
    np.testing.assert_array_equal(grads["d.bias"], [1, 1, 1])


def test_dense_leaves_its_input_alone():
    x, dy = X.copy(), DY.copy()
    grads = {name: np.empty_like(parameter) for name, parameter in PARAMETERS.items()}
    dense, work = Dense("d", 2, 3), Workspace()
    y = dense.forward(PARAMETERS, x, work)
    dense.backward(PARAMETERS, grads, x, y, dy, work, input_needed=True)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(dy, DY)

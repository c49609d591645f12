"""Every analytic gradient against central differences in float64."""

from dataclasses import fields

import numpy as np
import pytest

from nnlab.core.arrays import Workspace
from nnlab.core.gradients import central_differences, relative_error
from nnlab.core.layers import ACTIVATIONS, Dense, Tanh
from nnlab.core.losses import MSE
from nnlab.core.model import MLP, Linear, Network
from nnlab.core.objective import Batch, NetworkObjective
from nnlab.core.penalties import L2, NoPenalty

MODELS = [
    Linear(),
    *(MLP(hidden, activation) for hidden in ((5,), (5, 5)) for activation in ACTIVATIONS),
]


def assert_gradient_is_right(objective, theta, batch):
    def value(thetas):
        return objective(thetas, batch, np.empty_like(thetas), Workspace())

    grad = np.full_like(theta, np.nan)
    objective(theta, batch, grad, Workspace())
    assert np.abs(grad).max() > 1e-3, "a point where the gradient vanishes proves nothing"
    assert relative_error(grad, central_differences(value, theta)) <= 1e-6


def test_every_model_is_in_the_table(model_class):
    assert model_class in {type(model) for model in MODELS}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_every_model_with_every_loss_and_penalty(model, loss_class, penalty_class, classes):
    # Random points are away from kinks (of ReLU, hinge and |w|): the chance of one within the
    # step of 1e-6 is below 1e-3, and the seed is fixed.
    rng = np.random.default_rng(7)
    loss = loss_class()
    penalty = penalty_class(**{field.name: 0.1 for field in fields(penalty_class)})
    network = model.build(4, loss.outputs(classes))
    labels = np.arange(6) % classes
    batch = Batch(rng.normal(size=(6, 4)), loss.encode(labels, classes, np.float64))
    theta = rng.normal(size=network.layout.size, scale=0.7)
    assert_gradient_is_right(NetworkObjective(network, loss, penalty), theta, batch)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_every_model_with_regression_targets(model):
    rng = np.random.default_rng(8)
    network = model.build(4, 2)
    batch = Batch(rng.normal(size=(6, 4)), rng.normal(size=(6, 2)))
    theta = rng.normal(size=network.layout.size)
    assert_gradient_is_right(NetworkObjective(network, MSE(), L2(0.1)), theta, batch)


def test_dense_layers_in_a_row():
    rng = np.random.default_rng(9)
    layers = (Dense("a", 4, 5), Dense("b", 5, 5), Tanh(), Dense("c", 5, 2))
    network = Network(layers, "normal")
    batch = Batch(rng.normal(size=(6, 4)), rng.normal(size=(6, 2)))
    theta = rng.normal(size=network.layout.size)
    assert_gradient_is_right(NetworkObjective(network, MSE(), NoPenalty()), theta, batch)


def test_central_differences_of_a_cubic():
    # More parameters than are evaluated at once: d/dx_k of sum_k k x_k^3 is 3 k x_k^2.
    theta, k = np.linspace(-2, 2, 600), np.arange(600)
    before = theta.copy()
    differences = central_differences(lambda thetas: (k * thetas**3).sum(axis=-1), theta, 1e-3)
    np.testing.assert_array_equal(theta, before)
    # the series' error is k step^2, exactly
    np.testing.assert_allclose(differences, 3 * k * theta**2 + k * 1e-6, atol=1e-6)


def test_central_differences_of_a_quadratic_have_no_error_but_rounding():
    # step 0.5 and small integers: every operation is exact
    differences = central_differences(
        lambda thetas: thetas[:, 0] ** 2 - 3 * thetas[:, 0] * thetas[:, 1],
        np.array([2.0, 5.0]),
        0.5,
    )
    np.testing.assert_array_equal(differences, [4 - 15, -6])


def test_relative_error_by_hand():
    assert relative_error(np.array([1.0, -4.0]), np.array([1.0, -5.0])) == 0.2
    assert relative_error(np.array([-5.0]), np.array([1.0])) == 1.2
    assert relative_error(np.zeros(3), np.zeros(3)) == 0
    assert relative_error(np.empty(0), np.empty(0)) == 0
    assert not relative_error(np.array([np.nan, 1.0]), np.ones(2)) <= 1e-6
    assert not relative_error(np.ones(2), np.array([1.0, np.nan])) <= 1e-6

"""What L-BFGS has of its own; the rest is in the battery of test_optimizers."""

import numpy as np
import pytest
from scipy.optimize import minimize

from nnlab.core.arrays import Workspace
from nnlab.core.initialisers import Xavier
from nnlab.core.lbfgs import LBFGS
from nnlab.core.losses import CrossEntropy
from nnlab.core.model import MLP
from nnlab.core.objective import Batch, NetworkObjective, Oracle
from nnlab.core.penalties import L2
from nnlab.core.surfaces import Rosenbrock

START = np.array([-1.2, 1.0])


def stepped(optimizer, theta, scale=1.0, objective=None, batch=None):
    """Theta after a step, and the value it returns."""
    theta, oracle = theta.copy(), Oracle(objective or Rosenbrock(), Workspace())
    oracle.batch = batch
    value = optimizer.step(theta, optimizer.init(theta), oracle, scale)
    return theta, value


def test_a_network_is_fitted_as_scipy_fits_it():
    rng = np.random.default_rng(0)
    network = MLP((5,), "tanh").build(4, 3)
    batch = Batch(rng.normal(size=(30, 4)), rng.integers(3, size=30))
    objective = NetworkObjective(network, CrossEntropy(), L2(0.01))
    theta = network.initial(Xavier(), rng, np.float64)

    def value_and_gradient(theta):
        grad = np.empty_like(theta)
        return objective(theta, batch, grad, Workspace()), grad

    found = minimize(
        value_and_gradient,
        theta,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 40, "maxcor": 7},
    )
    ours, value = stepped(LBFGS(iterations=40, memory=7), theta, objective=objective, batch=batch)
    np.testing.assert_array_equal(ours, found.x)
    assert value == value_and_gradient(theta)[0]
    assert value_and_gradient(ours)[0] < 0.6 * value


def test_iterations_and_memory_are_scipy_s():
    """On Rosenbrock's valley each makes a difference."""
    ends = {
        (iterations, memory): tuple(stepped(LBFGS(1.0, iterations, memory), START)[0])
        for iterations in (5, 15)
        for memory in (1, 10)
    }
    assert len(set(ends.values())) == 4


def test_lr_and_the_schedule_go_a_part_of_the_way():
    whole, _ = stepped(LBFGS(), START)
    for optimizer, scale in ((LBFGS(0.25), 1.0), (LBFGS(), 0.25), (LBFGS(0.5), 0.5)):
        part, _ = stepped(optimizer, START, scale)
        np.testing.assert_allclose(part, START + 0.25 * (whole - START), rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_whole_and_a_damped_step_side_by_side_have_their_own_bits(dtype):
    lr = np.array([[1.0], [0.3], [1.0], [0.999]])
    starts = np.random.default_rng(1).normal(size=(4, 2)).astype(dtype)
    stacked, values = stepped(LBFGS(lr), starts)
    for k in range(4):
        alone, value = stepped(LBFGS(float(lr[k, 0])), starts[k])
        np.testing.assert_array_equal(stacked[k], alone)
        np.testing.assert_array_equal(values[k], value)


def test_one_model_s_line_search_does_not_move_another():
    starts = np.array([[1.0, 1.0], [-1.2, 1.0]])  # the first is where it wants to be
    stacked, values = stepped(LBFGS(), starts)
    np.testing.assert_array_equal(stacked[0], [1, 1])
    assert values[0] == 0
    assert values[1] == pytest.approx(24.2)
    assert not np.array_equal(stacked[1], starts[1])


def test_at_the_minimum_it_stays():
    theta, value = stepped(LBFGS(), np.ones(2))
    np.testing.assert_array_equal(theta, 1)
    assert value == 0


def test_a_value_that_is_not_a_number_is_returned_as_it_is():
    def broken(theta, batch, grad, work):
        grad[...] = np.nan
        return np.full(theta.shape[:-1], np.nan)

    for start in (START, np.stack([START, START])):
        theta, value = stepped(LBFGS(), start, objective=broken)
        assert np.isnan(value).all()
        assert theta.shape == start.shape

import numpy as np
import pytest

from nnlab.core.arrays import Workspace
from nnlab.core.clipping import ClipValue
from nnlab.core.gradients import Numerical
from nnlab.core.losses import MSE, CrossEntropy
from nnlab.core.model import MLP, Linear
from nnlab.core.objective import Analytic, Batch, NetworkObjective, Oracle
from nnlab.core.penalties import L2, Elastic, NoPenalty
from nnlab.core.surfaces import Parabola, Rosenbrock


def evaluate(objective, theta, batch, work=None):
    grad = np.full_like(theta, np.nan)
    return objective(theta, batch, grad, work or Workspace()), grad


def test_the_objective_is_the_loss_and_the_penalty_by_hand():
    # z = 3 * 2 + 1 = 7; (7 - 5)^2 + 0.5 * 2^2; 2 (7 - 5) * 3 + 2 * 0.5 * 2; 2 (7 - 5)
    objective = NetworkObjective(Linear().build(1, 1), MSE(), L2(0.5))
    value, grad = evaluate(
        objective, np.array([2.0, 1.0]), Batch(np.array([[3.0]]), np.array([[5.0]]))
    )
    assert value == 4 + 2
    np.testing.assert_array_equal(grad, [12 + 2, 4])


@pytest.mark.parametrize("penalty", [NoPenalty(), Elastic(0.1, 0.1)], ids=str)
def test_what_work_arrays_and_grad_hold_from_before_does_not_matter(penalty):
    rng = np.random.default_rng(0)
    network = MLP(hidden=(5, 5, 5), activation="tanh").build(5, 5)
    objective, used = NetworkObjective(network, CrossEntropy(), penalty), Workspace()
    theta = rng.normal(size=network.layout.size)
    batches = [Batch(rng.normal(size=(m, 5)), rng.integers(5, size=m)) for m in (5, 8, 5, 8)]
    for batch in batches:
        value, grad = evaluate(objective, theta, batch, used)
        fresh, fresh_grad = evaluate(objective, theta, batch)
        assert value == fresh
        np.testing.assert_array_equal(grad, fresh_grad)


def test_the_oracle_answers_for_the_current_batch_at_any_theta():
    network = Linear().build(2, 1)
    objective = NetworkObjective(network, MSE(), NoPenalty())
    oracle, rng = Oracle(objective, Workspace()), np.random.default_rng(1)
    for _ in range(3):
        theta = rng.normal(size=3)
        before = theta.copy()
        oracle.batch = Batch(rng.normal(size=(4, 2)), rng.normal(size=(4, 1)))
        value, grad = oracle(theta)
        expected, expected_grad = evaluate(objective, theta, oracle.batch)
        assert value == expected
        np.testing.assert_array_equal(grad, expected_grad)
        np.testing.assert_array_equal(theta, before)


@pytest.mark.parametrize("penalty", [NoPenalty(), L2(0.1), Elastic(0.1, 0.1)], ids=str)
def test_the_value_alone_is_the_value_with_the_gradient(penalty):
    rng = np.random.default_rng(2)
    network = MLP((5,), "tanh").build(4, 3)
    objective = NetworkObjective(network, CrossEntropy(), penalty)
    oracle = Oracle(objective, Workspace())
    oracle.batch = Batch(rng.normal(size=(7, 4)), rng.integers(3, size=7), rng.random(7))
    for theta in (rng.normal(size=network.layout.size), rng.normal(size=(3, network.layout.size))):
        value, grad = oracle(theta)
        value, grad = np.array(value), grad.copy()
        np.testing.assert_array_equal(oracle.value(theta), value)
        assert value.shape == theta.shape[:-1]
        np.testing.assert_array_equal(oracle(theta)[1], grad)


def test_no_gradient_is_computed_for_a_value_alone():
    asked = []

    def objective(theta, batch, grad, work):
        asked.append(grad)
        return np.array(5.0)

    oracle = Oracle(objective, Workspace())
    assert oracle.value(np.ones(2)) == 5
    assert asked == [None]


def test_gradients_come_from_where_they_are_to_come_from(gradient_class):
    """At a point where the gradient is known by hand, before and after clipping."""
    theta = np.array([-1.2, 1.0])
    tolerance = {Analytic: 1e-13, Numerical: 1e-5}[gradient_class]
    oracle = Oracle(Rosenbrock(), Workspace(), gradient=gradient_class())
    value, grad = oracle(theta)
    assert value == pytest.approx(24.2)
    np.testing.assert_allclose(grad, [-215.6, -88], rtol=tolerance)
    oracle = Oracle(Rosenbrock(), Workspace(), ClipValue(100.0), gradient_class())
    np.testing.assert_allclose(oracle(theta)[1], [-100, -88], rtol=tolerance)


def test_random_numbers_of_a_step_are_those_of_the_seed():
    oracle = Oracle(Parabola(), Workspace())
    assert oracle.seed == (0,)
    for seed in ((0,), (3, 1, 4)):
        oracle.seed = seed
        expected = np.random.default_rng(seed).normal(size=5)
        for _ in range(2):  # the same at every call
            np.testing.assert_array_equal(oracle.rng().normal(size=5), expected)


def test_scratch_is_shaped_like_theta_and_is_not_the_gradient():
    oracle, theta = Oracle(Parabola(), Workspace()), np.ones((3, 2), np.float32)
    scratch = oracle.scratch("adam", theta)
    assert (scratch.shape, scratch.dtype) == (theta.shape, theta.dtype)
    assert oracle.scratch("adam", theta) is scratch
    assert not np.shares_memory(oracle(theta)[1], scratch)

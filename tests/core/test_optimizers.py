"""One table of optimizers, one battery of tests."""

import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from itertools import islice
from math import sqrt

import numpy as np
import pytest

from nnlab.core.arrays import Hyper, Workspace
from nnlab.core.losses import CrossEntropy
from nnlab.core.model import MLP, Linear
from nnlab.core.objective import Batch, NetworkObjective, Oracle
from nnlab.core.optimizers import NAG, SGD, Adam, Momentum
from nnlab.core.penalties import L2, NoPenalty
from nnlab.core.surfaces import Parabola, Rosenbrock


def sgd(gradient, theta, lrs):
    for lr in lrs:
        theta = theta - lr * gradient(theta)
        yield theta


def polyak(gradient, theta, lrs, momentum):
    v = 0
    for lr in lrs:
        v = momentum * v - lr * gradient(theta)
        theta = theta + v
        yield theta


def nesterov(gradient, theta, lrs, momentum):
    v = 0
    for lr in lrs:
        v = momentum * v - lr * gradient(theta + momentum * v)
        theta = theta + v
        yield theta


def kingma_ba(gradient, theta, lrs, beta1, beta2, epsilon):
    m, v = 0, 0
    for t, lr in enumerate(lrs, start=1):
        g = gradient(theta)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        theta = theta - lr * m_hat / (np.sqrt(v_hat) + epsilon)
        yield theta


@dataclass(frozen=True)
class Row:
    """What the battery needs to know of an optimizer."""

    textbook: Callable
    first_steps: tuple[float, ...]
    """theta after steps on theta^2 / 2 from 1, with lr=0.1 and else the defaults, by hand."""
    parabola_lr: float
    rosenbrock_lr: float
    hyper: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Hyperparameters besides lr, for each of three models."""
    fixed: Mapping[str, float] = field(default_factory=dict)
    """Hyperparameters that are the same for every model."""


TABLE = {
    SGD: Row(sgd, (0.9, 0.81), parabola_lr=0.15, rosenbrock_lr=2e-3),
    Momentum: Row(
        polyak,
        (0.9, 0.72),  # v = -0.1, then -0.09 - 0.09
        parabola_lr=0.05,
        rosenbrock_lr=5e-4,
        hyper={"momentum": (0.9, 0.5, 0.0)},
    ),
    NAG: Row(
        nesterov,
        (0.9, 0.729),  # v = -0.1, then -0.09 - 0.1 (0.9 - 0.09)
        parabola_lr=0.05,
        rosenbrock_lr=5e-4,
        hyper={"momentum": (0.9, 0.5, 0.0)},
    ),
    Adam: Row(
        kingma_ba,
        # m_hat = 0.18 / 0.19, v_hat = (0.000999 + 0.001 * 0.81) / 0.001999
        (0.9, 0.9 - 0.1 * (0.18 / 0.19) / sqrt(1.809 / 1.999)),
        parabola_lr=0.1,
        rosenbrock_lr=0.02,
        hyper={"beta1": (0.9, 0.5, 0.0), "beta2": (0.999, 0.9, 0.5)},
        fixed={"epsilon": 1e-3},
    ),
}
LRS = (0.05, 0.02, 0.003)
START = np.array([-1.2, 1.0])


def make(optimizer_class, k, lr):
    """The optimizer of the k-th model, or of all three as a stack where k is None."""
    row = TABLE[optimizer_class]
    columns = {
        name: np.array(numbers)[:, None] if k is None else numbers[k]
        for name, numbers in row.hyper.items()
    }
    return optimizer_class(lr=lr, **columns, **row.fixed)


def walk(optimizer, objective, theta, scales, state=None):
    """Yield theta (the same array, moved in place) and state after each step."""
    state = optimizer.init(theta) if state is None else state
    oracle = Oracle(objective, Workspace())
    for scale in scales:
        optimizer.step(theta, state, oracle, scale)
        yield theta, state


def value_of(objective, theta):
    return float(objective(theta, None, np.empty_like(theta), Workspace()))


def test_every_optimizer_is_in_the_table_with_all_its_hyperparameters(optimizer_class):
    row = TABLE[optimizer_class]
    per_model = {field.name for field in fields(optimizer_class) if field.type == Hyper}
    assert per_model == {"lr", *row.hyper}
    assert {field.name for field in fields(optimizer_class)} == per_model | row.fixed.keys()


def test_first_steps_by_hand(optimizer_class):
    steps = walk(optimizer_class(lr=0.1), Parabola((1.0,)), np.ones(1), [1.0, 1.0])
    thetas = [float(theta[0]) for theta, _ in steps]
    assert thetas == pytest.approx(TABLE[optimizer_class].first_steps, rel=1e-7)


@pytest.mark.parametrize("k", range(3))
@pytest.mark.parametrize("surface", [Parabola(), Rosenbrock()], ids=str)
def test_a_hundred_steps_are_the_textbook_s(optimizer_class, surface, k):
    row = TABLE[optimizer_class]
    lr = row.parabola_lr if surface == Parabola() else row.rosenbrock_lr
    scales = [1 / (1 + t / 10) for t in range(100)]

    def gradient(theta):
        grad = np.empty_like(theta)
        surface(theta, None, grad, Workspace())
        return grad

    hyper = {name: numbers[k] for name, numbers in row.hyper.items()} | row.fixed
    textbook = row.textbook(gradient, START, [lr * scale for scale in scales], **hyper)
    ours = walk(make(optimizer_class, k, lr), surface, START.copy(), scales)
    for expected, (theta, _) in zip(textbook, ours, strict=True):
        np.testing.assert_allclose(theta, expected, rtol=1e-12)


def test_the_value_returned_is_the_objective_s_where_the_gradient_was_asked(optimizer_class):
    asked = []

    def objective(theta, batch, grad, work):
        value = Rosenbrock()(theta, batch, grad, work)
        asked.append(float(value))
        return value

    optimizer, theta = optimizer_class(lr=1e-3), START.copy()
    oracle, state = Oracle(objective, Workspace()), optimizer.init(theta)
    values = [float(optimizer.step(theta, state, oracle, 1.0)) for _ in range(5)]
    assert values == asked  # one question a step
    assert values[0] == pytest.approx(24.2)


def test_the_minimum_of_a_parabola_is_found(optimizer_class):
    optimizer = optimizer_class(lr=TABLE[optimizer_class].parabola_lr)
    theta = START.copy()
    for _ in walk(optimizer, Parabola(), theta, [1.0] * 500):
        pass
    assert value_of(Parabola(), theta) < 1e-12


def test_rosenbrock_s_valley_is_followed(optimizer_class):
    optimizer = optimizer_class(lr=TABLE[optimizer_class].rosenbrock_lr)
    theta = START.copy()
    for _ in walk(optimizer, Rosenbrock(), theta, [1.0] * 2000):
        pass
    assert value_of(Rosenbrock(), theta) < 24.2 / 500


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stop_save_restore_go_on_equals_never_stopped(optimizer_class, dtype):
    scales = [1 - t / 50 for t in range(40)]
    uninterrupted = START.astype(dtype)
    *_, (_, state) = walk(make(optimizer_class, 0, 1e-3), Rosenbrock(), uninterrupted, scales)

    theta = START.astype(dtype)
    *_, (_, saved) = walk(make(optimizer_class, 0, 1e-3), Rosenbrock(), theta, scales[:17])
    theta, saved = theta.copy(), {name: array.copy() for name, array in saved.items()}
    *_, (_, saved) = walk(make(optimizer_class, 0, 1e-3), Rosenbrock(), theta, scales[17:], saved)

    np.testing.assert_array_equal(theta, uninterrupted)
    assert saved.keys() == state.keys()
    for name in state:
        np.testing.assert_array_equal(saved[name], state[name])


@pytest.mark.parametrize("penalty", [NoPenalty(), L2(0.01)], ids=str)
@pytest.mark.parametrize("model", [Linear(), MLP((16,)), MLP((8, 8), "tanh")], ids=str)
def test_k_stacked_models_walk_bit_for_bit_like_k_single_ones(optimizer_class, model, penalty):
    rng = np.random.default_rng(0)
    network = model.build(10, 3)
    batches = [
        Batch(rng.normal(size=(m, 10)).astype(np.float32), rng.integers(3, size=m))
        for m in (32, 32, 7)
    ]
    starts = np.stack([network.initial(np.random.default_rng(k), np.float32) for k in range(3)])
    objective = NetworkObjective(network, CrossEntropy(), penalty)

    def run(optimizer, theta):
        """Theta and the objective's value after every step, and the last state."""
        oracle, state, path = Oracle(objective, Workspace()), optimizer.init(theta), []
        for t in range(30):
            oracle.batch = batches[t % 3]
            value = optimizer.step(theta, state, oracle, 0.97**t)
            path.append((theta.copy(), np.array(value)))
        return path, state

    path, state = run(make(optimizer_class, None, np.array(LRS)[:, None]), starts.copy())
    for k in range(3):
        path_alone, state_alone = run(make(optimizer_class, k, LRS[k]), starts[k].copy())
        for (theta, value), (theta_alone, value_alone) in zip(path, path_alone, strict=True):
            np.testing.assert_array_equal(theta[k], theta_alone)
            np.testing.assert_array_equal(value[k], value_alone)
        for name, array in state_alone.items():
            np.testing.assert_array_equal(state[name][k] if array.ndim else state[name], array)


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_theta_and_state_keep_shape_and_dtype(optimizer_class, dtype, stacked):
    theta = (np.stack([START] * 3) if stacked else START).astype(dtype)
    shape, lr = theta.shape, np.full((3, 1), 1e-3) if stacked else 1e-3
    optimizer = make(optimizer_class, None if stacked else 0, lr)
    before = {name: (a.shape, a.dtype) for name, a in optimizer.init(theta).items()}
    for moved, state in islice(walk(optimizer, Rosenbrock(), theta, [0.5] * 3), 3):
        assert moved is theta
        assert (theta.shape, theta.dtype) == (shape, dtype)
        assert {name: (a.shape, a.dtype) for name, a in state.items()} == before
        assert {a.dtype for a in state.values() if a.ndim} <= {np.dtype(dtype)}


def test_the_state_is_not_a_view_of_theta(optimizer_class):
    theta = START.copy()
    state = make(optimizer_class, 0, 0.1).init(theta)
    assert not any(np.shares_memory(array, theta) for array in state.values())


@pytest.mark.parametrize("shape", [(200_000,), (3, 70_000)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_array_of_theta_s_size_is_allocated_after_the_first_step(optimizer_class, dtype, shape):
    def bowl(theta, batch, grad, work):
        np.copyto(grad, theta)
        return np.vecdot(theta, theta) / 2

    theta = np.ones(shape, dtype)
    stacked = theta.ndim > 1
    optimizer = make(
        optimizer_class, None if stacked else 0, np.full((3, 1), 0.1) if stacked else 0.1
    )
    state, oracle = optimizer.init(theta), Oracle(bowl, Workspace())
    optimizer.step(theta, state, oracle, 1.0)
    tracemalloc.start()
    try:
        optimizer.step(theta, state, oracle, 1.0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < theta.nbytes / 8

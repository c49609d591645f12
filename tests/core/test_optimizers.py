"""One table of optimizers, one battery of tests. (PyTorch's are in tests/peers.)"""

import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import count, islice
from math import sqrt

import numpy as np
import pytest
from scipy.optimize import minimize

from nnlab.core.adaptive import Adadelta, Adagrad, Adam, AdamW, Lion, Nadam, RMSProp
from nnlab.core.arrays import Hyper, Workspace
from nnlab.core.averaging import EMA
from nnlab.core.clipping import ClipNorm
from nnlab.core.initialisers import Xavier
from nnlab.core.lbfgs import LBFGS
from nnlab.core.losses import CrossEntropy
from nnlab.core.model import MLP, Linear
from nnlab.core.objective import Batch, NetworkObjective, Oracle
from nnlab.core.optimizers import NAG, SGD, Momentum
from nnlab.core.penalties import L2, Elastic, NoPenalty
from nnlab.core.random_search import RandomLocalSearch, RandomSearch
from nnlab.core.surfaces import Beale, Parabola, Rosenbrock

SEED = 7


class Ask:
    """What a textbook may ask of a surface, and the random vector of step t."""

    def __init__(self, surface):
        self.surface = surface

    def value(self, theta):
        return float(self.surface(theta, None, None, Workspace()))

    def gradient(self, theta):
        grad = np.empty_like(theta)
        self.surface(theta, None, grad, Workspace())
        return grad

    def normal(self, t, size):
        return np.random.default_rng((SEED, t)).standard_normal(size)


def sgd(ask, theta, lrs):
    for lr in lrs:
        theta = theta - lr * ask.gradient(theta)
        yield theta


def polyak(ask, theta, lrs, momentum):
    v = 0
    for lr in lrs:
        v = momentum * v - lr * ask.gradient(theta)
        theta = theta + v
        yield theta


def nesterov(ask, theta, lrs, momentum):
    v = 0
    for lr in lrs:
        v = momentum * v - lr * ask.gradient(theta + momentum * v)
        theta = theta + v
        yield theta


def duchi(ask, theta, lrs, epsilon):
    s = 0
    for lr in lrs:
        g = ask.gradient(theta)
        s = s + g**2
        theta = theta - lr * g / (np.sqrt(s) + epsilon)
        yield theta


def zeiler(ask, theta, lrs, rho, epsilon):
    def rms(squares):
        return np.sqrt(squares + epsilon)

    squares, square_updates = 0, 0
    for lr in lrs:
        g = ask.gradient(theta)
        squares = rho * squares + (1 - rho) * g**2
        update = -rms(square_updates) / rms(squares) * g
        square_updates = rho * square_updates + (1 - rho) * update**2
        theta = theta + lr * update
        yield theta


def hinton(ask, theta, lrs, rho, epsilon):
    s = 0
    for lr in lrs:
        g = ask.gradient(theta)
        s = rho * s + (1 - rho) * g**2
        theta = theta - lr * g / (np.sqrt(s) + epsilon)
        yield theta


def kingma_ba(ask, theta, lrs, beta1, beta2, epsilon, weight_decay=0.0):
    """With a weight decay Loshchilov and Hutter's: eta is lr, alpha 1, lambda weight_decay."""
    m, v = 0, 0
    for t, lr in enumerate(lrs, start=1):
        g = ask.gradient(theta)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        theta = theta - lr * (m_hat / (np.sqrt(v_hat) + epsilon) + weight_decay * theta)
        yield theta


def dozat(ask, theta, lrs, beta1, beta2, epsilon, momentum_decay):
    def mu(t):
        return beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))

    m, v = 0, 0
    for t, lr in enumerate(lrs, start=1):
        g = ask.gradient(theta)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        until = [np.prod([mu(k) for k in range(1, last + 1)]) for last in (t, t + 1)]
        m_hat = mu(t + 1) * m / (1 - until[1]) + (1 - mu(t)) * g / (1 - until[0])
        theta = theta - lr * m_hat / (np.sqrt(v / (1 - beta2**t)) + epsilon)
        yield theta


def chen(ask, theta, lrs, beta1, beta2, weight_decay):
    m = 0
    for lr in lrs:
        g = ask.gradient(theta)
        update = np.sign(beta1 * m + (1 - beta1) * g)
        theta = theta - lr * (update + weight_decay * theta)
        m = beta2 * m + (1 - beta2) * g
        yield theta


def baseline(ask, theta, stds):
    for t, std in enumerate(stds):
        tried = std * ask.normal(t, theta.size)
        theta = tried if ask.value(tried) < ask.value(theta) else theta
        yield theta


def rastrigin(ask, theta, stds):
    for t, std in enumerate(stds):
        tried = theta + std * ask.normal(t, theta.size)
        theta = tried if ask.value(tried) < ask.value(theta) else theta
        yield theta


def scipy_s(ask, theta, lrs, iterations, memory):
    options = {"maxiter": iterations, "maxcor": memory}
    for lr in lrs:
        found = minimize(ask.value, theta, jac=ask.gradient, method="L-BFGS-B", options=options)
        theta = theta + lr * (found.x - theta)
        yield theta


PARABOLA, ROSENBROCK, BEALE = Parabola(), Rosenbrock(), Beale()
MU = [0.9 * (1 - 0.5 * 0.96 ** (0.004 * t)) for t in (1, 2, 3)]
ADADELTA = sqrt(1e-6 / 0.100001)  # its first update, sqrt(0 + 1e-6) / sqrt(0.1 + 1e-6)


def nadam_by_hand():
    x = 1 - 0.1 * (MU[1] * 0.1 / (1 - MU[0] * MU[1]) + 1)  # m = 0.1, v_hat = 1
    m, v_hat = 0.09 + 0.1 * x, (0.000999 + 0.001 * x * x) / 0.001999
    step = MU[2] * m / (1 - MU[0] * MU[1] * MU[2]) + (1 - MU[1]) * x / (1 - MU[0] * MU[1])
    return x, x - 0.1 * step / sqrt(v_hat)


@dataclass(frozen=True)
class Row:
    """What the battery needs to know of an optimizer."""

    textbook: Callable
    first_steps: tuple[float, ...]
    """theta after two steps on theta^2 / 2 from 1, with lr=0.1 and else the defaults, by hand;
    the searches draw -1, then 0.5."""
    lrs: Mapping[object, float]
    """For each surface, what goes down its valley without leaving it."""
    bold: float = 1.0
    """How many times that size the steps are that are compared with the textbook's."""
    steps: int = 2000
    reached: Mapping[object, float] = field(
        default_factory=lambda: {PARABOLA: 1e-12, ROSENBROCK: 0.05, BEALE: 1e-9}
    )
    """The objective after `steps` steps whose size falls linearly to zero."""
    scaled: str = "lr"
    """The field that the schedule scales."""
    hyper: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Hyperparameters besides that, for each of three models."""
    fixed: Mapping[str, float] = field(default_factory=dict)
    """Hyperparameters that are the same for every model."""
    told: Callable = lambda asked: asked[0] if len(asked) == 1 else None
    """The value that a step returns, of those it asked for."""


def lrs(parabola, rosenbrock, beale):
    return {PARABOLA: parabola, ROSENBROCK: rosenbrock, BEALE: beale}


TABLE = {
    SGD: Row(sgd, (0.9, 0.81), lrs(0.15, 3e-3, 0.05)),
    Momentum: Row(
        polyak,
        (0.9, 0.72),  # v = -0.1, then -0.09 - 0.09
        lrs(0.05, 2e-3, 0.01),
        hyper={"momentum": (0.9, 0.5, 0.0)},
    ),
    NAG: Row(
        nesterov,
        (0.9, 0.729),  # v = -0.1, then -0.09 - 0.1 (0.9 - 0.09)
        lrs(0.05, 1e-3, 0.01),
        hyper={"momentum": (0.9, 0.5, 0.0)},
    ),
    Adagrad: Row(
        duchi,
        (0.9, 0.9 - 0.1 * 0.9 / sqrt(1.81)),
        lrs(0.5, 1.5, 0.5),
        fixed={"epsilon": 1e-6},
    ),
    Adadelta: Row(
        zeiler,
        (
            1 - 0.1 * ADADELTA,
            1
            - 0.1 * ADADELTA
            - 0.1
            * (1 - 0.1 * ADADELTA)
            * sqrt(0.1 * ADADELTA**2 + 1e-6)
            / sqrt(0.09 + 0.1 * (1 - 0.1 * ADADELTA) ** 2 + 1e-6),
        ),
        lrs(1.0, 1.0, 1.0),
        hyper={"rho": (0.9, 0.5, 0.0)},
        fixed={"epsilon": 1e-5},
    ),
    RMSProp: Row(
        hinton,
        # s = 0.1, then 0.09 + 0.1 theta^2
        (
            1 - sqrt(0.1),
            (1 - sqrt(0.1)) * (1 - 0.1 / sqrt(0.09 + 0.1 * (1 - sqrt(0.1)) ** 2)),
        ),
        lrs(0.01, 0.01, 5e-3),
        hyper={"rho": (0.9, 0.5, 0.0)},
        fixed={"epsilon": 1e-3},
    ),
    Adam: Row(
        kingma_ba,
        # m_hat = 0.18 / 0.19, v_hat = (0.000999 + 0.001 * 0.81) / 0.001999
        (0.9, 0.9 - 0.1 * (0.18 / 0.19) / sqrt(1.809 / 1.999)),
        lrs(0.1, 0.1, 0.1),
        hyper={"beta1": (0.9, 0.5, 0.0), "beta2": (0.999, 0.9, 0.5)},
        fixed={"epsilon": 1e-3},
    ),
    AdamW: Row(
        kingma_ba,
        # 1 - 0.1 - 0.1 * 0.01; m_hat = (0.09 + 0.0899) / 0.19, v_hat with 0.899^2 = 0.808201
        (0.899, 0.899 - 0.000899 - 0.1 * (0.1799 / 0.19) / sqrt(1.807201 / 1.999)),
        lrs(0.1, 0.1, 0.1),
        # the decay moves the minimum, but not that of a parabola around 0
        reached={PARABOLA: 1e-12, ROSENBROCK: 0.05, BEALE: 1e-3},
        hyper={
            "beta1": (0.9, 0.5, 0.0),
            "beta2": (0.999, 0.9, 0.5),
            "weight_decay": (0.01, 0.1, 0.0),
        },
        fixed={"epsilon": 1e-3},
    ),
    Nadam: Row(
        dozat,
        nadam_by_hand(),
        lrs(0.1, 0.03, 0.1),
        hyper={"beta1": (0.9, 0.5, 0.0), "beta2": (0.999, 0.9, 0.5)},
        fixed={"epsilon": 1e-3, "momentum_decay": 0.01},
    ),
    Lion: Row(
        chen,
        (0.9, 0.8),  # the sign is that of 0.1, then of 0.9 * 0.01 + 0.1 * 0.9
        lrs(0.005, 0.005, 0.01),
        bold=30.0,  # so that signs change
        reached={PARABOLA: 1e-9, ROSENBROCK: 1e-4, BEALE: 1e-6},
        hyper={
            "beta1": (0.9, 0.5, 0.0),
            "beta2": (0.99, 0.9, 0.0),
            "weight_decay": (0.0, 0.1, 0.01),
        },
    ),
    # no slope, no memory: 2000 draws come as near as one of them happens to be
    RandomSearch: Row(
        baseline,
        (-0.1, 0.05),  # -0.1 is nearer to 0 than 1, 0.05 is nearer still
        lrs(1.0, 1.0, 2.0),
        reached={PARABOLA: 0.01, ROSENBROCK: 0.1, BEALE: 0.5},
        scaled="std",
        told=min,
    ),
    RandomLocalSearch: Row(
        rastrigin,
        (0.9, 0.9),  # 0.95 is no better
        lrs(0.1, 0.1, 0.1),
        reached={PARABOLA: 1e-6, ROSENBROCK: 1e-4, BEALE: 1e-6},
        scaled="std",
        told=min,
    ),
    LBFGS: Row(
        scipy_s,
        (0.9, 0.81),  # a tenth of the way to 0, where its line search arrives at once
        lrs(1.0, 1.0, 1.0),
        steps=20,
        fixed={"iterations": 5, "memory": 3},
        told=lambda asked: asked[0],
    ),
}
SIZES = (0.05, 0.02, 0.003)
STARTS = {surface: np.array([-1.2, 1.0]) for surface in (PARABOLA, ROSENBROCK)}
STARTS[BEALE] = np.array([1.0, 1.0])  # from the left its valley leads to infinity
START = STARTS[ROSENBROCK]
LEAN = [cls for cls in TABLE if cls is not LBFGS]  # SciPy makes its own arrays
every_surface = pytest.mark.parametrize("surface", [PARABOLA, ROSENBROCK, BEALE], ids=str)


def make(optimizer_class, k, size):
    """The optimizer of the k-th model, or of all three as a stack where k is None."""
    row = TABLE[optimizer_class]
    columns = {
        name: np.array(numbers)[:, None] if k is None else numbers[k]
        for name, numbers in row.hyper.items()
    }
    return optimizer_class(**{row.scaled: size}, **columns, **row.fixed)


def walk(optimizer, objective, theta, scales, state=None, first=0):
    """Yield theta (the same array, moved in place) and state after each step."""
    state = optimizer.init(theta) if state is None else state
    oracle = Oracle(objective, Workspace())
    for t, scale in enumerate(scales, first):
        oracle.seed = (SEED, t)
        optimizer.step(theta, state, oracle, scale)
        yield theta, state


def test_every_optimizer_is_in_the_table_with_all_its_hyperparameters(optimizer_class):
    row = TABLE[optimizer_class]
    per_model = {field.name for field in fields(optimizer_class) if field.type == Hyper}
    assert per_model == {row.scaled, *row.hyper}
    assert {field.name for field in fields(optimizer_class)} == per_model | row.fixed.keys()


def test_first_steps_by_hand(optimizer_class):
    class Drawn:
        numbers = iter([-1.0, 0.5])

        def standard_normal(self, dtype, out):
            out[...] = next(self.numbers)

    row, theta, thetas = TABLE[optimizer_class], np.ones(1), []
    oracle, drawn = Oracle(Parabola((1.0,)), Workspace()), Drawn()
    oracle.rng = lambda: drawn
    optimizer = optimizer_class(**{row.scaled: 0.1})
    state = optimizer.init(theta)
    for _ in row.first_steps:
        optimizer.step(theta, state, oracle, 1.0)
        thetas.append(float(theta[0]))
    assert thetas == pytest.approx(row.first_steps, rel=1e-7)


@pytest.mark.parametrize("k", range(3))
@every_surface
def test_a_hundred_steps_are_the_textbook_s(optimizer_class, surface, k):
    row = TABLE[optimizer_class]
    size = row.bold * row.lrs[surface]
    scales = [1 / (1 + t / 10) for t in range(100)]
    hyper = {name: numbers[k] for name, numbers in row.hyper.items()} | row.fixed
    start = STARTS[surface]
    textbook = row.textbook(Ask(surface), start, [size * scale for scale in scales], **hyper)
    ours = walk(make(optimizer_class, k, size), surface, start.copy(), scales)
    for expected, (theta, _) in zip(textbook, ours, strict=True):
        np.testing.assert_allclose(theta, expected, rtol=1e-10, atol=1e-13)


def test_the_value_returned_is_one_that_was_asked_for(optimizer_class):
    asked = []

    def objective(theta, batch, grad, work):
        value = Rosenbrock()(theta, batch, grad, work)
        asked.append(float(value))
        return value

    optimizer, theta = make(optimizer_class, 0, 1e-3), START.copy()
    oracle, state = Oracle(objective, Workspace()), optimizer.init(theta)
    for t in range(5):
        asked.clear()
        value = float(optimizer.step(theta, state, oracle, 1.0))
        assert value == TABLE[optimizer_class].told(asked)
        assert t > 0 or asked[0] == pytest.approx(24.2)


def test_a_gradient_is_asked_for_unless_the_optimizer_is_gradient_free(optimizer_class):
    wanted = set()

    def objective(theta, batch, grad, work):
        wanted.add(grad is not None)
        return Rosenbrock()(theta, batch, grad, work)

    list(walk(make(optimizer_class, 0, 1e-3), objective, START.copy(), [1.0] * 3))
    assert wanted == {not optimizer_class.gradient_free}


@every_surface
def test_the_minimum_is_found(optimizer_class, surface):
    row = TABLE[optimizer_class]
    optimizer, theta = optimizer_class(**{row.scaled: row.lrs[surface]}), STARTS[surface].copy()
    scales = [1 - t / row.steps for t in range(row.steps)]
    for _ in walk(optimizer, surface, theta, scales):
        pass
    assert Ask(surface).value(theta) < row.reached[surface]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stop_save_restore_go_on_equals_never_stopped(optimizer_class, dtype):
    scales = [1 - t / 50 for t in range(40)]
    go = partial(walk, make(optimizer_class, 0, 1e-3), ROSENBROCK)
    uninterrupted = START.astype(dtype)
    *_, (_, state) = go(uninterrupted, scales)

    theta = START.astype(dtype)
    *_, (_, saved) = go(theta, scales[:17])
    theta, saved = theta.copy(), {name: array.copy() for name, array in saved.items()}
    *_, (_, saved) = go(theta, scales[17:], saved, first=17)

    np.testing.assert_array_equal(theta, uninterrupted)
    assert saved.keys() == state.keys()
    for name in state:
        np.testing.assert_array_equal(saved[name], state[name])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("model", "penalty"),
    [(Linear(), NoPenalty()), (MLP((16,)), L2(0.01)), (MLP((8, 8), "tanh"), L2(0.01))],
    ids=str,
)
def test_k_stacked_models_walk_bit_for_bit_like_k_single_ones(
    optimizer_class, model, penalty, dtype
):
    rng = np.random.default_rng(0)
    network = model.build(10, 3)
    batches = [
        Batch(rng.normal(size=(m, 10)).astype(dtype), rng.integers(3, size=m)) for m in (32, 32, 7)
    ]
    starts = np.stack(
        [network.initial(Xavier(), np.random.default_rng(k), dtype) for k in range(3)]
    )
    objective = NetworkObjective(network, CrossEntropy(), penalty)
    steps = 6 if optimizer_class.full_batch else 30

    def run(optimizer, theta):
        """Theta and the objective's value after every step, and the last state."""
        oracle, state, path = Oracle(objective, Workspace()), optimizer.init(theta), []
        for t in range(steps):
            oracle.batch, oracle.seed = batches[t % 3], (SEED, t)
            value = optimizer.step(theta, state, oracle, 0.97**t)
            path.append((theta.copy(), np.array(value)))
        return path, state

    path, state = run(make(optimizer_class, None, np.array(SIZES)[:, None]), starts.copy())
    for k in range(3):
        path_alone, state_alone = run(make(optimizer_class, k, SIZES[k]), starts[k].copy())
        for (theta, value), (theta_alone, value_alone) in zip(path, path_alone, strict=True):
            np.testing.assert_array_equal(theta[k], theta_alone)
            np.testing.assert_array_equal(value[k], value_alone)
        for name, array in state_alone.items():
            np.testing.assert_array_equal(state[name][k] if array.ndim else state[name], array)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_whole_steps_of_a_stack_whose_numbers_all_differ_are_those_of_its_models(
    optimizer_class, dtype
):
    """Penalty, clipping, optimizer and average have numbers of each model's own."""
    network, column = MLP((16,)).build(10, 3), np.array([[0.001], [0.01], [0.1]])
    rng = np.random.default_rng(1)
    batch = Batch(rng.normal(size=(32, 10)).astype(dtype), rng.integers(3, size=32))
    starts = rng.normal(size=(3, network.layout.size)).astype(dtype)

    def run(optimizer, numbers, theta):
        objective = NetworkObjective(network, CrossEntropy(), Elastic(numbers, numbers))
        oracle, averaging = Oracle(objective, Workspace(), ClipNorm(numbers)), EMA(1 - numbers)
        state, average = optimizer.init(theta), averaging.init(theta)
        oracle.batch = batch
        for t in range(5):
            oracle.seed = (SEED, t)
            optimizer.step(theta, state, oracle, 0.9**t)
            averaging.update(theta, average, oracle.work)
        return theta, averaging.value(theta, average)

    stack = run(make(optimizer_class, None, np.array(SIZES)[:, None]), column, starts.copy())
    for k in range(3):
        optimizer, number = make(optimizer_class, k, SIZES[k]), float(column[k, 0])
        alone = run(optimizer, number, starts[k].copy())
        for ours, theirs in zip(stack, alone, strict=True):
            assert ours[k].tobytes() == theirs.tobytes()


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_theta_and_state_keep_shape_and_dtype(optimizer_class, dtype, stacked):
    theta = (np.stack([START] * 3) if stacked else START).astype(dtype)
    shape, size = theta.shape, np.full((3, 1), 1e-3) if stacked else 1e-3
    optimizer = make(optimizer_class, None if stacked else 0, size)
    before = {name: (a.shape, a.dtype) for name, a in optimizer.init(theta).items()}
    for moved, state in islice(walk(optimizer, ROSENBROCK, theta, [0.5] * 3), 3):
        assert moved is theta
        assert (theta.shape, theta.dtype) == (shape, dtype)
        assert {name: (a.shape, a.dtype) for name, a in state.items()} == before
        assert {a.dtype for a in state.values() if a.shape == shape} <= {np.dtype(dtype)}


def test_the_state_is_not_a_view_of_theta(optimizer_class):
    theta = START.copy()
    state = make(optimizer_class, 0, 0.1).init(theta)
    assert not any(np.shares_memory(array, theta) for array in state.values())


def test_what_the_schedule_scales_is_called_lr(optimizer_class):
    assert make(optimizer_class, 0, 0.25).lr == 0.25


@pytest.mark.parametrize("lean_class", LEAN)
@pytest.mark.parametrize("shape", [(200_000,), (3, 70_000)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_array_of_theta_s_size_is_allocated_after_the_first_step(lean_class, dtype, shape):
    def bowl(theta, batch, grad, work):
        if grad is not None:
            np.copyto(grad, theta)
        return np.vecdot(theta, theta) / 2

    theta = np.ones(shape, dtype)
    stacked = theta.ndim > 1
    optimizer = make(lean_class, None if stacked else 0, np.full((3, 1), 0.1) if stacked else 0.1)
    state, oracle = optimizer.init(theta), Oracle(bowl, Workspace())
    optimizer.step(theta, state, oracle, 1.0)
    tracemalloc.start()
    try:
        optimizer.step(theta, state, oracle, 1.0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < theta.nbytes / 8


def test_only_l_bfgs_needs_every_example_in_a_batch():
    assert [cls for cls in TABLE if cls.full_batch] == [LBFGS]


@pytest.mark.parametrize("search", [RandomSearch, RandomLocalSearch])
def test_a_search_never_climbs_and_says_where_it_stands(search):
    theta, ask, before = START.copy(), Ask(ROSENBROCK), 24.2
    oracle, moves = Oracle(ROSENBROCK, Workspace()), 0
    for t in range(200):
        oracle.seed = (SEED, t)
        value = float(search(std=0.3).step(theta, {}, oracle, 1.0))
        assert value == ask.value(theta) <= before * (1 + 1e-15)
        moves += value < before
        before = value
    assert moves >= 3


@pytest.mark.parametrize("search", [RandomSearch, RandomLocalSearch])
def test_a_search_draws_by_the_oracle_s_seed_alone(search):
    def tried(seed):
        thetas = []

        def objective(theta, batch, grad, work):
            thetas.append(theta.copy())
            return 0.0

        oracle = Oracle(objective, Workspace())
        oracle.seed = seed
        search().step(START.copy(), {}, oracle, 1.0)
        return thetas[1]

    np.testing.assert_array_equal(tried((1, 2)), tried((1, 2)))
    assert not np.equal(tried((1, 2)), tried((1, 3))).any()
    assert not np.equal(tried((1, 2)), tried((2, 2))).any()


@pytest.mark.parametrize("search", [RandomSearch, RandomLocalSearch])
def test_a_search_goes_nowhere_where_all_is_nan_or_equal(search):
    for value in (np.nan, 1.0):
        theta = START.copy()
        for _ in walk(search(), lambda *_, value=value: np.array(value), theta, [1.0] * 5):
            np.testing.assert_array_equal(theta, START)


def test_a_search_leaves_a_bad_number_behind():
    values = iter([1.0, np.nan, 1.0, np.inf, 1.0, 0.5])
    theta, scales = START.copy(), [1.0] * 3
    moved = [
        not np.array_equal(theta, START)
        for _ in walk(RandomLocalSearch(), lambda *_: np.array(next(values)), theta, scales)
    ]
    assert moved == [False, False, True]


def test_lion_s_steps_have_the_size_of_lr_whatever_the_gradient():
    for scale in (1e-6, 1.0, 1e6):
        theta = np.array([3.0, -2.0])
        for t, _ in zip(count(1), walk(Lion(0.1), Parabola((scale, scale)), theta, [1.0] * 5)):
            np.testing.assert_allclose(theta, [3 - 0.1 * t, -2 + 0.1 * t], rtol=1e-12)


def test_adamw_without_decay_is_adam_bit_for_bit():
    for dtype in (np.float32, np.float64):
        thetas = [START.astype(dtype) for _ in range(2)]
        for optimizer, theta in zip((Adam(0.1), AdamW(0.1, weight_decay=0)), thetas, strict=True):
            list(walk(optimizer, ROSENBROCK, theta, [1.0] * 20))
        np.testing.assert_array_equal(*thetas)


def test_weight_decay_alone_shrinks_theta_geometrically():
    """Where the gradient is 0, theta shrinks by 1 - lr * weight_decay, and not by the gradient."""

    def flat(theta, batch, grad, work):
        grad[...] = 0
        return np.zeros(())

    for optimizer in (AdamW(0.1, weight_decay=0.5), Lion(0.1, weight_decay=0.5)):
        theta = START.copy()
        list(walk(optimizer, flat, theta, [1.0, 0.5, 0.2]))
        np.testing.assert_allclose(theta, START * 0.95 * 0.975 * 0.99, rtol=1e-14)

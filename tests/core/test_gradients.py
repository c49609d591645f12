"""Every analytic gradient against central differences in float64 by a plain loop; the fast
numerical gradients against the same loop; and what a gradient check finds."""

import tracemalloc
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest

from nnlab.core.activations import ACTIVATIONS, LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from nnlab.core.arrays import Workspace
from nnlab.core.dropout import Dropout
from nnlab.core.gradient_check import check_gradient
from nnlab.core.gradients import (
    SCHEMES,
    LossProbe,
    Numerical,
    central_differences,
    differences,
    forward_differences,
    loss_differences,
    numerical,
    penalty_differences,
    relative_error,
)
from nnlab.core.initialisers import He, Normal
from nnlab.core.laws import LawError
from nnlab.core.layers import Dense
from nnlab.core.losses import MSE, CrossEntropy, HalfMSE, Hinge, SigmoidSquaredError
from nnlab.core.model import MLP, Linear, Network
from nnlab.core.normalisation import BatchNorm
from nnlab.core.objective import Analytic, Batch, NetworkObjective, Oracle
from nnlab.core.optimizers import SGD, Momentum
from nnlab.core.penalties import L1, L2, Elastic, NoPenalty
from nnlab.core.surfaces import Beale, Parabola, Rosenbrock

MODELS = [
    Linear(),
    *(MLP(hidden, activation) for hidden in ((3,), (3, 2)) for activation in ACTIVATIONS),
    Linear("sigmoid"),
    MLP((3,), "tanh", output="softmax"),
    MLP((3,), "sigmoid", output="sigmoid"),
    MLP((3, 2), "leaky_relu", batch_norm=True),
    MLP((3, 2), "tanh", dropout=0.3),
    MLP((3, 2), "relu", batch_norm=True, dropout=0.3, output="tanh"),
]
SEED = (7, 2, 0)
NONE, HALF, ENTROPY = NoPenalty(), HalfMSE(), CrossEntropy()


def plain_loop(objective, theta, batch, step, scheme="central", at=None):
    """A difference of two values for each parameter in turn."""
    batch = batch._replace(buffers=None) if isinstance(batch, Batch) else batch
    at = range(theta.size) if at is None else at

    def value(k, offset):
        moved = theta.copy()
        moved[k] += offset
        return float(objective(moved, batch, None, Workspace()))

    below, width = (0.0, step) if scheme == "forward" else (-step, 2 * step)
    return np.array([(value(k, step) - value(k, below)) / width for k in at])


def analytic(objective, theta, batch):
    grad = np.full_like(theta, np.nan)
    objective(theta, batch._replace(buffers=None), grad, Workspace())
    return grad


def assert_gradient_is_right(objective, theta, batch):
    grad = analytic(objective, theta, batch)
    assert np.abs(grad).max() > 1e-3, "a point where the gradient vanishes proves nothing"
    assert relative_error(grad, plain_loop(objective, theta, batch, 1e-6)) <= 1e-6


def test_every_model_is_in_the_table(model_class):
    assert model_class in {type(model) for model in MODELS}


# Backpropagation.


@pytest.mark.parametrize(("classes", "weighted"), [(2, True), (3, False)])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_every_model_with_every_loss_and_penalty(
    model, loss_class, penalty_class, classes, weighted
):
    # Random points are away from kinks (of ReLU, hinge and |w|): the chance of one within the
    # step of 1e-6 is below 1e-3, and the seed is fixed.
    rng = np.random.default_rng(7)
    loss = loss_class()
    penalty = penalty_class(**{field.name: 0.1 for field in fields(penalty_class)})
    network = model.build(3, loss.outputs(classes))
    if model.output == "softmax" and loss.outputs(classes) == 1:
        return  # always 1, whatever the weights
    labels = np.arange(6) % classes
    weights = rng.uniform(0.5, 3, 6) if weighted else None
    y = loss.encode(labels, classes, np.float64)
    batch = Batch(rng.normal(size=(6, 3)), y, weights, SEED)
    theta = rng.normal(size=network.layout.size, scale=0.7)
    assert_gradient_is_right(NetworkObjective(network, loss, penalty), theta, batch)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_every_model_with_regression_targets(model):
    rng = np.random.default_rng(8)
    network = model.build(4, 2)
    batch = Batch(rng.normal(size=(6, 4)), rng.normal(size=(6, 2)), None, SEED)
    theta = rng.normal(size=network.layout.size)
    assert_gradient_is_right(NetworkObjective(network, MSE(), L2(0.1)), theta, batch)


ODD = {  # networks from 4 features to 2 scores that no config builds, and ones on the edge
    "dense after dense": (Dense("a", 4, 5), Dense("b", 5, 5), Tanh(), Dense("c", 5, 2)),
    "dense alone": (Dense("a", 4, 3), Dense("b", 3, 2)),
    "one unit": (Dense("a", 4, 1), Tanh(), Dense("b", 1, 2)),
    "batch norm first": (BatchNorm("n", 4), Dense("a", 4, 3), Tanh(), Dense("b", 3, 2)),
    "batch norm last": (Dense("a", 4, 2), BatchNorm("n", 2)),
    "batch norm twice": (Dense("a", 4, 2), BatchNorm("n", 2), BatchNorm("o", 2), Sigmoid()),
    "norm after activation": (Dense("a", 4, 3), Tanh(), BatchNorm("n", 3), Dense("b", 3, 2)),
    "dropout first": (Dropout("d", 0.3), Dense("a", 4, 3), Tanh(), Dense("b", 3, 2)),
    "dropout before activation": (
        Dense("a", 4, 5),
        Dropout("d", 0.3),
        Tanh(),
        Dropout("e", 0.4),
        Dense("b", 5, 2),
    ),
    "dropout twice": (
        Dense("a", 4, 5),
        Dropout("d", 0.3),
        Dropout("e", 0.4),
        Dense("b", 5, 2),
    ),
    "dropout last": (Dense("a", 4, 2), Tanh(), Dropout("d", 0.3)),
    "softmax inside": (Dense("a", 4, 5), Softmax(), Dense("b", 5, 3), Softmax(), Dense("c", 3, 2)),
    "softmax last": (Dense("a", 4, 5), LeakyReLU(), Dense("b", 5, 2), Softmax()),
    "activation last": (Dense("a", 4, 5), ReLU(), Dense("b", 5, 2), Sigmoid()),
    "deep": (
        *(Dense("a", 4, 4), ReLU(), Dense("b", 4, 4), Tanh(), Dense("c", 4, 4), Sigmoid()),
        *(Dense("d", 4, 4), LeakyReLU(), Dense("e", 4, 4), Tanh(), Dense("f", 4, 4), Sigmoid()),
        Dense("g", 4, 2),
    ),
    "everything": (
        *(Dense("a", 4, 5), BatchNorm("n", 5), ReLU(), Dropout("d", 0.3)),
        *(Dense("b", 5, 5), BatchNorm("m", 5), Tanh(), Dropout("e", 0.3)),
        *(Dense("c", 5, 2), Sigmoid()),
    ),
}
odd = pytest.mark.parametrize("layers", ODD.values(), ids=ODD.keys())


def odd_case(layers, penalty=NONE, loss=HALF, weighted=True):
    rng = np.random.default_rng(9)
    network = Network(layers)
    weights = rng.uniform(0.5, 3, 7) if weighted else None
    y = rng.normal(size=(7, 2)) if loss.regression else np.arange(7) % 2
    batch = Batch(rng.normal(size=(7, 4)), y, weights, SEED)
    return (
        NetworkObjective(network, loss, penalty),
        rng.normal(size=network.layout.size),
        batch._replace(buffers=network.initial_buffers(np.float64)),
    )


@odd
def test_layers_in_any_order(layers):
    assert_gradient_is_right(*odd_case(layers, L2(0.1)))


# Differences of any function.


def test_central_differences_of_a_cubic():
    # More parameters than are evaluated at once: d/dx_k of sum_k k x_k^3 is 3 k x_k^2.
    theta, k = np.linspace(-2, 2, 600), np.arange(600)
    before = theta.copy()
    slopes = central_differences(lambda thetas: (k * thetas**3).sum(axis=-1), theta, 1e-3)
    np.testing.assert_array_equal(theta, before)
    # the series' error is k step^2, exactly
    np.testing.assert_allclose(slopes, 3 * k * theta**2 + k * 1e-6, atol=1e-6)


def quadratic(thetas):
    return thetas[:, 0] ** 2 - 3 * thetas[:, 0] * thetas[:, 1]


def test_differences_of_a_quadratic_have_no_error_but_the_series():
    # step 0.5 and small integers: every operation is exact
    theta = np.array([2.0, 5.0])
    np.testing.assert_array_equal(central_differences(quadratic, theta, 0.5), [4 - 15, -6])
    # forward: off by step * f'' / 2 = 0.5 * 2 / 2
    np.testing.assert_array_equal(forward_differences(quadratic, theta, 0.5), [4 - 15 + 0.5, -6])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_differences_at_some_coordinates_come_in_their_order(scheme):
    theta, k = np.linspace(-2, 2, 600), np.arange(600)
    at = np.concatenate([np.arange(599, 200, -1), [7, 7]])

    def value(thetas):
        return (k * thetas**2).sum(axis=-1)

    everywhere = differences(value, theta, 0.5, scheme)
    np.testing.assert_array_equal(differences(value, theta, 0.5, scheme, at), everywhere[at])


def test_the_error_is_of_the_first_order_forward_and_of_the_second_central():
    # f = sum_k exp(theta_k): the error is h f'' / 2, and h^2 f''' / 6
    theta = np.array([-1.0, 0.0, 2.0])

    def error(scheme, step):
        slopes = differences(lambda thetas: np.exp(thetas).sum(axis=-1), theta, step, scheme)
        return slopes - np.exp(theta)

    for step in (1e-2, 1e-3):
        np.testing.assert_allclose(error("forward", step), step / 2 * np.exp(theta), rtol=5e-3)
        np.testing.assert_allclose(error("central", step), step**2 / 6 * np.exp(theta), rtol=5e-3)


def test_a_network_s_numerical_error_falls_in_the_same_orders():
    objective, theta, batch = odd_case(ODD["dense after dense"], L2(0.1))
    exact = analytic(objective, theta, batch)
    for scheme, order in (("forward", 1), ("central", 2)):
        errors = [
            np.abs(numerical(objective, theta, batch, step, scheme) - exact).max()
            for step in (1e-2, 1e-3)
        ]
        assert np.log10(errors[0] / errors[1]) == pytest.approx(order, abs=0.05)


# The fast numerical gradient of a network.


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("loss", [HalfMSE(), CrossEntropy()], ids=str)
@odd
def test_the_fast_gradient_is_the_plain_loop_s(layers, loss, scheme):
    # A wide step: both make the same error of the series, and rounding counts for little.
    objective, theta, batch = odd_case(layers, Elastic(0.1, 0.2), loss)
    before, buffers = theta.copy(), batch.buffers.copy()
    fast = numerical(objective, theta, batch, 0.1, scheme)
    assert relative_error(fast, plain_loop(objective, theta, batch, 0.1, scheme)) <= 1e-12
    np.testing.assert_array_equal(theta, before)
    np.testing.assert_array_equal(batch.buffers, buffers)


@pytest.mark.parametrize("scheme", SCHEMES)
@odd
def test_the_loss_s_gradient_at_some_coordinates_comes_in_their_order(layers, scheme):
    objective, theta, batch = odd_case(layers, weighted=False)
    everywhere = loss_differences(objective, theta, batch, 0.1, scheme)
    rng = np.random.default_rng(0)
    at = np.concatenate([rng.permutation(theta.size)[: theta.size // 2], [0, 0, theta.size - 1]])
    some = loss_differences(objective, theta, batch, 0.1, scheme, at)
    np.testing.assert_allclose(some, everywhere[at], rtol=1e-10, atol=1e-13)
    assert loss_differences(objective, theta, batch, at=np.empty(0, int)).shape == (0,)


@odd
def test_a_probe_knows_the_loss_where_nothing_is_moved(layers):
    objective, theta, batch = odd_case(layers)
    probe = LossProbe(objective, theta, batch)
    expected = float(objective(theta, batch._replace(buffers=None), None, Workspace()))
    assert probe.here == pytest.approx(expected, rel=1e-15)
    np.testing.assert_allclose(probe.moved(0.0, np.arange(theta.size)), expected, rtol=1e-14)


def image_network():
    """The 784-100-10 sigmoid network and one image."""
    rng = np.random.default_rng(10)
    network = MLP((100,), "sigmoid", output="sigmoid").build(784, 10)
    theta = network.initial(Normal(0.1), rng, np.float64)
    theta += 0.1 * rng.normal(size=theta.size)
    batch = Batch(rng.uniform(size=(1, 784)), np.eye(10)[[3]])
    return NetworkObjective(network, HalfMSE(), NoPenalty()), theta, batch


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_784_100_10_network_at_some_of_its_79510_parameters(scheme):
    objective, theta, batch = image_network()
    assert theta.size == 79510
    rng = np.random.default_rng(0)
    at = np.concatenate([rng.integers(0, 78400, 100), rng.integers(78400, 79510, 200)])
    fast = loss_differences(objective, theta, batch, 1e-5, scheme, at)
    assert relative_error(fast, plain_loop(objective, theta, batch, 1e-5, scheme, at)) <= 1e-9


def test_the_784_100_10_network_at_all_of_them_agrees_with_backpropagation():
    objective, theta, batch = image_network()
    fast = numerical(objective, theta, batch)
    assert relative_error(fast, analytic(objective, theta, batch)) <= 1e-8


def test_many_examples_and_many_units_are_moved_in_parts():
    # 300 * 40 numbers for each parameter: 21 at once, of 400
    rng = np.random.default_rng(11)
    network = Network((Dense("a", 10, 40), BatchNorm("n", 40), Tanh(), Dense("b", 40, 2)))
    objective = NetworkObjective(network, HalfMSE(), NoPenalty())
    theta = rng.normal(size=network.layout.size)
    batch = Batch(rng.normal(size=(300, 10)), rng.normal(size=(300, 2)))
    fast = numerical(objective, theta, batch, 1e-4)
    assert relative_error(fast, analytic(objective, theta, batch)) <= 1e-7


def test_moving_a_scale_takes_no_copies_of_theta():
    network = MLP((100,), batch_norm=True).build(500, 3)
    objective = NetworkObjective(network, CrossEntropy(), NoPenalty())
    theta = network.initial(He(), np.random.default_rng(0), np.float64)
    batch = Batch(np.random.default_rng(1).normal(size=(2, 500)), np.array([0, 2]))
    scale = network.layout.slots["norm1.scale"]
    tracemalloc.start()
    try:
        loss_differences(objective, theta, batch, at=np.arange(scale.start, scale.stop))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * theta.nbytes


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_gradient_of_every_penalty(penalty_class, scheme):
    rng = np.random.default_rng(12)
    network = MLP((5, 4), batch_norm=True).build(3, 2)
    penalty = penalty_class(**{field.name: 0.3 for field in fields(penalty_class)})
    objective = NetworkObjective(network, HalfMSE(), penalty)
    theta = rng.normal(size=network.layout.size)

    def alone(theta, batch, grad, work):
        return penalty.add(theta, network.layout, grad, work)

    expected = plain_loop(alone, theta, None, 0.01, scheme)
    fast = penalty_differences(objective, theta, 0.01, scheme)
    np.testing.assert_allclose(fast, expected, rtol=1e-11, atol=1e-12)
    for name, slope in network.layout.views(fast).items():
        assert name.endswith("weight") or not slope.any()


@odd
def test_a_stack_of_models_has_the_gradients_of_each(layers):
    objective, theta, batch = odd_case(layers)
    batch = batch._replace(buffers=None)
    thetas = np.stack([theta, 0.5 - theta])
    stacked = analytic(objective, thetas, batch)
    for k in range(2):
        np.testing.assert_array_equal(stacked[k], analytic(objective, thetas[k], batch))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("model", [MLP((4,), "tanh"), MLP((4,), "tanh", True, 0.3)], ids=str)
def test_a_stack_of_models_with_a_lambda_each(model, scheme):
    rng = np.random.default_rng(13)
    network, l1, l2 = model.build(4, 3), np.array([[0.0], [0.1], [0.7]]), np.array([[0.2]] * 3)
    thetas = rng.normal(size=(3, network.layout.size))
    batch = Batch(rng.normal(size=(6, 4)), np.arange(6) % 3, None, SEED)
    stacked = NetworkObjective(network, CrossEntropy(), Elastic(l1, l2))
    fast = numerical(stacked, thetas, batch, 0.01, scheme)
    assert fast.shape == thetas.shape
    for k in range(3):
        single = replace(stacked, penalty=Elastic(float(l1[k, 0]), float(l2[k, 0])))
        expected = plain_loop(single, thetas[k], batch, 0.01, scheme)
        assert relative_error(fast[k], expected) <= 1e-11


class Bowls:
    """c |theta|^2 / 2, with a c for each model: an objective that is no network."""

    c = np.array([[1.0], [2.0], [4.0]])

    def __call__(self, theta, batch, grad, work):
        return (self.c[..., 0] if theta.ndim > 1 else 1.0) * np.square(theta).sum(-1) / 2


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("surface", [Parabola(), Rosenbrock(), Beale()], ids=str)
def test_surfaces(surface, scheme):
    thetas = np.array([[-1.2, 1.0], [0.5, -0.3], [2.0, 0.25]])
    exact = np.empty_like(thetas)
    surface(thetas, None, exact, Workspace())
    step = {"central": 1e-5, "forward": 1e-8}[scheme]
    stacked = numerical(surface, thetas, None, step, scheme)
    np.testing.assert_allclose(stacked, exact, rtol=1e-6, atol=1e-5)
    for k in range(3):
        single = numerical(surface, thetas[k], None, step, scheme)
        np.testing.assert_allclose(single, exact[k], rtol=1e-6, atol=1e-5)


def test_a_stack_of_any_objective_with_a_number_for_each_model():
    thetas = np.random.default_rng(14).normal(size=(3, 5))
    before = thetas.copy()
    central = numerical(Bowls(), thetas, None, 0.25)
    np.testing.assert_allclose(central, Bowls.c * thetas, rtol=1e-12)
    forward = numerical(Bowls(), thetas, None, 0.25, "forward")
    np.testing.assert_allclose(forward, Bowls.c * (thetas + 0.125), rtol=1e-12)
    np.testing.assert_array_equal(thetas, before)


def test_an_objective_that_is_not_known_as_a_network_takes_the_plain_way():
    objective, theta, batch = odd_case(ODD["everything"], L2(0.1))
    before = batch.buffers.copy()

    def unknown(*arguments):
        return objective(*arguments)

    plain = numerical(unknown, theta, batch, 0.1)
    assert relative_error(plain, numerical(objective, theta, batch, 0.1)) <= 1e-12
    np.testing.assert_array_equal(batch.buffers, before)


# To train by differences.


GRADIENTS = {Analytic: Analytic(), Numerical: Numerical()}


def test_every_source_of_gradients_is_in_the_table(gradient_class):
    assert gradient_class in GRADIENTS


def test_sources_of_gradients_agree_and_leave_the_same_running_statistics(gradient_class):
    objective, theta, batch = odd_case(ODD["everything"], L2(0.1))
    buffers, grad = batch.buffers.copy(), np.full_like(theta, np.nan)
    value = GRADIENTS[gradient_class].of(objective, theta, batch, grad, Workspace())
    expected = objective(theta, batch._replace(buffers=buffers), None, Workspace())
    assert value == expected
    np.testing.assert_array_equal(batch.buffers, buffers)
    assert np.abs(buffers - Network(ODD["everything"]).initial_buffers(np.float64)).max() > 0.01
    assert relative_error(grad, plain_loop(objective, theta, batch, 1e-6)) <= 1e-6


@pytest.mark.parametrize("optimizer", [SGD(0.1), Momentum(0.1, 0.9)], ids=str)
@pytest.mark.parametrize(
    ("gradient", "tolerance"),
    [(Numerical(), 1e-6), (Numerical("forward", 1e-7), 1e-5)],
    ids=["central", "forward"],
)
@pytest.mark.parametrize(
    "model",
    [Linear(), MLP((6,), "tanh"), MLP((6,), "tanh", batch_norm=True, dropout=0.2)],
    ids=str,
)
def test_20_steps_by_differences_end_where_backpropagation_does(
    model, gradient, tolerance, optimizer
):
    rng = np.random.default_rng(15)
    network = model.build(4, 3)
    objective = NetworkObjective(network, CrossEntropy(), L2(0.01))
    x, labels = rng.normal(size=(12, 4)), np.arange(12) % 3
    start = network.initial(He(), np.random.default_rng(1), np.float64)

    def train(gradient):
        theta, buffers = start.copy(), network.initial_buffers(np.float64)
        oracle, state = Oracle(objective, Workspace(), gradient=gradient), optimizer.init(theta)
        values = []
        for step in range(20):
            oracle.batch = Batch(x, labels, None, (1, 2, step), buffers)
            values.append(float(optimizer.step(theta, state, oracle, 1.0)))
        return theta, buffers, values

    ours, theirs = train(gradient), train(Analytic())
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    assert np.abs(theirs[0] - start).max() > 0.1, "it has gone somewhere"


def test_clipping_and_watching_see_the_numerical_gradient():
    seen = []

    class Watching(Oracle):
        def look(self, grad):
            seen.append(grad.copy())

    oracle = Watching(Parabola((1.0,)), Workspace(), gradient=Numerical())
    value, grad = oracle(np.array([3.0]))
    assert float(value) == 4.5
    np.testing.assert_allclose([grad, *seen], 3, rtol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Numerical("centrla"), r"scheme=centrla \(did you mean central\?\)"),
        (lambda: Numerical(step=0.0), r"step <= 0\.1` must hold, but got step=0\.0"),
        (lambda: Numerical(step=float("nan")), r"step <= 0\.1` must hold"),
    ],
)
def test_laws_of_numerical_gradients(make, message):
    with pytest.raises(LawError, match=message):
        make()


# The gradient check.

HEALTHY = {  # (layers or model, loss, penalty)
    "linear": (Linear(), CrossEntropy(), NoPenalty()),
    "relu": (MLP((8, 8)), CrossEntropy(), L2(1e-3)),
    "leaky relu, hinge": (MLP((8,), "leaky_relu"), Hinge(), L2(1e-3)),
    "linear hinge, l1": (Linear(), Hinge(), L1(1e-2)),
    "tanh, l1": (MLP((8,), "tanh"), CrossEntropy(), L1(1e-2)),
    "relu, elastic": (MLP((8, 8)), CrossEntropy(), Elastic(1e-2, 1e-2)),
    "sigmoid output": (MLP((8,), "sigmoid", output="sigmoid"), HalfMSE(), NoPenalty()),
    "softmax output": (MLP((8,), "tanh", output="softmax"), HalfMSE(), L2(1e-3)),
    "sigmoid error": (MLP((8,), "sigmoid"), SigmoidSquaredError(), NoPenalty()),
    "batch norm": (MLP((8, 8), "relu", batch_norm=True), CrossEntropy(), NoPenalty()),
    "dropout": (MLP((8, 8), "relu", dropout=0.4), CrossEntropy(), L1(1e-3)),
    "both": (MLP((8,), "tanh", batch_norm=True, dropout=0.4), HalfMSE(), L1(1e-3)),
}


def healthy_case(name, seed, initialiser):
    model, loss, penalty = HEALTHY[name]
    rng = np.random.default_rng([16, seed])
    network = model.build(6, 3)
    y = loss.encode(rng.integers(0, 3, 10), 3, np.float64)
    batch = Batch(rng.normal(size=(10, 6)), y, rng.uniform(0.5, 2, 10), (seed, 2, 0))
    theta = network.initial(initialiser, rng, np.float64)
    return NetworkObjective(network, loss, penalty), theta, batch


@pytest.mark.slow
@pytest.mark.parametrize("initialiser", [He(), Normal(0.01)], ids=["he", "small"])
@pytest.mark.parametrize("name", HEALTHY)
def test_a_hundred_healthy_networks_raise_no_alarm(name, initialiser):
    kinks = 0
    for seed in range(100):
        objective, theta, batch = healthy_case(name, seed, initialiser)
        for check in check_gradient(objective, theta, batch):
            assert check.error <= 1e-5, (seed, check)
            kinks += check.kinks
    if isinstance(initialiser, Normal) and isinstance(HEALTHY[name][2], L1 | Elastic):
        assert kinks, "weights of deviation 0.01 fall into a step of 1e-5 around 0"


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_network_raises_no_alarm(name):
    objective, theta, batch = healthy_case(name, 0, He())
    batch = batch._replace(buffers=objective.network.initial_buffers(np.float64))
    before, buffers = theta.copy(), batch.buffers.copy()
    checks = check_gradient(objective, theta, batch, rng=np.random.default_rng(1))
    assert [check.name for check in checks] == list(objective.network.layout.slots)
    for check in checks:
        assert check.error <= 1e-5
        assert check.checked == objective.network.layout.views(theta)[check.name].size
        grad = objective.network.layout.views(analytic(objective, theta, batch))[check.name]
        assert check.analytic == grad[check.worst]
    np.testing.assert_array_equal(theta, before)
    np.testing.assert_array_equal(batch.buffers, buffers)


def test_of_a_large_array_some_coordinates_are_drawn():
    objective, theta, batch = image_network()
    checks = check_gradient(objective, theta, batch, coordinates=50)
    assert [check.checked for check in checks] == [50, 50, 50, 10]
    assert max(check.error for check in checks) <= 1e-6
    grads = objective.network.layout.views(analytic(objective, theta, batch))
    for check in checks:
        assert check.analytic == grads[check.name][check.worst]
    again = check_gradient(objective, theta, batch, coordinates=50)
    assert again == checks
    other = check_gradient(objective, theta, batch, coordinates=50, rng=np.random.default_rng(1))
    assert [check.worst for check in other] != [check.worst for check in checks]


def test_a_bias_before_batch_norm_has_no_gradient_to_judge():
    objective, theta, batch = healthy_case("batch norm", 0, He())
    bias = next(c for c in check_gradient(objective, theta, batch) if c.name == "hidden1.bias")
    assert abs(bias.analytic) < 1e-15
    assert bias.error < 1e-6
    assert not bias.kinks


def find(checks):
    return {check.name: check for check in checks}


def test_a_relu_on_its_kink_is_reported():
    objective, theta, batch = healthy_case("relu", 0, He())
    views = objective.network.layout.views(theta)
    views["hidden1.weight"][:, 2] = 0  # its pre-activation is 0 for every example
    checks = find(check_gradient(objective, theta, batch))
    assert (checks["hidden1.weight"].kinks, checks["hidden1.bias"].kinks) == (6, 1)
    assert not any(checks[name].kinks for name in checks if not name.startswith("hidden1"))
    assert max(check.error for check in checks.values()) <= 1e-5
    assert not any(check.on_kink for check in checks.values())


def test_where_every_coordinate_sits_on_a_kink_the_worst_one_does():
    network = MLP((1,)).build(1, 1)
    theta = np.array([0.0, 0.0, 2.0, 0.5])  # z = 2 max(0 x + 0, 0) + 0.5
    batch = Batch(np.array([[3.0]]), np.array([[0.0]]))
    checks = find(check_gradient(NetworkObjective(network, HalfMSE(), NoPenalty()), theta, batch))
    for name, slope in (("hidden1.weight", 3.0), ("hidden1.bias", 1.0)):
        check = checks[name]
        assert (check.kinks, check.on_kink, check.error) == (1, True, 0)
        # from the right the slope is z dz = 0.5 * 2 * slope, from the left and by convention 0
        assert (check.analytic, check.numerical) == (0, pytest.approx(slope / 2, rel=1e-4))
    assert not checks["output.weight"].on_kink
    assert not checks["output.bias"].on_kink


@pytest.mark.parametrize(
    ("w", "kinks"),
    [(0.0, 1), (1e-6, 1), (-4e-6, 1), (3.333e-6, 1), (9e-6, 1), (1.1e-5, 0), (-1e-3, 0)],
)
def test_a_weight_within_a_step_of_zero_sits_on_the_kink_of_l1(w, kinks):
    objective, theta, batch = healthy_case("tanh, l1", 0, He())
    objective.network.layout.views(theta)["hidden1.weight"][1, 2] = w
    checks = find(check_gradient(objective, theta, batch))
    assert {name: check.kinks for name, check in checks.items()} == {
        "hidden1.weight": kinks,
        "hidden1.bias": 0,
        "output.weight": 0,
        "output.bias": 0,
    }
    assert max(check.error for check in checks.values()) <= 1e-5


def test_a_margin_of_zero_sits_on_the_kink_of_the_hinge():
    objective = NetworkObjective(Linear().build(2, 3), Hinge(), NoPenalty())
    theta = np.array([0.0] * 6 + [1.0, 0.0, 0.5])  # margins 0 and 1/2 of classes 1 and 2
    batch = Batch(np.array([[1.0, -2.0]]), np.array([0]))
    checks = find(check_gradient(objective, theta, batch))
    # the scores of class 0 and class 1 move the margin that is 0
    assert (checks["output.weight"].kinks, checks["output.bias"].kinks) == (4, 2)
    assert max(check.error for check in checks.values()) <= 1e-5
    theta[7] = 0.1
    assert not any(check.kinks for check in check_gradient(objective, theta, batch))


# Bugs that are planted.


@dataclass(frozen=True)
class DoubledL2(L2):
    def add(self, theta, layout, grad, work):
        if grad is not None:
            super().add(theta, layout, grad, work)
        return super().add(theta, layout, grad, work)


class NoBias(Dense):
    def bind_backward(self, parameters, grads, *args, **needed):
        backward = super().bind_backward(parameters, grads, *args, **needed)

        def forgetful(dy, mode):
            dx = backward(dy, mode)
            grads[self.bias][...] = 0
            return dx

        return forgetful


class Transposed(Dense):
    def bind_backward(self, parameters, grads, *args, **needed):
        turned = {**parameters, self.weight: parameters[self.weight].swapaxes(-1, -2)}
        return super().bind_backward(turned, grads, *args, **needed)


class WrongMask(ReLU):
    def derivative(self, y, out):
        return np.greater_equal(y, 0, out=out, casting="unsafe")


class Unmasked(Dropout):
    def bind_backward(self, *args, **needed):
        return lambda dy, mode: dy


class Unmoved(BatchNorm):
    """Takes the batch's mean and variance for constants."""

    def bind_backward(self, *args, **needed):
        backward = super().bind_backward(*args, **needed)
        return lambda dy, mode: backward(dy, mode._replace(training=False))


class Summed(CrossEntropy):
    """Forgets 1/m in the gradient."""

    def __call__(self, z, y, work, weights=None):
        value, dz = super().__call__(z, y, work, weights)
        dz *= len(y)
        return value, dz


def planted(layers, loss=ENTROPY, penalty=NONE):
    """The checks of a network, its analytic gradients and those by the plain loop, by name."""
    rng = np.random.default_rng(17)
    objective = NetworkObjective(Network(layers), loss, penalty)
    theta = rng.normal(size=objective.network.layout.size)
    batch = Batch(rng.normal(size=(10, 6)), rng.integers(0, 3, 10), None, SEED)
    views = objective.network.layout.views
    return (
        find(check_gradient(objective, theta, batch)),
        views(analytic(objective, theta, batch)),
        views(plain_loop(objective, theta, batch, 1e-5)),
        views(theta),
    )


def healthy_layers(**changed):
    layers = {
        "hidden1": Dense("hidden1", 6, 5),
        "relu1": ReLU(),
        "hidden2": Dense("hidden2", 5, 5),
        "relu2": ReLU(),
        "output": Dense("output", 5, 3),
    }
    return tuple((layers | changed).values())


def alarms(checks):
    return [name for name, check in checks.items() if not check.error <= 1e-5]


def assert_the_worst_is_named(checks, ours, right):
    for name in alarms(checks):
        difference = np.abs(ours[name] - right[name])
        worst = checks[name].worst
        assert worst == np.unravel_index(difference.argmax(), difference.shape)
        assert checks[name].analytic == ours[name][worst]
        assert checks[name].numerical == pytest.approx(right[name][worst], rel=1e-5, abs=1e-9)
        assert not checks[name].on_kink
        scale = max(np.abs(ours[name]).max(), np.abs(right[name]).max())
        assert checks[name].error == pytest.approx(difference.max() / scale, rel=1e-4)


def test_without_a_bug_there_is_no_alarm():
    assert not alarms(planted(healthy_layers())[0])
    assert not alarms(planted(healthy_layers(), penalty=L2(0.01))[0])


def test_a_doubled_penalty_is_found_in_the_weights():
    checks, ours, right, theta = planted(healthy_layers(), penalty=DoubledL2(0.01))
    assert alarms(checks) == ["hidden1.weight", "hidden2.weight", "output.weight"]
    assert_the_worst_is_named(checks, ours, right)
    for name in alarms(checks):  # 2 l2 w too much
        assert abs(theta[name][checks[name].worst]) == np.abs(theta[name]).max()


@pytest.mark.parametrize("layer", [NoBias("hidden2", 5, 5), NoBias("output", 5, 3)], ids=str)
def test_a_missing_bias_gradient_is_found_in_that_bias(layer):
    checks, ours, right, _ = planted(healthy_layers(**{layer.name: layer}))
    assert alarms(checks) == [layer.bias]
    assert_the_worst_is_named(checks, ours, right)
    assert checks[layer.bias].error == pytest.approx(1)
    assert checks[layer.bias].analytic == 0


def test_a_wrong_mask_is_found_below_it():
    checks, ours, right, _ = planted(healthy_layers(relu2=WrongMask()))
    assert alarms(checks) == ["hidden1.weight", "hidden1.bias", "hidden2.weight", "hidden2.bias"]
    assert_the_worst_is_named(checks, ours, right)


def test_a_mask_that_dropout_forgets_is_found_below_it():
    layers = (*healthy_layers()[:2], Unmasked("d", 0.3), *healthy_layers()[2:])
    checks, ours, right, _ = planted(layers)
    assert alarms(checks) == ["hidden1.weight", "hidden1.bias"]
    assert_the_worst_is_named(checks, ours, right)


def test_statistics_taken_for_constants_are_found_below_the_batch_norm():
    layers = (Dense("hidden1", 6, 5), Unmoved("norm1", 5), *healthy_layers()[1:])
    checks, ours, right, _ = planted(layers)
    assert alarms(checks) == ["hidden1.weight", "hidden1.bias"]
    assert checks["hidden1.weight"].worst == np.unravel_index(
        np.abs(ours["hidden1.weight"] - right["hidden1.weight"]).argmax(), (6, 5)
    )


def test_a_missing_mean_is_found_everywhere():
    checks, ours, right, _ = planted(healthy_layers(), Summed())
    assert alarms(checks) == list(checks)
    assert_the_worst_is_named(checks, ours, right)
    assert [check.error for check in checks.values()] == pytest.approx([0.9] * 6, rel=1e-6)


@pytest.mark.parametrize(
    ("layer", "wrong"),
    [
        (Transposed("hidden2", 5, 5), ["hidden1.weight", "hidden1.bias"]),
        (Transposed("hidden1", 6, 6), []),  # nothing lies below it
    ],
    ids=str,
)
def test_a_transposed_weight_is_found_below_its_square_layer(layer, wrong):
    below = {"hidden2": Dense("hidden2", 6, 5)} if layer.name == "hidden1" else {}
    checks, ours, right, _ = planted(healthy_layers(**{**below, layer.name: layer}))
    assert alarms(checks) == wrong
    assert_the_worst_is_named(checks, ours, right)


def test_a_gradient_that_is_not_a_number_is_an_alarm():
    class Broken(Dense):
        def bind_backward(self, parameters, grads, *args, **needed):
            backward = super().bind_backward(parameters, grads, *args, **needed)

            def broken(dy, mode):
                dx = backward(dy, mode)
                grads[self.weight][2, 1] = np.nan
                return dx

            return broken

    checks, *_ = planted(healthy_layers(output=Broken("output", 5, 3)))
    assert alarms(checks) == ["output.weight"]
    assert checks["output.weight"].worst == (2, 1)


def test_relative_error_by_hand():
    assert relative_error(np.array([1.0, -4.0]), np.array([1.0, -5.0])) == 0.2
    assert relative_error(np.array([-5.0]), np.array([1.0])) == 1.2
    assert relative_error(np.zeros(3), np.zeros(3)) == 0
    assert relative_error(np.empty(0), np.empty(0)) == 0
    assert not relative_error(np.array([np.nan, 1.0]), np.ones(2)) <= 1e-6
    assert not relative_error(np.ones(2), np.array([1.0, np.nan])) <= 1e-6

from itertools import pairwise, product
from math import exp, sqrt, tanh

import numpy as np
import pytest

from nnlab.core.activations import ACTIVATIONS, ReLU, Tanh
from nnlab.core.arrays import Workspace
from nnlab.core.dropout import Dropout
from nnlab.core.initialisers import He, Normal, Xavier, Zeros
from nnlab.core.laws import LawError
from nnlab.core.layers import Dense
from nnlab.core.losses import HalfMSE, SigmoidSquaredError
from nnlab.core.model import MLP, OUTPUTS, Linear, Network
from nnlab.core.normalisation import BatchNorm
from nnlab.core.objective import Batch, NetworkObjective
from nnlab.core.penalties import NoPenalty


def softmax(row):
    return [exp(x) / sum(exp(other) for other in row) for x in row]


TEXTBOOK = {  # each of a row
    "identity": lambda row: row,
    "relu": lambda row: [max(x, 0.0) for x in row],
    "leaky_relu": lambda row: [x if x > 0 else 0.01 * x for x in row],
    "tanh": lambda row: [tanh(x) for x in row],
    "sigmoid": lambda row: [1 / (1 + exp(-x)) for x in row],
    "softmax": softmax,
}
MODELS = {  # model: its dense layers' names
    Linear(): ["output"],
    MLP(hidden=()): ["output"],
    **{Linear(output): ["output"] for output in ACTIVATIONS},
    **{
        MLP(hidden, activation): [*(f"hidden{k + 1}" for k in range(len(hidden))), "output"]
        for activation in ACTIVATIONS
        for hidden in ((5,), (5, 4))
    },
    **{
        MLP((5, 4), "tanh", batch_norm, dropout, output): ["hidden1", "hidden2", "output"]
        for batch_norm, dropout, output in product(
            (False, True), (0.0, 0.4), ("identity", "sigmoid", "softmax")
        )
    },
}


def textbook_forward(model, names, parameters, buffers, x):
    """One example through the network in evaluation, one unit at a time."""
    for k, name in enumerate(names, start=1):
        weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
        x = [
            bias[j] + sum(x[i] * weight[i, j] for i in range(len(x))) for j in range(bias.shape[0])
        ]
        if name == "output":
            return TEXTBOOK[model.output](x)
        if model.batch_norm:
            x = [
                (x[j] - buffers[f"norm{k}.mean"][j])
                / sqrt(buffers[f"norm{k}.variance"][j] + 1e-5)
                * parameters[f"norm{k}.scale"][j]
                + parameters[f"norm{k}.shift"][j]
                for j in range(len(x))
            ]
        x = TEXTBOOK[model.activation](x)
    raise AssertionError("the output layer is last")


def test_every_model_activation_and_output_is_in_a_table(model_class):
    assert model_class in {type(model) for model in MODELS}
    assert TEXTBOOK.keys() == {*OUTPUTS}
    assert {model.activation for model in MODELS if isinstance(model, MLP)} == ACTIVATIONS.keys()


@pytest.mark.parametrize(("model", "names"), MODELS.items(), ids=str)
def test_the_network_computes_what_the_textbook_says(model, names):
    rng = np.random.default_rng(1)
    network = model.build(inputs=3, outputs=2)
    theta, x = rng.normal(size=network.layout.size), rng.normal(size=(4, 3))
    buffers = rng.uniform(0.5, 2, size=network.buffers.size)
    trace = network.forward(theta, x, Workspace(), network.mode(buffers))
    parameters, kept = network.layout.views(theta), network.buffers.views(buffers)
    expected = [textbook_forward(model, names, parameters, kept, row) for row in x]
    np.testing.assert_allclose(trace[-1], expected, rtol=1e-12)


def test_a_network_goes_with_the_arrays_that_it_is_given_not_with_those_before():
    """theta is changed in place, replaced by a copy, and given back; so are the batch and grad."""
    network = MLP((4,)).build(inputs=3, outputs=2)
    rng, work = np.random.default_rng(2), Workspace()
    thetas, xs = rng.normal(size=(2, network.layout.size)), rng.normal(size=(2, 5, 3))
    grads, dz = np.empty_like(thetas), rng.normal(size=(5, 2))

    def step(theta, x, grad, work):
        trace = network.forward(theta, x, work)
        scores = trace[-1].copy()
        network.backward(theta, trace, dz.copy(), grad, work)
        return scores, grad.copy()

    for k in (0, 1, 0):
        for theta, x, grad in ((thetas[k], xs[0], grads[k]), (thetas[0], xs[k].copy(), grads[0])):
            for _ in range(2):
                found = step(theta, x, grad, work)
                expected = step(theta.copy(), x.copy(), np.empty_like(grad), Workspace())
                np.testing.assert_array_equal(found[0], expected[0])
                np.testing.assert_array_equal(found[1], expected[1])
                theta += 0.1


# Layouts.


def test_theta_holds_weight_and_bias_of_every_layer_in_order():
    layout = MLP(hidden=(5, 4)).build(inputs=3, outputs=2).layout
    assert {name: slot.shape for name, slot in layout.slots.items()} == {
        "hidden1.weight": (3, 5),
        "hidden1.bias": (5,),
        "hidden2.weight": (5, 4),
        "hidden2.bias": (4,),
        "output.weight": (4, 2),
        "output.bias": (2,),
    }
    assert list(layout.slots)[:3] == ["hidden1.weight", "hidden1.bias", "hidden2.weight"]
    assert layout.size == 15 + 5 + 20 + 4 + 8 + 2


def test_theta_holds_scales_and_shifts_but_no_running_statistics():
    network = MLP((5, 4), batch_norm=True, dropout=0.5).build(inputs=3, outputs=2)
    assert {name: (slot.start, slot.stop) for name, slot in network.layout.slots.items()} == {
        "hidden1.weight": (0, 15),
        "hidden1.bias": (15, 20),
        "norm1.scale": (20, 25),
        "norm1.shift": (25, 30),
        "hidden2.weight": (30, 50),
        "hidden2.bias": (50, 54),
        "norm2.scale": (54, 58),
        "norm2.shift": (58, 62),
        "output.weight": (62, 70),
        "output.bias": (70, 72),
    }
    assert {name: (slot.start, slot.stop) for name, slot in network.buffers.slots.items()} == {
        "norm1.mean": (0, 5),
        "norm1.variance": (5, 10),
        "norm2.mean": (10, 14),
        "norm2.variance": (14, 18),
    }


def test_scales_are_never_penalised():
    network = MLP((5,), batch_norm=True).build(3, 2)
    assert network.layout.weights == (slice(0, 15), slice(30, 40))


def test_without_batch_norm_there_are_no_buffers():
    network = MLP((5,), dropout=0.5).build(3, 2)
    assert network.buffers.size == network.initial_buffers("float32").size == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scales_and_running_variances_start_at_one_and_the_rest_at_zero(dtype):
    network = MLP((5, 4), batch_norm=True).build(3, 2)
    theta = network.initial(Zeros(), np.random.default_rng(0), dtype)
    buffers = network.initial_buffers(dtype)
    assert theta.dtype == buffers.dtype == dtype
    for name, array in network.layout.views(theta).items():
        np.testing.assert_array_equal(array, 1 if name.endswith("scale") else 0)
    np.testing.assert_array_equal(buffers, [0] * 5 + [1] * 5 + [0] * 4 + [1] * 4)


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        (Linear(), ["Dense"]),
        (Linear("sigmoid"), ["Dense", "Sigmoid"]),
        (MLP((4,)), ["Dense", "ReLU", "Dense"]),
        (MLP((4,), dropout=0.1), ["Dense", "ReLU", "Dropout", "Dense"]),
        (MLP((4,), "tanh", True), ["Dense", "BatchNorm", "Tanh", "Dense"]),
        (
            MLP((4, 4), "tanh", True, 0.1, "softmax"),
            2 * ["Dense", "BatchNorm", "Tanh", "Dropout"] + ["Dense", "Softmax"],
        ),
    ],
    ids=str,
)
def test_the_order_of_layers(model, layers):
    assert [type(layer).__name__ for layer in model.build(3, 2).layers] == layers


# Laws.


def test_an_activation_follows_a_dense_or_normalising_layer():
    for before in ((), (Dense("a", 2, 2), Tanh()), (Dropout("d"),)):
        with pytest.raises(LawError, match="an activation follows a dense or normalising layer"):
            Network((*before, ReLU()))
    with pytest.raises(LawError, match="an activation follows"):
        Network((Dense("a", 2, 2), Tanh(), Dropout("d"), ReLU()))
    Network((Dense("a", 2, 2), Dropout("d"), ReLU(), BatchNorm("n", 2), Tanh()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLP(hidden=(4, 0)), r"every width in hidden >= 1.*hidden=\[4, 0\]"),
        (lambda: MLP(activation="rellu"), r"activation=rellu \(did you mean relu\?\)"),
        (lambda: MLP(activation="identity"), "but got activation=identity"),
        (lambda: MLP(dropout=1.0), "`0 <= dropout < 1` must hold, but got dropout=1.0"),
        (lambda: MLP(output="sigmoud"), r"output=sigmoud \(did you mean sigmoid\?\)"),
        (lambda: Linear("tahn"), r"output=tahn \(did you mean tanh\?\)"),
    ],
)
def test_laws_of_models(make, message):
    with pytest.raises(LawError, match=message):
        make()


# Modes.


def test_a_network_is_stochastic_where_it_drops_units():
    assert MLP(dropout=0.1).build(3, 2).stochastic
    assert not MLP(batch_norm=True).build(3, 2).stochastic
    assert MLP(dropout=0.1).build(3, 2).training_mode((1, 2), None).rng is not None
    assert MLP().build(3, 2).training_mode((1, 2), None).rng is None


@pytest.mark.parametrize("batch_norm", [False, True])
def test_evaluated_a_network_with_dropout_has_the_bits_of_one_without(batch_norm):
    rng = np.random.default_rng(2)
    with_it = MLP((5, 4), "tanh", batch_norm, dropout=0.5).build(3, 2)
    without = MLP((5, 4), "tanh", batch_norm).build(3, 2)
    theta, x = rng.normal(size=without.layout.size), rng.normal(size=(4, 3))
    buffers = rng.uniform(0.5, 2, size=without.buffers.size)
    scores = [
        network.forward(theta, x, Workspace(), network.mode(buffers))[-1]
        for network in (with_it, without)
    ]
    np.testing.assert_array_equal(*scores)
    trained = with_it.forward(theta, x, Workspace(), with_it.training_mode((3,), None))[-1]
    assert not np.allclose(trained, scores[0])


def test_masks_are_drawn_from_the_seed_and_differ_from_layer_to_layer():
    network = MLP((6, 6), "tanh", dropout=0.5).build(3, 2)
    rng = np.random.default_rng(2)
    theta, x = rng.normal(size=network.layout.size), rng.normal(size=(4, 3))

    def masks(seed):
        trace = network.forward(theta, x, Workspace(), network.training_mode(seed, None))
        return trace[3] == 0, trace[6] == 0

    first, second = masks((1, 2, 3))
    np.testing.assert_array_equal(masks((1, 2, 3)), (first, second))
    assert not np.array_equal(first, second)
    assert not np.array_equal(masks((1, 2, 4))[0], first)


def test_training_moves_the_running_statistics_it_is_given_and_no_others():
    network = MLP((5,), batch_norm=True).build(3, 2)
    rng = np.random.default_rng(2)
    theta, x = rng.normal(size=network.layout.size), rng.normal(size=(4, 3))
    buffers = network.initial_buffers(np.float64)
    without = network.forward(theta, x, Workspace(), network.training_mode(None, None))[-1].copy()
    np.testing.assert_array_equal(buffers, [0] * 5 + [1] * 5)
    with_them = network.forward(theta, x, Workspace(), network.training_mode(None, buffers))[-1]
    np.testing.assert_array_equal(with_them, without)
    scores = x @ theta[:15].reshape(3, 5) + theta[15:20]
    np.testing.assert_allclose(buffers[:5], 0.1 * scores.mean(0), rtol=1e-12)
    np.testing.assert_allclose(buffers[5:], 0.9 + 0.1 * scores.var(0, ddof=1), rtol=1e-12)
    moved = buffers.copy()
    network.forward(theta, x, Workspace(), network.mode(buffers))
    np.testing.assert_array_equal(buffers, moved)


# Forward and backward.


def three_layers():
    """A 2-2-2-1 sigmoid network: weights[l][i][j] from unit i to unit j, and biases[l][j]."""
    weights = [[[0.1, -0.4], [0.8, 0.6]], [[0.3, -0.5], [0.9, 0.2]], [[0.7], [-0.6]]]
    biases = [[0.05, -0.1], [0.15, 0.25], [-0.3]]
    return weights, biases


def delta_recursion(x, y):
    """One example through the network: the loss |a - y|^2 / 2 and its gradient, in the order of
    theta."""
    weights, biases = three_layers()
    activations = [x]
    for w, b in zip(weights, biases, strict=True):
        a = activations[-1]
        z = [b[j] + sum(a[i] * w[i][j] for i in range(len(a))) for j in range(len(b))]
        activations.append([1 / (1 + exp(-v)) for v in z])
    a = activations[-1]
    loss = sum((a[j] - y[j]) ** 2 for j in range(len(a))) / 2
    delta = [(a[j] - y[j]) * a[j] * (1 - a[j]) for j in range(len(a))]
    grad = []
    for layer in (2, 1, 0):
        a = activations[layer]
        grad = [*(u * d for u in a for d in delta), *delta, *grad]
        w = weights[layer]
        delta = [
            sum(w[i][j] * delta[j] for j in range(len(delta))) * a[i] * (1 - a[i])
            for i in range(len(a))
        ]
    return loss, grad


@pytest.mark.parametrize(
    ("loss", "output"), [(HalfMSE(), "sigmoid"), (SigmoidSquaredError(), "identity")]
)
def test_three_sigmoid_layers_by_hand(loss, output):
    weights, biases = three_layers()
    theta = np.concatenate(
        [np.ravel(array) for layer in zip(weights, biases, strict=True) for array in layer]
    )
    network = MLP((2, 2), "sigmoid", output=output).build(2, 1)
    objective, grad = NetworkObjective(network, loss, NoPenalty()), np.empty(15)
    # The first example with a pocket calculator, to five places:
    #   x = (0.35, 0.9), y = 0.5
    #   z1 = (0.05 + 0.035 + 0.72, -0.1 - 0.14 + 0.54) = (0.805, 0.3), a1 = (0.69104, 0.57444)
    #   z2 = (0.15 + 0.20731 + 0.51700, 0.25 - 0.34552 + 0.11489) = (0.87431, 0.01937)
    #   a2 = (0.70565, 0.50484), z3 = -0.3 + 0.49395 - 0.30290 = -0.10895, a3 = 0.47279
    #   loss = 0.02721^2 / 2, delta3 = -0.02721 * 0.47279 * 0.52721 = -0.0067824
    #   delta2 = (0.7, -0.6) * delta3 * (0.20771, 0.24998) = (-0.00098613, 0.0010173)
    value = objective(theta, Batch(np.array([[0.35, 0.9]]), np.array([[0.5]])), grad, Workspace())
    assert value == pytest.approx(0.02721**2 / 2, rel=1e-3)
    np.testing.assert_allclose(grad[14], -0.0067824, rtol=1e-3)
    np.testing.assert_allclose(grad[12:14], [-0.0067824 * 0.70565, -0.0067824 * 0.50484], rtol=1e-3)
    np.testing.assert_allclose(grad[10:12], [-0.00098613, 0.0010173], rtol=1e-3)
    # Two examples: the mean of both, to the last places.
    x, y = [[0.35, 0.9], [-1.2, 0.4]], [[0.5], [0.1]]
    value = objective(theta, Batch(np.array(x), np.array(y)), grad, Workspace())
    (one, first), (two, second) = (delta_recursion(*example) for example in zip(x, y, strict=True))
    assert value == pytest.approx((one + two) / 2, rel=1e-13)
    expected = [(u + v) / 2 for u, v in zip(first, second, strict=True)]
    np.testing.assert_allclose(grad, expected, rtol=1e-12)


@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_the_input_is_never_overwritten(model, mode):
    rng = np.random.default_rng(2)
    network, work = model.build(3, 2), Workspace()
    theta, x = rng.normal(size=network.layout.size), rng.normal(size=(4, 3))
    before, weights = x.copy(), theta.copy()
    buffers = network.initial_buffers(np.float64)
    how = network.training_mode((1,), buffers) if mode == "training" else network.mode(buffers)
    trace = network.forward(theta, x, work, how)
    network.backward(theta, trace, np.ones((4, 2)), np.empty_like(theta), work, how)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(theta, weights)


@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_k_stacked_models_compute_the_bits_of_k_single_ones(model, dtype, mode):
    rng = np.random.default_rng(3)
    network = model.build(6, 3)
    thetas = rng.normal(size=(4, network.layout.size)).astype(dtype)
    buffers = rng.uniform(0.5, 2, size=(4, network.buffers.size)).astype(dtype)
    x, dz = rng.normal(size=(33, 6)).astype(dtype), rng.normal(size=(4, 33, 3)).astype(dtype)

    def run(theta, dz, buffers):
        work, grad = Workspace(), np.full_like(theta, np.nan)
        how = network.training_mode((4,), buffers) if mode == "training" else network.mode(buffers)
        trace = network.forward(theta, x, work, how)
        scores = trace[-1].copy()
        network.backward(theta, trace, dz.copy(), grad, work, how)
        return scores, grad

    after = buffers.copy()
    stacked_scores, stacked_grad = run(thetas, dz, after)
    assert stacked_scores.dtype == stacked_grad.dtype == dtype
    for k, theta in enumerate(thetas):
        alone = buffers[k].copy()
        scores, grad = run(theta, dz[k], alone)
        np.testing.assert_array_equal(stacked_scores[k], scores)
        np.testing.assert_array_equal(stacked_grad[k], grad)
        np.testing.assert_array_equal(after[k], alone)
    if network.buffers.size:
        assert np.array_equal(after, buffers) == (mode == "evaluation")


# Initial weights.


def test_initial_weights_depend_on_the_rng_alone_and_are_rounded_to_the_dtype():
    network = MLP(hidden=(5,)).build(3, 2)
    double = network.initial(He(), np.random.default_rng(5), np.float64)
    single = network.initial(He(), np.random.default_rng(5), np.float32)
    assert (double.dtype, single.dtype) == (np.float64, np.float32)
    np.testing.assert_array_equal(single, double.astype(np.float32))
    assert not np.array_equal(double, network.initial(He(), np.random.default_rng(6), np.float64))


@pytest.mark.parametrize(
    ("model", "gains"),
    [
        (Linear(), [1]),
        (Linear("tanh"), [5 / 3]),
        (MLP((50,)), [sqrt(2), 1]),
        (MLP((50,), "tanh"), [5 / 3, 1]),
        (MLP((50,), "sigmoid", output="sigmoid"), [1, 1]),
        (MLP((50,), "leaky_relu", output="softmax"), [sqrt(2 / 1.0001), 1]),
        (MLP((50,), "relu", output="tanh"), [sqrt(2), 5 / 3]),
        (MLP((50, 50), "relu", batch_norm=True, dropout=0.5), [sqrt(2), sqrt(2), 1]),
    ],
    ids=str,
)
def test_the_gain_of_each_layer_is_that_of_the_activation_after_it(model, gains):
    network = model.build(40, 30)
    asked = []

    class Spy:
        def deviation(self, fan_in, fan_out, gain):
            asked.append((fan_in, fan_out, gain))
            return 1.0

    network.initial(Spy(), np.random.default_rng(0), np.float64)
    widths = [40, *getattr(model, "hidden", ()), 30]
    assert [(fan_in, fan_out) for fan_in, fan_out, _ in asked] == list(pairwise(widths))
    assert [gain for *_, gain in asked] == pytest.approx(gains, rel=1e-15)


def test_a_dense_layer_before_a_dense_layer_has_no_gain():
    network = Network((Dense("a", 300, 300), Dense("b", 300, 300), Tanh()))
    views = network.layout.views(network.initial(He(), np.random.default_rng(0), np.float64))
    assert views["a.weight"].std() == pytest.approx(1 / sqrt(300), rel=0.02)
    assert views["b.weight"].std() == pytest.approx(5 / 3 / sqrt(300), rel=0.02)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(
    ("initialiser", "hidden", "output"),
    [  # 200 inputs, 300 hidden units with ReLU, 100 outputs
        (He(), sqrt(2 / 200), sqrt(1 / 300)),
        (Xavier(), sqrt(2) * sqrt(2 / 500), sqrt(2 / 400)),
        (Normal(0.03), 0.03, 0.03),
        (Zeros(), 0, 0),
    ],
    ids=str,
)
def test_initial_weights_have_the_deviation_said_and_biases_are_zero(
    initialiser, hidden, output, batch_norm
):
    network = MLP((300,), batch_norm=batch_norm).build(inputs=200, outputs=100)
    views = network.layout.views(network.initial(initialiser, np.random.default_rng(4), np.float64))
    np.testing.assert_array_equal(views["hidden1.bias"], 0)
    np.testing.assert_array_equal(views["output.bias"], 0)
    for name, expected in {"hidden1.weight": hidden, "output.weight": output}.items():
        n = views[name].size
        assert views[name].std() == pytest.approx(expected, rel=5 / sqrt(2 * n))
        assert abs(views[name].mean()) <= 5 * expected / sqrt(n)
        # normal: 68.27 % within one deviation
        if expected:
            within = (np.abs(views[name]) < expected).mean()
            assert within == pytest.approx(0.6827, abs=5 * sqrt(0.6827 * 0.3173 / n))

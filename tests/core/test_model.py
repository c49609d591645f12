from math import exp, sqrt, tanh

import numpy as np
import pytest

from nnlab.core.arrays import Workspace
from nnlab.core.initialisers import INITIALISERS, deviation
from nnlab.core.laws import LawError
from nnlab.core.layers import ACTIVATIONS
from nnlab.core.model import MLP, Linear

TEXTBOOK = {
    "relu": lambda x: max(x, 0.0),
    "tanh": tanh,
    "sigmoid": lambda x: 1 / (1 + exp(-x)),
}
MODELS = {  # model: its layers' names
    Linear(): ["output"],
    MLP(hidden=()): ["output"],
    **{
        MLP(hidden, activation): [*(f"hidden{k + 1}" for k in range(len(hidden))), "output"]
        for activation in ACTIVATIONS
        for hidden in ((5,), (5, 4))
    },
}
FANS = {"he": (8, 3, 0.5), "xavier": (3, 5, 0.5), "normal": (7, 7, 0.01), "zeros": (7, 7, 0.0)}


def textbook_forward(model, names, parameters, x):
    """One example through the network, one unit at a time."""
    for name in names:
        weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
        x = [
            bias[j] + sum(x[i] * weight[i, j] for i in range(len(x))) for j in range(bias.shape[0])
        ]
        if name != "output":
            x = [TEXTBOOK[model.activation](unit) for unit in x]
    return x


def test_every_model_activation_and_initialiser_is_in_a_table(model_class):
    assert model_class in {type(model) for model in MODELS}
    assert TEXTBOOK.keys() == ACTIVATIONS.keys()
    assert FANS.keys() == INITIALISERS.keys()


@pytest.mark.parametrize(("model", "names"), MODELS.items(), ids=str)
def test_the_network_computes_what_the_textbook_says(model, names):
    rng = np.random.default_rng(1)
    network = model.build(inputs=3, outputs=2)
    theta, x = rng.normal(size=network.layout.size), rng.normal(size=(4, 3))
    trace = network.forward(theta, x, Workspace())
    parameters = network.layout.views(theta)
    expected = [textbook_forward(model, names, parameters, row) for row in x]
    np.testing.assert_allclose(trace[-1], expected, rtol=1e-12)


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


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_the_input_is_never_overwritten(model):
    rng = np.random.default_rng(2)
    network, work = model.build(3, 2), Workspace()
    theta, x = rng.normal(size=network.layout.size), rng.normal(size=(4, 3))
    before = x.copy()
    trace = network.forward(theta, x, work)
    network.backward(theta, trace, np.ones((4, 2)), np.empty_like(theta), work)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_k_stacked_models_compute_the_bits_of_k_single_ones(model, dtype):
    rng = np.random.default_rng(3)
    network = model.build(6, 3)
    thetas = rng.normal(size=(4, network.layout.size)).astype(dtype)
    x, dz = rng.normal(size=(33, 6)).astype(dtype), rng.normal(size=(4, 33, 3)).astype(dtype)

    def run(theta, dz):
        work, grad = Workspace(), np.full_like(theta, np.nan)
        trace = network.forward(theta, x, work)
        scores = trace[-1].copy()
        network.backward(theta, trace, dz.copy(), grad, work)
        return scores, grad

    stacked_scores, stacked_grad = run(thetas, dz)
    assert stacked_scores.dtype == stacked_grad.dtype == dtype
    for k, theta in enumerate(thetas):
        scores, grad = run(theta, dz[k])
        np.testing.assert_array_equal(stacked_scores[k], scores)
        np.testing.assert_array_equal(stacked_grad[k], grad)


@pytest.mark.parametrize("initialiser", FANS)
def test_deviations_by_hand(initialiser):
    fan_in, fan_out, expected = FANS[initialiser]
    assert deviation(initialiser, fan_in, fan_out) == expected


@pytest.mark.parametrize("initialiser", FANS)
def test_initial_weights_have_the_initialiser_s_deviation_and_biases_are_zero(initialiser):
    network = MLP(hidden=(300,), initialiser=initialiser).build(inputs=200, outputs=100)
    views = network.layout.views(network.initial(np.random.default_rng(4), np.float64))
    np.testing.assert_array_equal(views["hidden1.bias"], 0)
    np.testing.assert_array_equal(views["output.bias"], 0)
    for name, fans in {"hidden1.weight": (200, 300), "output.weight": (300, 100)}.items():
        expected, n = deviation(initialiser, *fans), fans[0] * fans[1]
        assert views[name].std() == pytest.approx(expected, rel=5 / sqrt(2 * n))
        assert abs(views[name].mean()) <= 5 * expected / sqrt(n)


def test_initial_weights_depend_on_the_rng_alone_and_are_rounded_to_the_dtype():
    network = MLP(hidden=(5,)).build(3, 2)
    double = network.initial(np.random.default_rng(5), np.float64)
    single = network.initial(np.random.default_rng(5), np.float32)
    assert (double.dtype, single.dtype) == (np.float64, np.float32)
    np.testing.assert_array_equal(single, double.astype(np.float32))
    assert not np.array_equal(double, network.initial(np.random.default_rng(6), np.float64))


def test_an_unknown_initialiser_suggests_the_nearest():
    with pytest.raises(LawError, match=r"but got initialiser=xavie \(did you mean xavier\?\)"):
        deviation("xavie", 2, 3)

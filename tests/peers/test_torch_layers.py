"""Layers, networks and initialisers against PyTorch, in float64."""

from math import sqrt

import numpy as np
import pytest

from nnlab.core import losses
from nnlab.core.activations import ACTIVATIONS
from nnlab.core.arrays import Workspace
from nnlab.core.initialisers import He, Xavier
from nnlab.core.layers import Mode
from nnlab.core.model import MLP, OUTPUTS
from nnlab.core.normalisation import BatchNorm
from nnlab.core.objective import Batch, NetworkObjective
from nnlab.core.penalties import NoPenalty

torch = pytest.importorskip("torch", reason="PyTorch is not installed (make peers)")
pytestmark = pytest.mark.slow  # importing PyTorch takes seconds
functional = torch.nn.functional

THEIRS = {
    "relu": torch.nn.ReLU,
    "leaky_relu": torch.nn.LeakyReLU,
    "tanh": torch.nn.Tanh,
    "sigmoid": torch.nn.Sigmoid,
    "softmax": lambda: torch.nn.Softmax(dim=-1),
    "identity": torch.nn.Identity,
}


@pytest.fixture(autouse=True)
def one_thread():
    """Matrices this small are slower with more, and much slower on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def near(ours, theirs, scale=1.0):
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else theirs
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12 * scale)


def test_every_activation_is_in_the_table():
    assert THEIRS.keys() == {*OUTPUTS}


@pytest.mark.parametrize("shape", [(7, 5), (3, 7, 5)], ids=str)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_gradients_equal_pytorch_s(name, shape):
    rng = np.random.default_rng(0)
    x, dy = 3 * rng.normal(size=shape), rng.normal(size=shape)
    x.flat[:3] = 0, 700, -700
    inputs = torch.tensor(x, requires_grad=True)
    expected = THEIRS[name]()(inputs)
    expected.backward(torch.tensor(dy))
    activation, work = ACTIVATIONS[name](), Workspace()
    y = activation.forward({}, x.copy(), work)
    near(y, expected)
    dx = activation.backward({}, {}, y, y, dy.copy(), work, input_needed=True)
    near(dx, inputs.grad)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "tanh", "sigmoid"])
def test_gains_equal_pytorch_s(name):
    assert ACTIVATIONS[name].gain == pytest.approx(torch.nn.init.calculate_gain(name), rel=1e-15)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "tanh", "sigmoid"])
def test_deviations_equal_those_of_pytorch_s_initialisers(name):
    torch.manual_seed(0)
    weight = torch.empty(400, 300, dtype=torch.float64)  # PyTorch's are (outputs, inputs)
    gain, near_enough = ACTIVATIONS[name].gain, 5 / sqrt(2 * weight.numel())
    torch.nn.init.xavier_normal_(weight, torch.nn.init.calculate_gain(name))
    assert Xavier().deviation(300, 400, gain) == pytest.approx(weight.std().item(), rel=near_enough)
    if name in ("relu", "leaky_relu"):
        torch.nn.init.kaiming_normal_(weight, a=0.01, nonlinearity=name)
        assert He().deviation(300, 400, gain) == pytest.approx(weight.std().item(), rel=near_enough)


@pytest.mark.parametrize("momentum", [0.1, 0.5])
@pytest.mark.parametrize("epsilon", [1e-5, 0.3])
def test_batch_norm_equals_pytorch_s_in_training_and_evaluation(momentum, epsilon):
    rng = np.random.default_rng(1)
    ours = BatchNorm("n", 4, momentum, epsilon)
    theirs = torch.nn.BatchNorm1d(4, epsilon, momentum, dtype=torch.float64)
    parameters = {"n.scale": rng.normal(size=4), "n.shift": rng.normal(size=4)}
    buffers = {"n.mean": np.zeros(4), "n.variance": np.ones(4)}
    grads, work = {name: np.empty(4) for name in parameters}, Workspace()
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(parameters["n.scale"]))
        theirs.bias.copy_(torch.tensor(parameters["n.shift"]))
    for m in (7, 3, 2, 30):
        x = rng.normal(2.0, [0.1, 1, 10, 3], size=(m, 4))
        dy = rng.normal(size=(m, 4))
        for training in (True, False):
            theirs.train(training)
            theirs.zero_grad()
            inputs = torch.tensor(x, requires_grad=True)
            expected = theirs(inputs)
            expected.backward(torch.tensor(dy))
            mode = Mode(training, None, buffers)
            y = ours.forward(parameters, x, work, mode)
            near(y, expected, 10)
            dx = ours.backward(parameters, grads, x, y, dy.copy(), work, mode, input_needed=True)
            near(dx, inputs.grad, 10)
            near(grads["n.scale"], theirs.weight.grad, 10)
            near(grads["n.shift"], theirs.bias.grad)
            near(buffers["n.mean"], theirs.running_mean)
            near(buffers["n.variance"], theirs.running_var)


def twin_of(model, network, theta, inputs, outputs):
    """PyTorch's network with the same numbers."""
    layers = []
    for width in model.hidden:
        layers.append(torch.nn.Linear(inputs, width, dtype=torch.float64))
        if model.batch_norm:
            layers.append(torch.nn.BatchNorm1d(width, dtype=torch.float64))
        layers.append(THEIRS[model.activation]())
        inputs = width
    layers += [torch.nn.Linear(inputs, outputs, dtype=torch.float64), THEIRS[model.output]()]
    twin = torch.nn.Sequential(*layers)
    with torch.no_grad():
        arrays = network.layout.views(theta).values()
        for parameter, array in zip(twin.parameters(), arrays, strict=True):
            parameter.copy_(torch.tensor(array.T))
    return twin


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_whole_networks_equal_pytorch_s(activation, batch_norm, output):
    rng = np.random.default_rng(2)
    model = MLP((6, 5), activation, batch_norm, output=output)
    network = model.build(4, 3)
    theta, grad = rng.normal(size=network.layout.size), np.empty(network.layout.size)
    buffers = network.initial_buffers(np.float64)
    twin = twin_of(model, network, theta, 4, 3)
    objective, work = NetworkObjective(network, losses.MSE(), NoPenalty()), Workspace()
    for m in (9, 4):
        x, y = rng.normal(size=(m, 4)), rng.normal(size=(m, 3))
        value = objective(theta, Batch(x, y, None, None, buffers), grad, work)
        twin.zero_grad()
        loss = functional.mse_loss(twin(torch.tensor(x)), torch.tensor(y), reduction="sum") / m
        loss.backward()
        assert float(value) == pytest.approx(loss.item(), rel=1e-12)
        near(grad, np.concatenate([p.grad.numpy().T.ravel() for p in twin.parameters()]), 10)
    twin.eval()
    z = network.forward(theta, x, work, network.mode(buffers))[-1]
    near(z, twin(torch.tensor(x)))


def test_a_network_with_dropout_is_pytorch_s_with_the_same_masks():
    rng = np.random.default_rng(3)
    model = MLP((6, 5), "tanh", dropout=0.4)
    network = model.build(4, 3)
    theta, grad = rng.normal(size=network.layout.size), np.empty(network.layout.size)
    x, y, seed = rng.normal(size=(9, 4)), rng.normal(size=(9, 3)), (1, 2, 3)
    trace = network.forward(theta, x, Workspace(), network.training_mode(seed, None))
    masks = [torch.tensor((trace[k] != 0) / 0.6) for k in (3, 6)]
    twin = twin_of(model, network, theta, 4, 3)
    z = torch.tensor(x)
    for k, layer in enumerate(twin):
        z = layer(z)
        if k in (1, 3):
            z = z * masks[k // 2]
    near(trace[-1], z)
    loss = functional.mse_loss(z, torch.tensor(y), reduction="sum") / 9
    loss.backward()
    objective = NetworkObjective(network, losses.MSE(), NoPenalty())
    value = objective(theta, Batch(x, y, None, seed), grad, Workspace())
    assert float(value) == pytest.approx(loss.item(), rel=1e-12)
    near(grad, np.concatenate([p.grad.numpy().T.ravel() for p in twin.parameters()]))

"""The mathematics against PyTorch, in float64: losses, optimizers, a whole training."""

from itertools import islice

import numpy as np
import pytest

from nnlab.core import averaging, losses, optimizers, penalties, schedules
from nnlab.core.arrays import Workspace
from nnlab.core.model import MLP
from nnlab.core.objective import Batch, NetworkObjective, Oracle
from nnlab.data.sources import Digits
from nnlab.training.experiment import Experiment
from nnlab.training.stopping import MaxEpochs
from nnlab.training.trainer import Training

torch = pytest.importorskip("torch", reason="PyTorch is not installed (make peers)")
pytestmark = pytest.mark.slow  # importing PyTorch takes seconds
functional = torch.nn.functional


def hinge(power):
    def loss(z, y):
        margins = (z - z.gather(1, y[:, None]) + 1).clamp(min=0) ** power
        return (margins.sum() - len(y)) / len(y)  # the right class has a margin of 1

    return loss


LOSSES = [  # (ours, PyTorch's, classes)
    (losses.CrossEntropy(), functional.cross_entropy, 5),
    (losses.MSE(), lambda z, y: functional.mse_loss(z, y, reduction="sum") / len(y), 5),
    (
        losses.BinaryCrossEntropy(),
        lambda z, y: functional.binary_cross_entropy_with_logits(z, y, reduction="sum") / len(y),
        5,
    ),
    (
        losses.BinaryCrossEntropy(),
        lambda z, y: functional.binary_cross_entropy_with_logits(z, y, reduction="sum") / len(y),
        2,
    ),
    (losses.Hinge(), hinge(1), 5),
    (losses.Hinge(), lambda z, y: functional.multi_margin_loss(z, y) * z.shape[1], 5),
    (losses.SquaredHinge(), hinge(2), 5),
]


@pytest.mark.parametrize(("ours", "theirs", "classes"), LOSSES)
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_losses_and_their_gradients_equal_pytorch_s(ours, theirs, classes, scale):
    rng = np.random.default_rng(0)
    z = scale * rng.normal(size=(9, ours.outputs(classes)))
    y = ours.encode(rng.integers(0, classes, 9), classes, np.float64)
    value, dz = ours(z, y, Workspace())
    scores = torch.tensor(z, requires_grad=True)
    expected = theirs(scores, torch.tensor(y))
    expected.backward()
    np.testing.assert_allclose(value, expected.item(), rtol=1e-12)
    np.testing.assert_allclose(dz, scores.grad.numpy(), rtol=1e-12, atol=1e-15)


OPTIMIZERS = [
    (optimizers.SGD(0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
    (optimizers.Momentum(0.05, 0.9), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)),
    (
        optimizers.Adam(0.01, 0.8, 0.99, 1e-6),
        lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.99), eps=1e-6),
    ),
]


def network_and_twin(activation="tanh"):
    """A 6-5-4-3 network with its theta, and PyTorch's with the same numbers."""
    network = MLP((5, 4), activation, "xavier").build(6, 3)
    theta = network.initial(np.random.default_rng(1), "float64")
    function = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "sigmoid": torch.nn.Sigmoid}
    layers = []
    for inputs, outputs in ((6, 5), (5, 4), (4, 3)):
        layers += [torch.nn.Linear(inputs, outputs, dtype=torch.float64), function[activation]()]
    twin = torch.nn.Sequential(*layers[:-1])
    copy_to(twin, network, theta)
    return network, theta, twin


def copy_to(twin, network, theta):
    """Write theta into PyTorch's parameters, whose weights are transposed."""
    with torch.no_grad():
        arrays = network.layout.views(theta).values()
        for parameter, array in zip(twin.parameters(), arrays, strict=True):
            parameter.copy_(torch.tensor(array.T))


def flat(twin):
    """PyTorch's parameters in the order of theta."""
    return np.concatenate([p.detach().numpy().T.ravel() for p in twin.parameters()])


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
@pytest.mark.parametrize(("ours", "theirs"), OPTIMIZERS)
def test_100_steps_of_an_optimizer_equal_pytorch_s(ours, theirs, activation):
    network, theta, twin = network_and_twin(activation)
    rng = np.random.default_rng(2)
    x, labels = rng.normal(size=(20, 6)), rng.integers(0, 3, 20)
    oracle = Oracle(
        NetworkObjective(network, losses.CrossEntropy(), penalties.L2(0.01)), Workspace()
    )
    oracle.batch = Batch(x, labels)
    optimizer, state = theirs(list(twin.parameters())), ours.init(theta)
    for _ in range(100):
        value = ours.step(theta, state, oracle, 1.0)
        optimizer.zero_grad()
        loss = functional.cross_entropy(twin(torch.tensor(x)), torch.tensor(labels))
        loss = loss + 0.01 * sum((p**2).sum() for p in twin.parameters() if p.ndim == 2)
        loss.backward()
        optimizer.step()
        assert float(value) == pytest.approx(loss.item(), rel=1e-10)
    np.testing.assert_allclose(theta, flat(twin), rtol=1e-10, atol=1e-12)


def test_a_nesterov_step_equals_pytorch_s_at_the_look_ahead_point():
    """PyTorch's parameters are our theta + momentum * velocity."""
    network, theta, twin = network_and_twin()
    rng = np.random.default_rng(2)
    x, labels = rng.normal(size=(20, 6)), rng.integers(0, 3, 20)
    oracle = Oracle(
        NetworkObjective(network, losses.CrossEntropy(), penalties.NoPenalty()), Workspace()
    )
    oracle.batch = Batch(x, labels)
    ours = optimizers.NAG(0.05, 0.9)
    state = ours.init(theta)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    for _ in range(100):
        ours.step(theta, state, oracle, 1.0)
        optimizer.zero_grad()
        functional.cross_entropy(twin(torch.tensor(x)), torch.tensor(labels)).backward()
        optimizer.step()
        np.testing.assert_allclose(
            theta + 0.9 * state["velocity"], flat(twin), rtol=1e-10, atol=1e-12
        )


def test_a_training_follows_pytorch_s_loss_curve():
    """Three epochs on the digits: the same weights, the same batches, a cosine schedule, an EMA."""
    experiment = Experiment(
        MLP((16,)),
        losses.CrossEntropy(),
        penalties.NoPenalty(),
        optimizers.SGD(0.1),
        schedules.Cosine(),
        Digits(),
        averaging.EMA(0.9),
        (MaxEpochs(3),),
        dtype="float64",
    )
    training = Training(experiment)
    state = training.start()
    twin = torch.nn.Sequential(
        torch.nn.Linear(64, 16, dtype=torch.float64),
        torch.nn.ReLU(),
        torch.nn.Linear(16, 10, dtype=torch.float64),
    )
    copy_to(twin, training.network, state.theta)
    x, y = (torch.tensor(array) for array in training.batch)
    steps = training.order.steps_per_epoch
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3 * steps)
    average = torch.optim.swa_utils.AveragedModel(
        twin, avg_fn=lambda mean, new, seen: mean * 0.9 + new * 0.1
    )
    with torch.no_grad():
        for parameter in average.parameters():
            parameter.zero_()
    average.n_averaged += 1  # it would copy the first weights instead of averaging them
    for report in islice(training.run(state), 1, None):
        for step in range(report.step - steps, report.step):
            rows = training.order.rows(step)
            optimizer.zero_grad()
            functional.cross_entropy(twin(x[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(twin)
        loss = functional.cross_entropy(twin(x), y).item()
        assert report.metrics["train/loss"] == pytest.approx(loss, rel=1e-9)
        np.testing.assert_allclose(
            training.averaged(state),
            flat(average.module) / (1 - 0.9**report.step),
            rtol=1e-9,
            atol=1e-12,
        )

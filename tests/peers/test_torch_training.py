"""Whole trainings against PyTorch, in float64: the same weights, the same batches, three epochs
on the digits."""

from itertools import islice

import numpy as np
import pytest

from nnlab.core import averaging, losses, optimizers, penalties, schedules, weighting
from nnlab.core.model import MLP
from nnlab.data.sources.bundled import Digits
from nnlab.training.experiment import Experiment
from nnlab.training.stopping import MaxEpochs
from nnlab.training.trainer import Training

torch = pytest.importorskip("torch", reason="PyTorch is not installed (make peers)")
pytestmark = pytest.mark.slow  # importing PyTorch takes seconds
functional = torch.nn.functional


@pytest.fixture(autouse=True)
def one_thread():
    """Matrices this small are slower with more, and much slower on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def training_of(model, **fields):
    """A training that is ready, and its state."""
    experiment = Experiment(
        **{
            "model": model,
            "loss": losses.CrossEntropy(),
            "penalty": penalties.NoPenalty(),
            "optimizer": optimizers.SGD(0.1),
            "schedule": schedules.Constant(),
            "data": Digits(),
            "averaging": averaging.NoAveraging(),
            "stopping": (MaxEpochs(3),),
            "dtype": "float64",
            **fields,
        }
    )
    training = Training(experiment)
    return training, training.start()


def test_a_training_follows_pytorch_s_loss_curve(copy_to, flat):
    """A cosine schedule, an EMA."""
    training, state = training_of(
        MLP((16,)), schedule=schedules.Cosine(), averaging=averaging.EMA(0.9)
    )
    twin = torch.nn.Sequential(
        torch.nn.Linear(64, 16, dtype=torch.float64),
        torch.nn.ReLU(),
        torch.nn.Linear(16, 10, dtype=torch.float64),
    )
    copy_to(twin, training.network, state.theta)
    x, y = (torch.tensor(array) for array in training.batch[:2])
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


def test_a_training_with_batch_norm_and_momentum_follows_pytorch_s_loss_curve(copy_to, flat):
    training, state = training_of(
        MLP((16, 12), "tanh", batch_norm=True), optimizer=optimizers.Momentum(0.05, 0.9)
    )
    twin = torch.nn.Sequential(
        torch.nn.Linear(64, 16, dtype=torch.float64),
        torch.nn.BatchNorm1d(16, dtype=torch.float64),
        torch.nn.Tanh(),
        torch.nn.Linear(16, 12, dtype=torch.float64),
        torch.nn.BatchNorm1d(12, dtype=torch.float64),
        torch.nn.Tanh(),
        torch.nn.Linear(12, 10, dtype=torch.float64),
    )
    copy_to(twin, training.network, state.theta)
    x, y = (torch.tensor(array) for array in training.batch[:2])
    steps = training.order.steps_per_epoch
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.05, momentum=0.9)
    for report in islice(training.run(state), 1, None):
        twin.train()
        for step in range(report.step - steps, report.step):
            rows = training.order.rows(step)
            optimizer.zero_grad()
            functional.cross_entropy(twin(x[rows]), y[rows]).backward()
            optimizer.step()
        twin.eval()
        for part in ("train", "validation"):
            evaluated = training.evaluators[part].encoded
            scores = twin(torch.tensor(evaluated.x))
            loss = functional.cross_entropy(scores, torch.tensor(evaluated.y)).item()
            assert report.metrics[f"{part}/loss"] == pytest.approx(loss, rel=1e-9)
        statistics = [
            array for norm in (twin[1], twin[4]) for array in (norm.running_mean, norm.running_var)
        ]
        np.testing.assert_allclose(state.buffers, np.concatenate(statistics), rtol=1e-9)
    np.testing.assert_allclose(state.theta, flat(twin), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("by", ["balanced", "given"])
def test_a_training_with_l2_and_class_weights_follows_pytorch_s_loss_curve(copy_to, flat, by):
    given = (1.0, 2.0, 0.5, 1.0, 0.0, 3.0, 1.0, 1.0, 0.25, 5.0)
    rule = weighting.Balanced() if by == "balanced" else weighting.ByClass(given)
    training, state = training_of(
        MLP((16,), "sigmoid"), weighting=rule, penalty=penalties.L2(0.003)
    )
    twin = torch.nn.Sequential(
        torch.nn.Linear(64, 16, dtype=torch.float64),
        torch.nn.Sigmoid(),
        torch.nn.Linear(16, 10, dtype=torch.float64),
    )
    copy_to(twin, training.network, state.theta)
    x, y = (torch.tensor(array) for array in training.batch[:2])
    counts = torch.bincount(y)
    weight = len(y) / (10 * counts.double()) if by == "balanced" else torch.tensor(given).double()
    steps = training.order.steps_per_epoch
    decayed = {True: [], False: []}
    for parameter in twin.parameters():
        decayed[parameter.ndim == 2].append(parameter)
    optimizer = torch.optim.SGD(
        [{"params": decayed[True], "weight_decay": 2 * 0.003}, {"params": decayed[False]}], lr=0.1
    )
    for report in islice(training.run(state), 1, None):
        for step in range(report.step - steps, report.step):
            rows = training.order.rows(step)
            optimizer.zero_grad()
            functional.cross_entropy(twin(x[rows]), y[rows], weight).backward()
            optimizer.step()
        loss = functional.cross_entropy(twin(x), y).item()  # what is reported counts all alike
        assert report.metrics["train/loss"] == pytest.approx(loss, rel=1e-9)
    np.testing.assert_allclose(state.theta, flat(twin), rtol=1e-8, atol=1e-10)

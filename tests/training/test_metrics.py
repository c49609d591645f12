"""Metrics against scikit-learn's, on the same predictions."""

import gc
import weakref

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error, r2_score

from nnlab.core.arrays import Workspace
from nnlab.core.averaging import EMA, SWA
from nnlab.core.losses import MSE, BinaryCrossEntropy, CrossEntropy, Hinge
from nnlab.core.model import MLP, Linear
from nnlab.core.objective import Batch
from nnlab.core.optimizers import SGD
from nnlab.core.penalties import L2
from nnlab.data.sources.bundled import BreastCancer, Diabetes, Digits, Iris
from nnlab.training.metrics import Evaluator
from nnlab.training.stopping import MaxEpochs
from nnlab.training.trainer import Training


def scores(training, theta, part):
    """The network's scores, from its arrays by the textbook formula for an MLP of one layer."""
    w = training.network.layout.views(theta.astype(np.float64))
    x = getattr(training.splits, part).x
    if "hidden1.weight" in w:
        x = np.maximum(x @ w["hidden1.weight"] + w["hidden1.bias"], 0)
    return x @ w["output.weight"] + w["output.bias"]


def softmax(z):
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


REFERENCE = {  # (loss, data): (scores, y) -> (loss, score)
    (CrossEntropy, Digits): lambda z, y: (
        log_loss(y, softmax(z)),
        accuracy_score(y, z.argmax(axis=1)),
    ),
    (CrossEntropy, Iris): lambda z, y: (
        log_loss(y, softmax(z)),
        accuracy_score(y, z.argmax(axis=1)),
    ),
    (BinaryCrossEntropy, BreastCancer): lambda z, y: (
        log_loss(y, 1 / (1 + np.exp(-z[:, 0]))),
        accuracy_score(y, (z[:, 0] > 0).astype(int)),
    ),
    (MSE, Diabetes): lambda z, y: (mean_squared_error(y, z), r2_score(y, z)),
    (MSE, Iris): lambda z, y: (
        3 * mean_squared_error(np.eye(3)[y], z),
        accuracy_score(y, z.argmax(axis=1)),
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("loss", "data"), REFERENCE, ids=lambda cls: cls.__name__)
def test_metrics_are_scikit_learn_s(experiment, loss, data, dtype):
    training = Training(
        experiment(
            model=MLP((16,)),
            loss=loss(),
            data=data(),
            penalty=L2(0.01),
            optimizer=SGD(0.02),
            dtype=dtype,
            stopping=(MaxEpochs(2),),
        )
    )
    state = training.start()
    for report in training.run(state):
        for part in ("train", "validation", "test") if report.stop else ("train", "validation"):
            z = scores(training, state.theta, part)
            expected = REFERENCE[loss, data](z, getattr(training.splits, part).y)
            score = "r2" if data is Diabetes else "accuracy"
            got = report.metrics[f"{part}/loss"], report.metrics[f"{part}/{score}"]
            assert got == pytest.approx(expected, rel=1e-12 if dtype == "float64" else 1e-5)


def test_the_digits_are_more_than_one_chunk(experiment):
    # what the comparison above rests on
    assert len(Training(experiment(data=Digits())).splits.train.y) > 1024


def evaluator(y, labels=None, loss=None):
    """An evaluator of a network that gives x as it is, for x = y's shape."""
    network = Linear().build(2, 2)
    theta = np.concatenate([np.eye(2).ravel(), np.zeros(2)])
    x = np.random.default_rng(0).normal(size=(len(y), 2))
    return x, theta, Evaluator(network, loss or MSE(), Batch(x, y), labels)


@pytest.mark.parametrize("n", [2, 1023, 1024, 1025, 2048, 3000])
def test_r2_of_several_targets_in_any_number_of_chunks(n):
    y = np.random.default_rng(1).normal(3, (1, 10), size=(n, 2))
    x, theta, evaluate = evaluator(y)
    metrics = evaluate(theta)
    # sum over the targets of the squares, one minus their ratio
    expected = r2_score(y, x, multioutput="variance_weighted")
    assert metrics["r2"] == pytest.approx(expected, rel=1e-12)
    assert metrics["loss"] == pytest.approx(2 * mean_squared_error(y, x), rel=1e-12)


def test_r2_is_0_for_the_mean_1_for_the_truth_and_0_where_all_targets_are_the_same():
    network, mean = Linear().build(1, 1), np.array([0.0, 2.0])
    y = np.array([[1.0], [2.0], [3.0]])
    assert Evaluator(network, MSE(), Batch(y, y), None)(mean)["r2"] == 0
    assert Evaluator(network, MSE(), Batch(y, y), None)(np.array([1.0, 0.0]))["r2"] == 1
    same = np.full((3, 1), 5.0)
    assert Evaluator(network, MSE(), Batch(y, same), None)(mean)["r2"] == 0


def test_a_hinge_and_its_accuracy_by_hand():
    # scores are x: the right one leads by 2, by 0.5 and trails by 1
    x = np.array([[2.0, 0.0], [0.0, 0.5], [1.0, 0.0]])
    y = np.array([0, 1, 1])
    theta = np.concatenate([np.eye(2).ravel(), np.zeros(2)])
    evaluate = Evaluator(Linear().build(2, 2), Hinge(), Batch(x, y), y)
    assert evaluate(theta) == {
        "loss": pytest.approx((0 + 0.5 + 2) / 3),
        "accuracy": pytest.approx(2 / 3),
    }


def test_the_score_is_named_by_the_kind_of_target():
    y = np.zeros((4, 2))
    assert evaluator(y)[2].score == "r2"
    assert evaluator(y, labels=np.zeros(4, int))[2].score == "accuracy"


def one_by_one(evaluate, theta):
    """The loss as the objective has it, chunk by chunk, and the decisions against the labels."""
    loss = right = 0.0
    x, y = evaluate.encoded[:2]
    for start in range(0, len(x), 1024):
        rows = slice(start, start + 1024)
        z = evaluate.network.forward(theta, x[rows], Workspace())[-1]
        loss += float(evaluate.loss(z, y[rows], Workspace())[0]) * len(z)
        right += int((evaluate.loss.decide(z) == evaluate.labels[rows]).sum())
    return {"loss": loss / len(x), "accuracy": right / len(x)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", [CrossEntropy(), BinaryCrossEntropy(), Hinge(), MSE()], ids=str)
@pytest.mark.parametrize("n", [1, 1023, 2100])
def test_several_weights_at_once_have_the_bits_of_the_objective_of_each(loss, n, dtype):
    rng = np.random.default_rng(n)
    network, labels = MLP((9,)).build(6, 10), rng.integers(10, size=n)
    x = rng.normal(size=(n, 6)).astype(dtype)
    batch = Batch(x, loss.encode(labels, 10, dtype))
    evaluate = Evaluator(network, loss, batch, labels)
    several = [rng.normal(size=network.layout.size).astype(dtype) for _ in range(3)]
    several[1][:] = 0  # all scores tie
    found = evaluate.each([(theta, None) for theta in several])
    for theta, metrics in zip(several, found, strict=True):
        assert metrics == evaluate(theta) == one_by_one(evaluate, theta)
        assert {type(value) for value in metrics.values()} == {float}


def test_several_weights_of_a_regression_have_the_bits_of_each():
    y = np.random.default_rng(1).normal(3, (1, 10), size=(2500, 2))
    _, theta, evaluate = evaluator(y)
    found = evaluate.each([(theta, None), (2 * theta, None), (theta, None)])
    assert found == [evaluate(theta), evaluate(2 * theta), evaluate(theta)]
    assert found[0] != found[1]


def test_several_weights_have_their_own_running_statistics():
    rng = np.random.default_rng(0)
    network, labels = MLP((5,), batch_norm=True).build(4, 3), rng.integers(3, size=50)
    evaluate = Evaluator(network, CrossEntropy(), Batch(rng.normal(size=(50, 4)), labels), labels)
    several = [
        (rng.normal(size=network.layout.size), rng.uniform(1, 2, size=network.buffers.size))
        for _ in range(2)
    ]
    assert evaluate.each(several) == [evaluate(*one) for one in several]


def test_examples_are_read_once_for_raw_and_averaged_weights(experiment, monkeypatch):
    training = Training(experiment(averaging=EMA(), stopping=(MaxEpochs(1),)))
    asked, chunks = [], Evaluator._chunks

    def counted(evaluate):
        asked.append(evaluate)
        return chunks(evaluate)

    monkeypatch.setattr(Evaluator, "_chunks", counted)
    first, last = training.run(training.start())
    assert asked == [training.evaluators[part] for part in ("train", "validation") * 2 + ("test",)]
    assert first.metrics["train/loss"] == first.metrics["train/loss_ema"]
    assert last.metrics["train/loss"] != last.metrics["train/loss_ema"]


def test_weights_that_are_not_averaged_yet_are_measured_once(experiment, monkeypatch):
    training = Training(experiment(averaging=SWA("50%"), stopping=(MaxEpochs(4),)))
    measured, each = [], Evaluator.each

    def counted(evaluate, weights):
        measured.append(len(weights))
        return each(evaluate, weights)

    monkeypatch.setattr(Evaluator, "each", counted)
    reports = list(training.run(training.start()))
    assert measured == [1, 1] * 3 + [2, 2] * 2 + [2]
    for report in reports:
        same = report.metrics["train/loss"] == report.metrics["train/loss_swa"]
        assert same == (report.epoch <= 3)  # the first average is that of one


def test_measuring_moves_nothing():
    y = np.random.default_rng(1).normal(size=(1500, 2))
    x, theta, evaluate = evaluator(y)
    before = x.copy(), y.copy(), theta.copy()
    first = evaluate(theta)
    assert evaluate(theta) == first
    for array, copy in zip((x, y, theta), before, strict=True):
        np.testing.assert_array_equal(array, copy)
    assert isinstance(evaluate.work, Workspace)


def test_evaluators_that_share_work_arrays_measure_as_each_does_alone():
    rng = np.random.default_rng(0)
    network, work = MLP((5,)).build(4, 3), Workspace()
    batches = [Batch(rng.normal(size=(50, 4)), rng.integers(3, size=50)) for _ in range(2)]
    shared = [Evaluator(network, CrossEntropy(), one, one.y, work) for one in batches]
    for _ in range(3):
        theta = rng.normal(size=network.layout.size)
        for evaluate, batch in zip(shared, batches, strict=True):
            alone = Evaluator(network, CrossEntropy(), batch, batch.y)
            assert evaluate(theta) == alone(theta)


def test_what_is_measured_is_let_go_with_its_evaluator_without_the_garbage_collector():
    rng = np.random.default_rng(0)
    network, labels = MLP((5,), batch_norm=True, dropout=0.5).build(4, 3), rng.integers(3, size=50)
    evaluate = Evaluator(network, CrossEntropy(), Batch(rng.normal(size=(50, 4)), labels), labels)
    theta, buffers = rng.normal(size=network.layout.size), network.initial_buffers(np.float64)
    gc.disable()
    try:
        evaluate(theta, buffers)
        left = weakref.ref(evaluate.work)
        del evaluate
        assert left() is None
    finally:
        gc.enable()

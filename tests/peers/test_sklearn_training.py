"""Whole trainings against scikit-learn's MLPClassifier and MLPRegressor, in float64: the same
weights, the same batches, three epochs.

scikit-learn's penalty is alpha / (2 m) * sum(w^2) with the batch's m (the sum of its weights,
where it has any): our l2 is alpha / (2 m).
"""

from itertools import islice

import numpy as np
import pytest

from nnlab.core import adaptive, averaging, losses, optimizers, penalties, schedules, weighting
from nnlab.core.model import MLP
from nnlab.data.sources.bundled import BreastCancer, Diabetes, Digits
from nnlab.training.experiment import Experiment
from nnlab.training.stopping import MaxEpochs
from nnlab.training.trainer import Training

pytestmark = pytest.mark.slow  # importing scikit-learn takes seconds

TINY = 1e-30  # scikit-learn's epsilon meets sqrt(v) before the bias is corrected
NONE, UNWEIGHTED = penalties.NoPenalty(), weighting.NoWeighting()
CASES = {  # (data, hidden widths, activation, loss, optimizer, penalty, weighting)
    "sgd": (
        *(Digits(), (16,), "relu", losses.CrossEntropy()),
        *(optimizers.SGD(0.1), NONE, UNWEIGHTED),
    ),
    "momentum": (
        *(Digits(), (16, 12), "tanh", losses.CrossEntropy()),
        *(optimizers.Momentum(0.05, 0.9), NONE, UNWEIGHTED),
    ),
    "l2": (
        *(Digits(), (16,), "sigmoid", losses.CrossEntropy()),
        *(optimizers.SGD(0.2), penalties.L2(0.003), UNWEIGHTED),
    ),
    "adam": (
        *(Digits(), (16,), "tanh", losses.CrossEntropy()),
        *(adaptive.Adam(0.01, 0.9, 0.999, TINY), penalties.L2(0.001), UNWEIGHTED),
    ),
    "two classes, balanced": (
        *(BreastCancer(), (8,), "tanh", losses.BinaryCrossEntropy()),
        *(optimizers.Momentum(0.02, 0.8), penalties.L2(0.002), weighting.Balanced()),
    ),
    "regression": (
        *(Diabetes(), (8,), "relu", losses.HalfMSE()),
        *(optimizers.Momentum(0.02, 0.9), penalties.L2(0.002), UNWEIGHTED),
    ),
}


def twin_of(training, theta, optimizer):
    """scikit-learn's network, ready to take its first step from the same weights."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    model = training.experiment.model
    adam = isinstance(optimizer, adaptive.Adam)
    twin = (MLPClassifier if training.splits.classes else MLPRegressor)(
        hidden_layer_sizes=model.hidden,
        activation={"sigmoid": "logistic"}.get(model.activation, model.activation),
        solver="adam" if adam else "sgd",
        learning_rate_init=optimizer.lr,
        momentum=getattr(optimizer, "momentum", 0.0),
        nesterovs_momentum=False,
        epsilon=TINY,
        shuffle=False,
        random_state=0,
    )
    step(twin, training, np.arange(50))  # makes the arrays
    parameters = iter(training.network.layout.views(theta).values())
    for weight, bias in zip(twin.coefs_, twin.intercepts_, strict=True):
        weight[...], bias[...] = next(parameters), next(parameters)
    del twin._optimizer  # what it remembers of that step; the next one begins anew
    return twin


def step(twin, training, rows):
    """One step on those rows: a call fits one batch of up to 200."""
    x, _, weights = training.batch[:3]
    y = training.splits.train.y
    l2 = getattr(training.experiment.penalty, "l2", 0.0)
    total = len(rows) if weights is None else weights[rows].sum()
    twin.set_params(alpha=2 * l2 * total)
    classes = {"classes": np.unique(y)} if training.splits.classes else {}
    labels = y[rows] if classes else y[rows, 0]
    given = {} if weights is None else {"sample_weight": weights[rows]}
    twin.partial_fit(x[rows], labels, **classes, **given)


def loss_of(twin, training):
    """The mean loss on the training data, without penalty and weights."""
    x, y = training.batch.x, training.splits.train.y
    if not training.splits.classes:
        return float(np.square(twin.predict(x) - y[:, 0]).mean() / 2)
    from sklearn.metrics import log_loss

    return float(log_loss(y, twin.predict_proba(x)))


@pytest.mark.parametrize("name", CASES)
def test_a_training_follows_scikit_learn_s_loss_curve(name):
    data, hidden, activation, loss, optimizer, penalty, rule = CASES[name]
    training = Training(
        Experiment(
            MLP(hidden, activation),
            loss,
            penalty,
            optimizer,
            schedules.Constant(),
            data,
            averaging.NoAveraging(),
            (MaxEpochs(3),),
            weighting=rule,
            dtype="float64",
        )
    )
    state = training.start()
    twin = twin_of(training, state.theta, optimizer)
    reports = training.run(state)
    assert next(reports).metrics["train/loss"] == pytest.approx(loss_of(twin, training), rel=1e-12)
    steps, first = training.order.steps_per_epoch, None
    for report in islice(reports, 3):
        for t in range(report.step - steps, report.step):
            step(twin, training, training.order.rows(t))
        loss = loss_of(twin, training)
        first = first or loss
        assert report.metrics["train/loss"] == pytest.approx(loss, rel=1e-9)
    assert report.step == 3 * steps
    assert loss < first, "it learns"
    theirs = [
        array.ravel()
        for layer in zip(twin.coefs_, twin.intercepts_, strict=True)
        for array in layer
    ]
    np.testing.assert_allclose(state.theta, np.concatenate(theirs), rtol=1e-7, atol=1e-9)

"""Twelve classic bugs, each put into the library as a programmer would make it: the card names it.

In each row: the bug, how it is made, the red line that names it, and the experiment.
"""

from fnmatch import fnmatch

import numpy as np
import pytest

from nnlab.core.activations import ReLU, Softmax
from nnlab.core.adaptive import Adam
from nnlab.core.averaging import EMA, SWA
from nnlab.core.dropout import Dropout
from nnlab.core.layers import Dense, Mode
from nnlab.core.layout import Layout
from nnlab.core.losses import (
    MSE,
    BinaryCrossEntropy,
    CrossEntropy,
    Hinge,
    Mean,
    OnLabels,
    OnNumbers,
)
from nnlab.core.model import MLP, Linear, Network
from nnlab.core.objective import NetworkObjective
from nnlab.core.optimizers import NAG, Momentum
from nnlab.core.penalties import L1, L2
from nnlab.core.weighting import Balanced
from nnlab.data.batches import BatchOrder
from nnlab.data.sources.bundled import BreastCancer, Digits
from nnlab.data.sources.source import Source
from nnlab.training.metrics import Evaluator
from nnlab.training.preflight.card import check
from nnlab.training.trainer import Training

SMALL = {"model": MLP((16,))}
SQUARE = {"model": MLP((4, 4), activation="tanh")}
DROPPED = {"model": MLP((16,), dropout=0.3)}
PENALISED = {"model": MLP((16,)), "penalty": L2(1e-3)}
PUSHED = {"model": MLP((16,)), "optimizer": Momentum(0.05)}
AVERAGED = {"averaging": EMA(0.9)}
CONSEQUENCES = ("gradient of *", "* by heart", "learning")
"""What else may be red: a wrong value is not that of its gradient, and nothing is learnt."""


def method(owner, name="forward"):
    """The decorated function takes the place of that method."""

    def made(function):
        return lambda patch: patch.setattr(owner, name, function)

    return made


def wrapped(owner, name, change):
    """The method as it is, and what `change` makes of it."""
    original = getattr(owner, name)

    def changed(*arguments, **named):
        return change(original, *arguments, **named)

    return lambda patch: patch.setattr(owner, name, changed)


# 1. missing 1/m


def mean(value, gradient):
    """`Mean.__call__` that divides what it is told to, and nothing else, by m."""

    @method(Mean, "__call__")
    def __call__(self, z, y, work, weights=None):
        losses, dz = self.each(z, y, work)
        if weights is not None:
            losses, dz = losses * weights, dz * weights[:, None]
        m = z.shape[-2] if weights is None else weights.sum()
        if gradient:
            dz /= m
        return losses.sum(axis=-1) / (m if value else 1), dz

    return __call__


@method(MSE, "each")
def mean_over_scores_too(self, z, y, work):
    dz = z - y
    return np.square(dz).mean(axis=-1), 2 * dz / z.shape[-1]


def summed_by_evaluator(evaluate, self, theta, buffers=None):
    metrics = evaluate(self, theta, buffers)
    return metrics | {"loss": metrics["loss"] * len(self.encoded.x)}


# 2. forgotten bias gradient


def bias_gradient(wrong):
    """Dense's pass back, whose bias gradient is what `wrong` leaves."""

    def bind_backward(real, self, parameters, grads, *rest, **named):
        mine = {**grads, self.bias: np.empty_like(grads[self.bias])}
        right = real(self, parameters, mine, *rest, **named)
        grads[self.bias][...] = 1.0  # a new array holds anything

        def backward(dy, mode):
            wrong(self, grads[self.bias], dy)
            return right(dy, mode)

        return backward

    return wrapped(Dense, "bind_backward", bind_backward)


def zeroed(layer, db, dy):
    db[...] = 0


def untouched(layer, db, dy):
    pass


def of_the_mean(layer, db, dy):
    db[...] = dy.mean(axis=-2)


def untouched_in_hidden_layers(layer, db, dy):
    if layer.name == "output":
        db[...] = dy.sum(axis=-2)


# 3. wrong ReLU mask


@method(ReLU, "derivative")
def not_strictly_positive(self, y, out):
    return np.greater_equal(y, 0, out=out, casting="unsafe")


@method(ReLU, "derivative")
def negative(self, y, out):
    return np.less_equal(y, 0, out=out, casting="unsafe")


@method(ReLU, "bind_backward")
def mask_of_the_gradient(self, parameters, grads, x, y, work, *, input_needed):
    return lambda dy, mode: np.maximum(dy, 0, out=dy)


# 4. transposed weight of a square layer


def transposed(real, self, parameters, x, work, training):
    w = parameters[self.weight]
    w = w.swapaxes(-1, -2) if self.inputs == self.outputs else w
    return real(self, {**parameters, self.weight: w}, x, work, training)


forward_with_the_transpose = wrapped(Dense, "bind_forward", transposed)


@method(Dense, "bind_backward")
def backward_without_the_transpose(self, parameters, grads, x, y, work, *, input_needed):
    w = parameters[self.weight]

    def backward(dy, mode):
        grads[self.weight][...] = x.swapaxes(-1, -2) @ dy
        grads[self.bias][...] = dy.sum(axis=-2)
        return dy @ (w if self.inputs == self.outputs else w.swapaxes(-1, -2))

    return backward


@method(Dense, "bind_backward")
def weight_gradient_transposed(self, parameters, grads, x, y, work, *, input_needed):
    def backward(dy, mode):
        dw = x.swapaxes(-1, -2) @ dy
        grads[self.weight][...] = dw.swapaxes(-1, -2) if self.inputs == self.outputs else dw
        grads[self.bias][...] = dy.sum(axis=-2)
        return dy @ parameters[self.weight].swapaxes(-1, -2)

    return backward


# 5. penalty on biases, 6. penalty gradient doubled


def weights_and_biases(patch):
    patch.setattr(Layout, "weights", property(lambda self: (slice(0, self.size),)))


@method(L2, "add")
def l2_of_all_parameters(self, theta, layout, grad, work):
    if grad is not None:
        grad += 2 * self.l2 * theta
    return self.l2 * (theta * theta).sum(axis=-1)


@method(L2, "add")
def l2_of_the_biases_in_the_gradient(self, theta, layout, grad, work):
    if grad is not None:
        grad += 2 * self.l2 * theta
    return self.l2 * sum((theta[..., w] ** 2).sum(axis=-1) for w in layout.weights)


def l2(value, slope):
    @method(L2, "add")
    def add(self, theta, layout, grad, work):
        total = 0.0
        for weights in layout.weights:
            w = theta[..., weights]
            total = total + value * self.l2 * (w * w).sum(axis=-1)
            if grad is not None:
                grad[..., weights] += slope * self.l2 * w
        return total

    return add


def added_again(real, self, theta, batch, grad, work):
    value = real(self, theta, batch, grad, work)
    if grad is not None:
        self.penalty.add(theta, self.network.layout, grad, work)
    return value


@method(NetworkObjective, "__call__")
def overwritten_by_backward(self, theta, batch, grad, work):
    mode = self.network.training_mode(batch.seed, batch.buffers)
    trace = self.network.forward(theta, batch.x, work, mode)
    value, dz = self.loss(trace[-1], batch.y, work, batch.weights)
    value = value + self.penalty.add(theta, self.network.layout, grad, work)
    if grad is not None:
        self.network.backward(theta, trace, dz, grad, work, mode)
    return value


# 7. momentum sign


def momentum(keeps, goes, owner=Momentum):
    """velocity = keeps * momentum * velocity - lr g; theta += goes * velocity."""

    @method(owner, "step")
    def step(self, theta, state, oracle, scale):
        value, grad = oracle(theta)
        state["velocity"][...] = keeps * self.momentum * state["velocity"] - self.lr * scale * grad
        theta += goes * state["velocity"]
        return value

    return step


@method(Adam, "step")
def adam_uphill(self, theta, state, oracle, scale):
    value, grad = oracle(theta)
    theta += self.lr * scale * np.sign(grad)
    return value


# 8. averages of a step counted twice


def twice(update, self, theta, state, work):
    update(self, theta, state, work)
    update(self, theta, state, work)


@method(EMA, "update")
def decayed_twice(self, theta, state, work):
    state["t"] += 1
    state["product"] *= self.decay
    for _ in range(2):
        state["sum"] *= self.decay
        state["sum"] += theta


@method(EMA, "update")
def weights_exchanged(self, theta, state, work):
    state["t"] += 1
    state["product"] *= self.decay
    state["sum"] *= 1 - self.decay
    state["sum"] += self.decay / (1 - self.decay) * theta


def averaged_again(advance, self, state, oracle, upto, *until):
    """The trainer's loop, step by step, with an update of its own after each."""
    while state.step < upto:
        finite = advance(self, state, oracle, state.step + 1, *until)
        self.experiment.averaging.update(state.theta, state.averaging, oracle.work)
        if not finite:
            return False
    return True


# 9. softmax without shift


@method(CrossEntropy, "each")
def exp_of_raw_scores(self, z, y, work):
    p = np.exp(z)
    p /= p.sum(axis=-1, keepdims=True)
    rows = np.arange(len(z))
    losses = -np.log(p[rows, y])
    p[rows, y] -= 1
    return losses, p


@method(Softmax, "apply")
def exp_of_raw_inputs(self, x, work):
    np.exp(x, out=x)
    x /= x.sum(axis=-1, keepdims=True)
    return x


@method(BinaryCrossEntropy, "each")
def log_of_one_plus_exp(self, z, y, work):
    return (np.log(1 + np.exp(z)) - y * z).sum(axis=-1), 1 / (1 + np.exp(-z)) - y


# 10. stale batches


@method(BatchOrder, "rows")
def first_batch_for_ever(self, step):
    return np.arange(self.batch_size)


def gathered_before_the_loop(advance, self, state, oracle, *until):
    batch = self._gather(state, oracle.work)
    gather = self._gather
    self._gather = lambda state, work: batch
    try:
        return advance(self, state, oracle, *until)
    finally:
        self._gather = gather


def targets(of):
    """`Training._gather` whose y is that of the rows that `of` names."""

    def gather(real, self, state, work):
        rows = of(self.order, state.step) % self.order.examples
        return real(self, state, work)._replace(y=self.batch.y[rows])

    return wrapped(Training, "_gather", gather)


def of_the_step_before(order, step):
    rows, before = order.rows(step), order.rows(max(step - 1, 0))
    return np.resize(before, len(rows))


# 11. labels off by one


def encoded(change):
    return wrapped(
        OnLabels,
        "encode",
        lambda encode, self, labels, classes, dtype: change(
            encode(self, labels, classes, dtype), classes
        ),
    )


def one_hot_of_the_next(encode, self, labels, classes, dtype):
    return np.eye(classes, dtype=dtype)[(labels + 1) % classes]


def decided_from_one(decide, self, z):
    return decide(self, z) + 1


def labels_of_the_parts(*changed):
    """Source.split whose parts of these names have labels off by one."""

    def split(real, self, *how):
        splits = real(self, *how)
        parts = {name: getattr(splits, name) for name in changed}
        return splits._replace(
            **{
                name: part._replace(y=(part.y + 1) % len(splits.classes))
                for name, part in parts.items()
            }
        )

    return wrapped(Source, "split", split)


def the_row_after(split, self, *how):
    splits = split(self, *how)
    train = splits.train
    return splits._replace(train=train._replace(y=np.roll(train.y, 1)))


# 12. dropout in evaluation


def dropout_always(rng):
    def bind_forward(real, self, parameters, x, work, training):
        y, right = real(self, parameters, x, work, True)

        def forward(mode):
            right(mode if mode.training else Mode(training=True, rng=rng()))

        return y, forward

    return wrapped(Dropout, "bind_forward", bind_forward)


def training_mode(mode, self, buffers):
    return self.training_mode((0,), None)


BUGS = {
    "missing 1/m": [
        ("in the value", mean(False, True), "initial loss", SMALL),
        ("in the gradient", mean(True, False), "gradient of output.bias", SMALL),
        ("in both", mean(False, False), "initial loss", SMALL),
        ("in both, linear", mean(False, False), "initial loss", {"loss": Hinge()}),
        ("in both, weighted", mean(False, False), "initial loss", {"weighting": Balanced()}),
        (
            "in the value, after a softmax",
            mean(False, True),
            "initial loss",
            {"model": Linear(output="softmax"), "loss": MSE()},
        ),
        ("C more in it", mean_over_scores_too, "initial loss", {"loss": MSE()}),
        (
            "in the evaluation",
            wrapped(Evaluator, "__call__", summed_by_evaluator),
            "evaluation",
            {},
        ),
    ],
    "forgotten bias gradient": [
        ("zero", bias_gradient(zeroed), "gradient of output.bias", SMALL),
        ("never written", bias_gradient(untouched), "gradient of output.bias", SMALL),
        ("mean for sum", bias_gradient(of_the_mean), "gradient of hidden1.bias", SMALL),
        (
            "in hidden layers",
            bias_gradient(untouched_in_hidden_layers),
            "gradient of hidden1.bias",
            SMALL,
        ),
    ],
    "wrong ReLU mask": [
        (">= for >", not_strictly_positive, "gradient of hidden1.weight", SMALL),
        ("<= for >", negative, "gradient of hidden1.weight", SMALL),
        ("of the gradient", mask_of_the_gradient, "gradient of hidden1.weight", SMALL),
    ],
    "transposed weight": [
        ("forward", forward_with_the_transpose, "gradient of hidden2.weight", SQUARE),
        ("backward", backward_without_the_transpose, "gradient of hidden1.weight", SQUARE),
        ("gradient", weight_gradient_transposed, "gradient of hidden2.weight", SQUARE),
        (
            "forward, digits",
            forward_with_the_transpose,
            "gradient of hidden1.weight",
            {"model": MLP((64, 64)), "data": Digits(), "optimizer": Momentum(0.05)},
        ),
    ],
    "penalty on biases": [
        ("by the layout", weights_and_biases, "biases", PENALISED),
        ("by the penalty", l2_of_all_parameters, "biases", PENALISED),
        ("by its gradient", l2_of_the_biases_in_the_gradient, "biases", PENALISED),
        ("by the layout, l1", weights_and_biases, "biases", {"penalty": L1(1e-3)}),
    ],
    "penalty gradient doubled": [
        ("4 l2 w", l2(1, 4), "gradient of the penalty", PENALISED),
        ("l2 w", l2(1, 1), "gradient of the penalty", PENALISED),
        ("value and gradient", l2(2, 4), "penalty", PENALISED),
        (
            "added twice",
            wrapped(NetworkObjective, "__call__", added_again),
            "loss + penalty",
            PENALISED,
        ),
        ("overwritten", overwritten_by_backward, "loss + penalty", PENALISED),
    ],
    "momentum sign": [
        ("-mu v - lr g", momentum(-1, 1), "optimizer", PUSHED),
        ("theta -= v", momentum(1, -1), "optimizer", PUSHED),
        ("-mu v - lr g, theta -= v", momentum(-1, -1), "optimizer", PUSHED),
        ("of nag", momentum(-1, 1, NAG), "optimizer", {"optimizer": NAG(0.02)}),
        ("of adam", adam_uphill, "optimizer", {"optimizer": Adam(0.01)}),
    ],
    "average applied twice": [
        ("in update", wrapped(EMA, "update", twice), "ema formula", AVERAGED),
        ("without its correction", decayed_twice, "ema formula", AVERAGED),
        ("with exchanged weights", weights_exchanged, "ema formula", AVERAGED),
        ("by the trainer", wrapped(Training, "advance", averaged_again), "ema of *", AVERAGED),
        (
            "by the trainer, swa",
            wrapped(Training, "advance", averaged_again),
            "swa of *",
            {"averaging": SWA("50%", "1 step")},
        ),
    ],
    "softmax without shift": [
        ("in the loss", exp_of_raw_scores, "large scores", {}),
        (
            "in the layer",
            exp_of_raw_inputs,
            "large scores",
            {"model": Linear(output="softmax"), "loss": MSE()},
        ),
        (
            "a sigmoid",
            log_of_one_plus_exp,
            "large scores",
            {"loss": BinaryCrossEntropy(), "data": BreastCancer()},
        ),
    ],
    "stale batch": [
        ("the first for ever", first_batch_for_ever, "batches of an epoch", {}),
        (
            "gathered before the loop",
            wrapped(Training, "advance", gathered_before_the_loop),
            "batches of an epoch",
            {},
        ),
        ("y of the step before", targets(of_the_step_before), "batches of an epoch", {}),
    ],
    "labels off by one": [
        ("encoding", encoded(lambda y, c: (y + 1) % c), "labels and loss agree", {}),
        ("encoding, counted from 1", encoded(lambda y, c: y - 1), "labels and loss agree", {}),
        (
            "one-hot encoding",
            wrapped(OnNumbers, "encode", one_hot_of_the_next),
            "labels and loss agree",
            {"loss": MSE()},
        ),
        (
            "deciding",
            wrapped(OnLabels, "decide", decided_from_one),
            "labels and loss agree",
            {},
        ),
        (
            "gathering",
            targets(lambda order, step: order.rows(step) + 1),
            "batches of an epoch",
            {},
        ),
        ("labels of training", labels_of_the_parts("train"), "split", {}),
        ("labels of validation", labels_of_the_parts("validation"), "split", {}),
        ("labels of all parts", labels_of_the_parts("train", "validation", "test"), "split", {}),
        ("rows of training", wrapped(Source, "split", the_row_after), "split", {}),
    ],
    "dropout in evaluation": [
        ("drawn anew", dropout_always(np.random.default_rng), "evaluation", DROPPED),
        ("fixed mask", dropout_always(lambda: np.random.default_rng(0)), "evaluation", DROPPED),
        ("by the mode", wrapped(Network, "mode", training_mode), "evaluation", DROPPED),
    ],
}
ALSO = {
    "evaluation": ("missing 1/m", "labels off by one"),
    "batches of an epoch": ("labels off by one",),
    "penalty": ("penalty on biases",),
    "ema of decay 0": ("average applied twice",),
}
ROWS = [
    pytest.param(
        bug, make, named, fields, id=f"{bug}: {how}", marks=pytest.mark.slow if k >= 2 else ()
    )
    for bug, rows in BUGS.items()
    for k, (how, make, named, fields) in enumerate(rows)
]
QUICK = [str(fields) for rows in BUGS.values() for *_, fields in rows[:2]]
HEALTHY = {
    name: pytest.param(fields, id=name, marks=() if name in QUICK else pytest.mark.slow)
    for rows in BUGS.values()
    for *_, fields in rows
    for name in [str(fields)]
}


@pytest.mark.parametrize(("bug", "make", "named", "fields"), ROWS)
def test_the_card_is_red_and_names_the_bug(experiment, monkeypatch, bug, make, named, fields):
    make(monkeypatch)
    red = [line.name for line in check(experiment(**fields)).red]
    assert any(fnmatch(name, named) for name in red)
    for name in red:
        known = any(fnmatch(name, pattern) for pattern in (named, *CONSEQUENCES))
        assert known or bug in ALSO.get(name, ()), f"{name} has nothing to do with it"


@pytest.mark.parametrize("fields", HEALTHY.values())
def test_without_the_bug_it_is_green(experiment, fields):
    assert not check(experiment(**fields)).red


def test_there_are_twelve_bugs_made_in_at_least_two_ways():
    assert len(BUGS) == 12
    assert all(len(rows) >= 2 for rows in BUGS.values())

"""Checks of the wiring: do batches, steps and averages go where they should?"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from math import inf

import numpy as np

from nnlab.core.arrays import Array, Workspace
from nnlab.core.averaging import EMA, SWA, Averaging
from nnlab.core.dropout import Dropout
from nnlab.core.layers import Mode
from nnlab.core.model import Network
from nnlab.core.objective import Analytic, Batch, Objective, Oracle
from nnlab.core.optimizers import SGD
from nnlab.core.surfaces import Parabola
from nnlab.training.preflight.examples import pairs
from nnlab.training.preflight.line import Line
from nnlab.training.preflight.points import somewhere
from nnlab.training.trainer import Training

_STEPS = 2000  # of an epoch that are watched
_ROWS = 256


def batches(training: Training) -> Iterator[Line]:
    """In an epoch the objective sees every training example once, with its own target.

    The steps are taken in one go, as a training takes them, by an optimizer that asks once.
    """
    splits, dtype = training.splits, training.experiment.dtype
    classes = len(splits.classes)
    y = training.loss.encode(splits.train.y, classes, dtype) if classes else splits.train.y
    y = y.astype(y.dtype if y.dtype.kind == "i" else dtype)
    bare = replace(training.experiment, optimizer=SGD(lr=1e-12), gradient=Analytic())
    still = Training(replace(bare, augmentation=()))
    expected = pairs(splits.train.x[:].astype(dtype), y, still.batch.weights)
    spy = _Spy(still.oracle.objective, Counter())
    per_epoch = still.order.steps_per_epoch
    steps = min(per_epoch, _STEPS)
    still.advance(still.start(), Oracle(spy, still.oracle.work), steps, inf)
    strange = sum((spy.seen - expected).values())
    missed = sum((expected - spy.seen).values()) if steps == per_epoch else 0
    detail = f"{steps} batches hold each training example once, with its own target"
    if strange or missed:
        detail = (
            f"in {steps} batches {strange:,} examples are there too often or have another's target,"
            f" and {missed:,} are missing: see BatchOrder and Training.advance"
        )
    yield Line("batches of an epoch", not strange and not missed, detail)


def evaluation(training: Training) -> Iterator[Line]:
    """Loss and score are means over the examples, computed without dropout."""
    network, dtype = training.network, training.experiment.dtype
    theta, buffers = somewhere(training).astype(dtype), network.initial_buffers(dtype)
    whole = Network(tuple(one for one in network.layers if not isinstance(one, Dropout)))
    mode = Mode(buffers=network.buffers.views(buffers))
    close = 1e-3 if dtype == "float32" else 1e-9
    for part, (name, full) in zip(training.splits[:3], training.evaluators.items(), strict=True):
        labels = None if full.labels is None else full.labels[:_ROWS]
        batch = Batch(full.encoded.x[:_ROWS], full.encoded.y[:_ROWS])
        evaluator = replace(full, encoded=batch, labels=labels, work=Workspace())
        first, second = (evaluator(theta, buffers) for _ in range(2))
        by_hand = _by_hand(training, whole, mode, theta, part.x[:_ROWS], part.y[:_ROWS])
        if first != second:
            detail = f"two of the same weights on {name} differ: is something drawn at random?"
            yield Line("evaluation", False, detail)
            return
        for metric, got in first.items():
            expected = by_hand[metric]
            if not abs(got - expected) <= close * (1 + abs(expected)):
                cure = "is dropout still at work?" if network.stochastic else "see Evaluator"
                detail = f"{name} {metric} {got:.5g}, but {expected:.5g} by hand: {cure}"
                yield Line("evaluation", False, detail)
                return
    yield Line("evaluation", True, "loss and score as by hand, without dropout")


def _by_hand(
    training: Training, network: Network, mode: Mode, theta: Array, x: Array, labels: Array
) -> dict[str, float]:
    """Loss and score of a part, from its examples and labels as they were split."""
    loss, dtype = training.experiment.loss, training.experiment.dtype
    classes, work = len(training.splits.classes), Workspace()
    z = network.forward(theta, x.astype(dtype), work, mode)[-1].copy()
    y = loss.encode(labels, classes, dtype) if classes else labels.astype(dtype)
    value = float(loss.each(z.copy(), y, work)[0].mean(dtype=np.float64))
    if classes:
        return {"loss": value, "accuracy": float((loss.decide(z) == labels).mean())}
    total = float(np.square(labels - labels.mean(axis=0)).sum())
    return {"loss": value, "r2": 1 - float(np.square(z - labels).sum()) / total if total else 0.0}


def optimizer(training: Training) -> Iterator[Line]:
    """A step goes downhill; where the slope ends, momentum goes on and never back."""
    one, clipping = training.experiment.optimizer, training.experiment.clipping
    name = type(one).__name__
    if one.gradient_free or one.full_batch:
        theta = np.array([1.0, -2.0])
        oracle, state = Oracle(Parabola(), Workspace()), one.init(theta)
        before = float(oracle.value(theta))
        for step in range(20):
            oracle.seed = (0, step)
            one.step(theta, state, oracle, 1.0)
        after = float(oracle.value(theta))
        detail = f"20 steps of {name} on a parabola: from {before:g} to {after:.3g}"
        yield Line("optimizer", after <= before, detail)
        return
    if "weight_decay" in {field.name for field in fields(one)}:  # type: ignore[arg-type]
        one = replace(one, weight_decay=0.0)  # type: ignore[type-var]
    slope = np.array([1.0, -2.0, 0.5])
    theta, plane = np.zeros(3), _Plane(slope)
    oracle, state = Oracle(plane, Workspace(), clipping), one.init(theta)
    one.step(theta, state, oracle, 1.0)
    first = theta.copy()
    plane.slope = np.zeros(3)
    one.step(theta, state, oracle, 1.0)
    downhill = float(first @ slope) < 0
    onwards = float((theta - first) @ first) >= -1e-9 * float(first @ first)
    detail = "steps go downhill, and momentum goes on"
    if not downhill:
        detail = f"a step goes uphill: see the sign of the gradient in {name}.step"
    elif not onwards:
        detail = (
            "where the slope ends, the next step goes back: "
            f"see the sign of the momentum in {name}.step"
        )
    yield Line("optimizer", downhill and onwards, detail)


def averaging(training: Training) -> Iterator[Line]:
    """The average is what its formula says, each step counts once, and decay 0 is theta."""
    one = training.experiment.averaging
    if not one.label:
        return
    name = type(one).__name__
    thetas = list(np.random.default_rng(0).normal(size=(6, 4)))
    state, work = one.init(thetas[0]), Workspace()
    for theta in thetas[1:]:
        one.update(theta, state, work)
    expected = _formula(one, thetas)
    if expected is not None:
        same = bool(np.allclose(one.value(thetas[-1], state), expected, rtol=1e-9))
        detail = f"the average of 5 steps {'is' if same else 'is not'} that of the formula"
        yield Line(f"{one.label} formula", same, detail + ("" if same else f": see {name}.update"))
    if isinstance(one, EMA):
        raw = replace(one, decay=0.0)
        state = raw.init(thetas[0])
        for theta in thetas[1:]:
            raw.update(theta, state, work)
        same = bool((raw.value(thetas[-1], state) == thetas[-1]).all())
        detail = "is the raw weights, bit for bit" if same else "is not the raw weights: see EMA"
        yield Line("ema of decay 0", same, detail)
    yield _each_step_once(training)


def _each_step_once(training: Training) -> Line:
    """A training of a few steps against updates by hand; an average that begins late begins at
    once here."""
    one, running = training.experiment.averaging, training.start()
    training.average_from, training.average_every = 1, 2
    steps = 6
    training.advance(running, training.oracle, steps, inf)
    alone = training.start()
    state, work = one.init(alone.theta), Workspace()
    oracle = Oracle(training.oracle.objective, Workspace(), training.experiment.clipping)
    oracle.gradient = training.oracle.gradient
    for step in range(1, steps + 1):
        training.advance(alone, oracle, step, inf)
        if step > training.average_from and (step - training.average_from) % 2 == 0:
            one.update(alone.theta, state, work)
    same = _same(one.value(alone.theta, state), training.averaged(running))
    detail = "every step that counts counts once"
    if not same:
        detail = "a step counts twice or not at all: see Training.advance"
    return Line(f"{one.label} of a training", same, detail)


def _same(a: Array, b: Array) -> bool:
    return bool(np.array_equal(a, b, equal_nan=True))


def _formula(one: Averaging, thetas: list[Array]) -> Array | None:
    """The average of thetas[1:], from thetas[0], written out."""
    if isinstance(one, SWA):
        return np.asarray(np.mean(thetas[1:], axis=0))
    if not isinstance(one, EMA):
        return None
    shares: list[float] = []
    for t in range(1, len(thetas)):
        decay = float(np.min(one.decay))
        decay = min(decay, (1 + t) / (10 + t)) if one.warmup else decay
        shares = [share * decay for share in shares] + [1 - decay]
    rest = 1 - sum(shares)
    total = sum(share * theta for share, theta in zip(shares, thetas[1:], strict=True))
    return np.asarray(total / sum(shares) if one.bias_correction else total + rest * thetas[0])


class _Spy:
    """An objective that takes down the examples it sees."""

    def __init__(self, objective: Objective, seen: Counter[int]) -> None:
        self.objective = objective
        self.seen = seen

    def __call__(self, theta: Array, batch: Batch, grad: Array | None, work: Workspace) -> Array:
        self.seen.update(pairs(batch.x, batch.y, batch.weights))
        return self.objective(theta, batch, grad, work)


@dataclass
class _Plane:
    """slope . theta"""

    slope: Array

    def __call__(self, theta: Array, batch: None, grad: Array | None, work: Workspace) -> Array:
        if grad is not None:
            grad[...] = self.slope
        return np.asarray(theta @ self.slope)

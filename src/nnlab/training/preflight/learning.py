"""Checks of learning: can it learn a few examples by heart, and does it use its inputs?"""

from collections.abc import Iterator
from math import inf, isfinite, sqrt

import numpy as np

from nnlab.core.adaptive import Adam
from nnlab.core.arrays import Array, Workspace
from nnlab.core.dropout import Dropout
from nnlab.core.layers import Dense
from nnlab.core.lbfgs import LBFGS
from nnlab.core.model import Network
from nnlab.core.objective import Batch, NetworkObjective, Oracle
from nnlab.core.penalties import NoPenalty
from nnlab.training.preflight.line import Line
from nnlab.training.preflight.rehearsal import rehearse
from nnlab.training.trainer import WEIGHTS, Training

EXAMPLES = 20
OVERFITTED = 0.2
"""Learnt by heart: the loss is below this part of the best one without looking at x.

Measured over 237 healthy cards: at most 0.11; with zeros for initial weights 1.0."""
LEARNT, SURE = 0.95, 4.0
"""Inputs are used: a loss falls below this part of that without inputs, and that unseen examples
gain by it is sure by so many standard errors.

Measured over 42 setups with 2 to 6 seeds each: healthy ones came to at least 8.9 standard errors,
permuted labels to at most 2.7; a slow optimizer (Lion) to a part of 0.90."""
FELL = 0.98
"""The optimizer moves: the training loss falls below this part of the initial one."""
_STEPS, _FULL_STEPS, _ATTEMPTS = 200, 5, 3
_PATIENCE = 5
"""So many times as many steps are taken where those were not enough."""


def overfits(training: Training) -> Iterator[Line]:
    """The network learns 20 examples by heart; a small or narrow one fewer."""
    experiment = training.experiment
    layers = tuple(layer for layer in training.network.layers if not isinstance(layer, Dropout))
    network = Network(layers)
    x, y = training.evaluators["train"].encoded[:2]
    count = max(2, min(_capacity(network), len(x)))
    chosen = _mixed(training, count)
    numbers = y[chosen].astype(np.float64) if y.dtype.kind == "f" else y[chosen]
    batch = Batch(x[chosen].astype(np.float64), numbers)
    objective = NetworkObjective(network, experiment.loss, NoPenalty())
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng([experiment.seed, WEIGHTS, attempt])
        start = network.initial(experiment.initialiser, rng, np.float64)
        reached = _minimum(objective, start, batch)
        baseline = _minimum(objective, start, batch._replace(x=np.zeros_like(batch.x)))
        passed = reached <= OVERFITTED * baseline
        if passed:
            break
    detail = f"loss {reached:.3g}; {baseline:.3g} without the inputs"
    if not passed:
        detail += ": the network or the loss cannot learn these data"
    yield Line(f"{count} examples by heart", passed, detail)


def learns(training: Training) -> Iterator[Line]:
    """In its first steps the experiment learns more than it would with inputs of zeros."""
    experiment = training.experiment
    if experiment.optimizer.gradient_free:
        return
    steps = _FULL_STEPS if experiment.optimizer.full_batch else _STEPS
    seeing, unseeing = (
        rehearse(experiment, steps, _PATIENCE * steps, blind=blind) for blind in (False, True)
    )
    lr = f"optimizer.lr={float(np.max(experiment.optimizer.lr)):g}"
    start, _ = next(seeing), next(unseeing)
    if not isfinite(start.training):
        yield Line("learning", False, "the loss is not finite before the first step")
        return
    learnt, best, floor, sure = False, inf, inf, -inf
    for ours, theirs in zip(seeing, unseeing, strict=False):
        if not isfinite(ours.training):
            detail = f"diverged at step {ours.step}: {lr} is too large, or inputs are not scaled"
            yield Line("learning", False, detail)
            return
        floor = min(floor, theirs.training)
        loss, without = float(ours.unseen.mean()), float(theirs.unseen.mean())
        gain = theirs.unseen - ours.unseen
        gained = float(gain.mean()) / (float(gain.std()) / sqrt(len(gain)) or inf)
        if loss <= LEARNT * without:
            sure = max(sure, gained)
        if ours.training <= LEARNT * floor:
            sure = max(sure, ours.told)
        learnt = sure >= SURE and ours.training <= FELL * start.training
        best = min(best, loss)
        if ours.step >= steps and learnt:
            break
    passed = learnt and ours.training <= floor
    detail = f"loss of unseen examples {best:.3g} after {ours.step} steps; {without:.3g} without"
    detail += " the inputs"
    if not passed and ours.training > 1.05 * floor:
        detail += f": {lr} is too large, or inputs are not scaled"
    elif not passed and ours.training < 0.5 * floor:
        detail += f", but {ours.training:.3g} in training: do the inputs tell the targets?"
    elif not passed:
        detail += f": {lr} is too large or too small, or the inputs do not tell the targets"
    yield Line("learning", passed, detail)


def _capacity(network: Network) -> int:
    """How many examples it can surely learn: by its number of weights and its narrowest layer."""
    *hidden, last = (layer.outputs for layer in network.layers if isinstance(layer, Dense))
    weights = 2 * network.layout.size // (3 * last)
    return min(EXAMPLES, weights, *(2 * width for width in hidden))


def _minimum(objective: NetworkObjective, start: Array, batch: Batch) -> float:
    """A low value: Adam finds the valley, L-BFGS its floor."""
    theta = start.copy()
    oracle = Oracle(objective, Workspace())
    oracle.batch = batch
    best = inf
    with np.errstate(all="ignore"):
        for one, steps in ((Adam(lr=0.02), 300), (LBFGS(iterations=200), 1)):
            state = one.init(theta)
            for _ in range(steps):
                best = min(best, float(one.step(theta, state, oracle, 1.0)))
        return min(best, float(oracle.value(theta)))


def _mixed(training: Training, count: int) -> Array:
    """Rows of that many training examples, the classes in turn, or targets from low to high."""
    y, rng = training.splits.train.y, np.random.default_rng(training.experiment.seed)
    rows = rng.permutation(len(y))
    if not training.splits.classes:
        ranks = np.linspace(0, len(y) - 1, count).astype(np.intp)
        return np.asarray(np.argsort(y[:, 0], kind="stable")[ranks])
    turn = np.empty(len(y), np.intp)
    for label in range(len(training.splits.classes)):
        (of_class,) = np.nonzero(y[rows] == label)
        turn[of_class] = np.arange(len(of_class))
    return np.asarray(rows[np.argsort(turn, kind="stable")][:count])

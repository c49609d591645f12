"""Checks of learning: can it learn a few examples by heart, and does it use its inputs?"""

from collections.abc import Iterator
from dataclasses import replace
from math import inf, isfinite

import numpy as np

from nnlab.core.adaptive import Adam
from nnlab.core.arrays import Array, Workspace
from nnlab.core.averaging import NoAveraging
from nnlab.core.dropout import Dropout
from nnlab.core.lbfgs import LBFGS
from nnlab.core.model import Network
from nnlab.core.objective import Analytic, Batch, NetworkObjective, Oracle
from nnlab.core.penalties import NoPenalty
from nnlab.training.preflight.line import Line
from nnlab.training.trainer import WEIGHTS, Training

EXAMPLES = 20
OVERFITTED = 0.2
"""Learnt by heart: the loss is below this part of the best one without looking at x."""
LEARNT = 0.95
"""Inputs are used: the validation loss falls below this part of that without them."""
_STEPS, _FULL_STEPS = 200, 5


def overfits(training: Training) -> Iterator[Line]:
    """The network learns 20 examples by heart, or as many as a small model has weights for."""
    experiment = training.experiment
    layers = tuple(layer for layer in training.network.layers if not isinstance(layer, Dropout))
    network = Network(layers)
    x, y = training.evaluators["train"].encoded[:2]
    outputs = y.shape[1] if y.ndim == 2 else len(training.splits.classes)
    count = max(2, min(EXAMPLES, network.layout.size // outputs, len(x)))
    chosen = _mixed(training, count)
    numbers = y[chosen].astype(np.float64) if y.dtype.kind == "f" else y[chosen]
    batch = Batch(x[chosen].astype(np.float64), numbers)
    objective = NetworkObjective(network, experiment.loss, NoPenalty())
    rng = np.random.default_rng([experiment.seed, WEIGHTS])
    start = network.initial(experiment.initialiser, rng, np.float64)
    reached = _minimum(objective, start, batch)
    baseline = _minimum(objective, start, batch._replace(x=np.zeros_like(batch.x)))
    passed = reached <= OVERFITTED * baseline
    detail = f"loss {reached:.3g}; {baseline:.3g} without looking at the inputs"
    yield Line(f"{count} examples by heart", passed, detail)


def learns(training: Training) -> Iterator[Line]:
    """In its first steps the experiment learns more than it would with inputs of zeros."""
    experiment = training.experiment
    if experiment.optimizer.gradient_free:
        return
    steps = _FULL_STEPS if experiment.optimizer.full_batch else _STEPS
    short = replace(
        experiment,
        evaluate_every=f"{max(1, steps // 10)} steps",
        averaging=NoAveraging(),
        gradient=Analytic(),
    )
    seeing, blind = Training(short, until=steps), Training(short, until=steps)
    blind.batch = blind.batch._replace(x=np.zeros_like(blind.batch.x))
    for name, evaluator in blind.evaluators.items():
        zeros = evaluator.encoded._replace(x=np.zeros_like(evaluator.encoded.x))
        blind.evaluators[name] = replace(evaluator, encoded=zeros)
    with_inputs, at = _best(seeing)
    without, _ = _best(blind)
    if not isfinite(with_inputs):
        lr = float(np.max(experiment.optimizer.lr))
        yield Line("learning", False, f"diverged by step {at}: optimizer.lr={lr:g} is too large?")
        return
    detail = (
        f"after {at} steps validation loss {with_inputs:.3g}; {without:.3g} with inputs of zeros"
    )
    yield Line("learning", with_inputs <= LEARNT * without, detail)


def _best(training: Training) -> tuple[float, int]:
    """The lowest validation loss and its step; infinity where it diverged."""
    best, at = inf, 0
    for report in training.run(training.start()):
        if report.stop and report.stop.diverged:
            return inf, report.step
        if report.metrics["validation/loss"] < best:
            best, at = report.metrics["validation/loss"], report.step
    return best, at


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
    """Rows of that many training examples, the classes in turn."""
    y, rng = training.splits.train.y, np.random.default_rng(training.experiment.seed)
    rows = rng.permutation(len(y))
    if not training.splits.classes:
        return np.asarray(rows[:count])
    turn = np.empty(len(y), np.intp)
    for label in range(len(training.splits.classes)):
        (of_class,) = np.nonzero(y[rows] == label)
        turn[of_class] = np.arange(len(of_class))
    return np.asarray(rows[np.argsort(turn, kind="stable")][:count])

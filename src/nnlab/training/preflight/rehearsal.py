"""A rehearsal: a short training on half of the training part, judged by all it has not seen.

A validation part of 24 irises is too small to tell a lucky guess from learning; with the other
half of the training part it is large enough. The test part is not looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import inf, sqrt
from typing import NamedTuple

import numpy as np

from nnlab.core.arrays import Array, Workspace
from nnlab.core.averaging import SWA
from nnlab.core.objective import Analytic
from nnlab.data.dataset import Part, Splits
from nnlab.data.preparation.pipeline import Preparation
from nnlab.data.sources.source import Source
from nnlab.data.validation import Holdout, Validation
from nnlab.training.experiment import Experiment
from nnlab.training.state import TrainingState
from nnlab.training.stopping import MaxSteps
from nnlab.training.trainer import Training

_EXAMPLES = 20_000
"""So many examples of a part are enough."""


class Glimpse(NamedTuple):
    """What is seen of a rehearsal: before its first step, and after some."""

    step: int
    training: float
    """The loss of the examples it is trained on; infinite where it diverged."""
    unseen: Array
    """The loss of each other example."""
    told: float
    """How much better than chance those are told, in standard errors: labels more often than the
    most frequent one would be right, targets by their correlation with the scores."""


def rehearse(experiment: Experiment, steps: int, limit: int, *, blind: bool) -> Iterator[Glimpse]:
    """`limit` steps, looked at ten times in every `steps`; `blind` sees zeros for inputs.

    Nothing but `limit` ends it; a schedule over 100 % of the run goes over those steps.
    """
    averaging = experiment.averaging
    if isinstance(averaging, SWA):
        averaging = replace(averaging, start="1 step", every="1 step")
    short = replace(
        experiment,
        data=_Halved(source=experiment.data, blind=blind, batch_size=experiment.batch_size),
        averaging=averaging,
        evaluate_every=f"{max(1, steps // 10)} steps",
        stopping=(MaxSteps(limit),),
        gradient=Analytic(),
    )
    training = Training(short)
    state = training.start()
    for report in training.run(state):
        diverged = report.stop is not None and report.stop.diverged
        loss = inf if diverged else report.metrics["train/loss"]
        yield Glimpse(report.step, loss, *_unseen(training, state))


def _unseen(training: Training, state: TrainingState) -> tuple[Array, float]:
    one, network = training.evaluators["validation"], training.network
    x, y, work = one.encoded.x, one.encoded.y, Workspace()
    z = network.forward(state.theta, x, work, network.mode(state.buffers))[-1].copy()
    losses = np.asarray(one.loss.each(z, y, work)[0], np.float64)
    if one.labels is None:
        return losses, _correlation(z, y) * sqrt(len(x))
    right = float((one.loss.decide(z) == one.labels).mean())
    chance = float(np.bincount(one.labels).max()) / len(x)
    return losses, (right - chance) / sqrt(max(chance * (1 - chance), 1 / len(x)) / len(x))


def _correlation(z: Array, y: Array) -> float:
    """The largest one of a score with its target; 0 where one of them does not vary."""
    z, y = (np.asarray(one - one.mean(axis=0), np.float64) for one in (z, y))
    scale = np.sqrt(np.square(z).sum(axis=0) * np.square(y).sum(axis=0))
    return float(np.max((z * y).sum(axis=0) / np.where(scale > 0, scale, 1)))


@dataclass(frozen=True)
class _Halved(Source):
    """A data set of which half the training part is given to the validation part."""

    source: Source = field(default_factory=Source)
    blind: bool = False
    batch_size: int = 32

    def split(
        self, validation: Validation = Holdout(), preparation: Preparation = Preparation()
    ) -> Splits:
        splits = self.source.split(validation, preparation)
        train, held = splits.train, splits.validation
        order = np.random.default_rng(0).permutation(len(train.y))[:_EXAMPLES]
        middle = (len(order) + 1) // 2
        middle -= middle > 1 and middle % self.batch_size == 1  # batch norm needs two in a batch
        kept, given = order[:middle], order[middle:]
        seen = slice(_EXAMPLES)
        rest = Part(
            np.concatenate([train.x[given], held.x[seen]]),
            np.concatenate([train.y[given], held.y[seen]]),
        )
        weights = None if train.weights is None else train.weights[kept]
        test = Part(splits.test.x[seen], splits.test.y[seen])
        parts = [Part(train.x[kept], train.y[kept], weights), rest, test]
        if self.blind:
            parts = [part._replace(x=np.zeros(part.x.shape)) for part in parts]
        return splits._replace(train=parts[0], validation=parts[1], test=parts[2])

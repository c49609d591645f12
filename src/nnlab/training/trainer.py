"""The trainer: the only loop, a generator of reports."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from nnlab.core.arrays import Array, State, Workspace
from nnlab.core.durations import Duration
from nnlab.core.laws import LawError, one_of
from nnlab.core.objective import Batch, NetworkObjective, Oracle
from nnlab.data.batches import BatchOrder
from nnlab.data.dataset import Part, Splits
from nnlab.training.experiment import Experiment
from nnlab.training.metrics import Evaluator
from nnlab.training.report import Report, Stop
from nnlab.training.stopping import MaxEpochs, MaxSteps, TimeBudget

WEIGHTS = 0
"""The random stream that draws the initial weights."""


@dataclass
class TrainingState:
    """All that changes during a training, as plain arrays: saved and restored, it goes on."""

    theta: Array
    optimizer: State
    averaging: State
    rules: list[State]
    step: int = 0


class Training:
    """An experiment made ready to run: data loaded, network built, durations in steps.

    Raises `LawError` where the experiment's parts do not fit each other.

        training = Training(experiment)
        state = training.start()
        for report in training.run(state):
            print(report.step, report.metrics["validation/loss"])
    """

    def __init__(self, experiment: Experiment, until: int | None = None) -> None:
        """`until` ends the training after that step, and lets no rule about time end it before:
        so a run that time, a pruner or a kill ended is trained again."""
        self.experiment = experiment
        self.splits = experiment.data.split()
        self.until = until
        self.rules = [
            rule
            for rule in experiment.stopping
            if until is None or not isinstance(rule, TimeBudget)
        ]
        classes = len(self.splits.classes)
        if not classes and not experiment.loss.regression:
            raise LawError(
                "the loss needs class labels, but the data have regression targets; "
                "choose loss=mse or other data",
                "loss",
            )
        y = self.splits.train.y
        self.network = experiment.model.build(
            self.splits.train.x.shape[1],
            experiment.loss.outputs(classes) if classes else y.shape[1],
        )
        self.evaluators = {
            name: self._evaluator(part, self.splits)
            for name, part in zip(Splits._fields[:3], self.splits[:3], strict=True)
        }
        self.batch = self.evaluators["train"].encoded
        self.order = BatchOrder(experiment.seed, len(y), experiment.batch_size)
        self.total = self._total_steps()
        per_epoch = self.order.steps_per_epoch
        every = Duration.parse(experiment.evaluate_every, "evaluate_every")
        self.evaluate_every = every.steps(per_epoch, self.total)
        self.scale = experiment.schedule.start(per_epoch, self.total)
        self.deadline = min(
            (rule.seconds for rule in self.rules if isinstance(rule, TimeBudget)), default=math.inf
        )
        for rule in self.rules:
            metric = getattr(rule, "metric", None)
            if metric is not None:
                one_of(self.metric_names, metric=metric)
        work = Workspace()
        objective = NetworkObjective(self.network, experiment.loss, experiment.penalty)
        self._oracle = Oracle(objective, work)
        self._watched = WatchedOracle(objective, work)

    @property
    def metric_names(self) -> list[str]:
        """What every report measures, and so what rules and sweeps can look at."""
        score = self.evaluators["train"].score
        return [
            f"{part}/{metric}{suffix}"
            for part in ("train", "validation")
            for suffix in self._suffixes
            for metric in ("loss", score)
        ]

    @property
    def _suffixes(self) -> tuple[str, ...]:
        """How metrics of the raw and of the averaged weights are marked."""
        label = self.experiment.averaging.label
        return ("", f"_{label}") if label else ("",)

    def start(self) -> TrainingState:
        """The state before the first step."""
        experiment = self.experiment
        rng = np.random.default_rng([experiment.seed, WEIGHTS])
        theta = self.network.initial(rng, experiment.dtype)
        return TrainingState(
            theta,
            experiment.optimizer.init(theta),
            experiment.averaging.init(theta),
            [rule.init() for rule in self.rules],
        )

    def averaged(self, state: TrainingState) -> Array:
        """The averaged weights; the raw ones where nothing is averaged."""
        return self.experiment.averaging.value(state.theta, state.averaging)

    def run(self, state: TrainingState) -> Iterator[Report]:
        """Train from `state` on, which is updated in place, until a report carries a stop."""
        began = perf_counter()
        if state.step == 0:
            report = self._report(state, {}, began, finite=True)
            yield report
            if report.stop:
                return
        while True:
            due = state.step + self.evaluate_every - state.step % self.evaluate_every
            due = min(due, self.total or due, self.until or due)
            seen: dict[str, float] = {}
            finite = self._advance(state, self._oracle, due - 1, began + self.deadline)
            if finite:
                finite = self._watched_step(state, seen)
            report = self._report(state, seen, began, finite)
            yield report
            if report.stop:
                return

    def _watched_step(self, state: TrainingState, seen: dict[str, float]) -> bool:
        """One step; what can only be seen while it happens is put into `seen`."""
        before = self._watched.scratch("before", state.theta)
        before[...] = state.theta
        seen["lr"] = float(self.experiment.optimizer.lr * self.scale(state.step))
        finite = self._advance(state, self._watched, state.step + 1, math.inf)
        seen["norm/gradient"] = self._watched.norm
        seen["norm/theta"] = norm(state.theta)
        seen["norm/update"] = norm(np.subtract(state.theta, before, out=before))
        return finite

    def _advance(self, state: TrainingState, oracle: Oracle, upto: int, deadline: float) -> bool:
        """Step until `upto` or the deadline; False as soon as the objective is not finite."""
        experiment, work = self.experiment, oracle.work
        optimizer, averaging = experiment.optimizer, experiment.averaging
        with np.errstate(all="ignore"):
            while state.step < upto:
                oracle.batch = self._gather(self.order.rows(state.step), work)
                value = optimizer.step(state.theta, state.optimizer, oracle, self.scale(state.step))
                averaging.update(state.theta, state.averaging, work)
                state.step += 1
                if not math.isfinite(value):
                    return False
                if perf_counter() >= deadline:
                    break
        return True

    def _gather(self, rows: Array, work: Workspace) -> Batch:
        x, y = self.batch
        m = len(rows)
        return Batch(
            np.take(x, rows, axis=0, out=work.get("x", (m, *x.shape[1:]), x.dtype), mode="clip"),
            np.take(y, rows, axis=0, out=work.get("t", (m, *y.shape[1:]), y.dtype), mode="clip"),
        )

    def _report(
        self, state: TrainingState, seen: dict[str, float], began: float, finite: bool
    ) -> Report:
        metrics = self._measure(state, ("train", "validation")) | seen
        stop = None
        if not finite or not all(map(math.isfinite, metrics.values())):
            stop = Stop("diverged", f"a value is not finite at step {state.step}")
        report = Report(
            state.step,
            state.step / self.order.steps_per_epoch,
            metrics,
            perf_counter() - began,
            stop,
        )
        if stop is None:
            stop = self._check(report, state)
        if stop is None:
            return report
        tested = metrics | self._measure(state, ("test",))
        return Report(report.step, report.epoch, tested, report.seconds, stop)

    def _measure(self, state: TrainingState, parts: tuple[str, ...]) -> dict[str, float]:
        weights = dict(zip(self._suffixes, (state.theta, self.averaged(state)), strict=False))
        with np.errstate(all="ignore"):
            return {
                f"{part}/{metric}{suffix}": value
                for part in parts
                for suffix, theta in weights.items()
                for metric, value in self.evaluators[part](theta).items()
            }

    def _check(self, report: Report, state: TrainingState) -> Stop | None:
        stops = [
            Stop(rule.name, reason)
            for rule, memory in zip(self.rules, state.rules, strict=True)
            if (reason := rule.check(report, memory))
        ]
        if self.until is not None and report.step >= self.until:
            stops.append(Stop("until", f"step {self.until} is reached"))
        return stops[0] if stops else None

    def _total_steps(self) -> int | None:
        per_epoch = self.order.steps_per_epoch
        bounds = [r.epochs * per_epoch for r in self.rules if isinstance(r, MaxEpochs)]
        bounds += [rule.steps for rule in self.rules if isinstance(rule, MaxSteps)]
        return min(bounds, default=None)

    def _evaluator(self, part: Part, splits: Splits) -> Evaluator:
        loss, dtype = self.experiment.loss, self.experiment.dtype
        classes = len(splits.classes)
        y = loss.encode(part.y, classes, dtype) if classes else part.y.astype(dtype)
        return Evaluator(
            self.network, loss, Batch(part.x.astype(dtype), y), part.y if classes else None
        )


class WatchedOracle(Oracle):
    """An oracle that remembers the norm of the gradient it gave."""

    norm = math.nan

    def __call__(self, theta: Array) -> tuple[Array, Array]:
        value, grad = super().__call__(theta)
        self.norm = norm(grad)
        return value, grad


def norm(vector: Array) -> float:
    """The Euclidean norm, summed in float64."""
    return math.sqrt(float(np.square(vector, dtype=np.float64).sum()))

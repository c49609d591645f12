"""The trainer: the only loop, a generator of reports."""

import math
from collections.abc import Callable, Iterator
from hashlib import sha256
from time import perf_counter

import numpy as np

from nnlab.core.arrays import Array, Hyper, Workspace
from nnlab.core.durations import Duration
from nnlab.core.laws import one_of
from nnlab.core.objective import Batch, NetworkObjective, Oracle
from nnlab.data.dataset import Splits
from nnlab.training.compatibility import (
    check_augmentation,
    check_averaging,
    check_batches,
    check_gradients,
    check_one_training,
    check_scores,
    check_targets,
)
from nnlab.training.examples import evaluators, in_order, training_batch
from nnlab.training.experiment import Experiment
from nnlab.training.memory import check_memory
from nnlab.training.metrics import Evaluator
from nnlab.training.pause import Pause
from nnlab.training.report import Report, Stop
from nnlab.training.state import TrainingState
from nnlab.training.steps import NEVER, Steps
from nnlab.training.stopping import MaxEpochs, MaxSteps, TimeBudget

WEIGHTS, DROPOUT, AUGMENTING = 2, 3, 6
"""The random streams of initial weights, dropout's masks and augmentation.

Stream 1 is the order of batches, 4 gradient-free steps, 5 the preparation (stream 0
would be that of the bare seed, which divides the data). What is drawn at a step is a function of
(seed, stream, step).
"""

Advance = Callable[[TrainingState, Oracle, int, float, Pause], bool]
"""Steps a training from its state on, as `Training.advance` does."""


class Training(Steps):
    """An experiment made ready to run: data loaded, network built, durations in steps.

    Raises `LawError` where the experiment's parts do not fit each other.

        training = Training(experiment)
        state = training.start()
        for report in training.run(state):
            print(report.step, report.metrics["validation/loss"])
    """

    def __init__(
        self,
        experiment: Experiment,
        until: int | None = None,
        trainings: int = 1,
        like: "Training | None" = None,
    ) -> None:
        """`until` ends the training after that step, and lets no rule about time end it before:
        so a run that time, a pruner or a kill ended is trained again. Memory must have room for so
        many `trainings` like this one. It shares the data of another one that is `like` it: whose
        experiment has the same model, loss, data, and all that is done to them."""
        self.experiment = experiment
        self.splits: Splits = like.splits if like else experiment.split()
        self.until = until
        self.rules = [
            rule
            for rule in experiment.stopping
            if until is None or not isinstance(rule, TimeBudget)
        ]
        classes, y = len(self.splits.classes), self.splits.train.y
        check_one_training(experiment)
        check_targets(experiment, classes)
        check_scores(experiment)
        check_gradients(experiment, len(y))
        check_augmentation(experiment, self.splits.shape, self.splits.train.weights is not None)
        self.loss = experiment.label_smoothing.of(experiment.loss)
        self.network = experiment.model.build(
            self.splits.train.x.shape[1],
            self.loss.outputs(classes) if classes else y.shape[1],
        )
        check_batches(self.network, experiment.batch_size, len(y))
        check_memory(experiment, self.network, self.splits, trainings)
        self.evaluators: dict[str, Evaluator]
        self.batch: Batch
        if like:
            self.evaluators, self.batch = like.evaluators, like.batch
        else:
            self.evaluators = evaluators(experiment, self.network, self.splits)
            measured = self.evaluators["train"]
            self.batch = training_batch(experiment, self.loss, self.splits, measured)
        self.order, self.inputs = in_order(experiment, self.batch)
        self.total = self._total_steps()
        per_epoch = self.order.steps_per_epoch
        every = Duration.parse(experiment.evaluate_every, "evaluate_every")
        self.evaluate_every = every.steps(per_epoch, self.total)
        self.scale = experiment.warmup.before(experiment.schedule, per_epoch, self.total)
        self.average_from, self.average_every = experiment.averaging.when(per_epoch, self.total)
        check_averaging(self.average_from + self.average_every, self.total)
        self.deadline = min(
            (rule.seconds for rule in self.rules if isinstance(rule, TimeBudget)), default=math.inf
        )
        for component in (*self.rules, experiment.schedule):
            metric = getattr(component, "metric", None)
            if metric is not None:
                one_of(self.metric_names, metric=metric)
        work = Workspace()
        objective = NetworkObjective(self.network, self.loss, experiment.penalty)
        how = (objective, work, experiment.clipping, experiment.gradient)
        self.oracle, self._watched = Oracle(*how), WatchedOracle(*how)
        self.advancing: Advance | None = None
        """What steps it instead of `advance`, to the same bits: a stack that it is in."""

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
        theta = self.network.initial(experiment.initialiser, rng, experiment.dtype)
        buffers = self.network.initial_buffers(experiment.dtype)
        return TrainingState(
            theta,
            buffers,
            experiment.optimizer.init(theta),
            experiment.averaging.init(theta),
            experiment.averaging.init(buffers),
            experiment.schedule.init(),
            [rule.init() for rule in self.rules],
            np.zeros(32, np.uint8),
        )

    def averaged(self, state: TrainingState) -> Array:
        """The averaged weights; the raw ones where nothing is averaged."""
        return self.experiment.averaging.value(state.theta, state.averaging)

    def averaged_buffers(self, state: TrainingState) -> Array:
        """The running statistics that go with the averaged weights: their own average."""
        return self.experiment.averaging.value(state.buffers, state.averaging_buffers)

    def run(self, state: TrainingState) -> Iterator[Report]:
        """Train from `state` on, which is updated in place, until a report carries a stop."""
        return (event for event in self.events(state, Pause()) if event)

    def events(
        self, state: TrainingState, pause: Pause, recorded: int = 0
    ) -> Iterator[Report | None]:
        """The same, with None wherever it pauses. Between two events `state` is whole: saved and
        restored, it goes on to the same bits.

        Of `recorded` reports it is known already that no rule about time ended the training.
        """
        try:
            yield from self._events(state, pause, recorded)
        finally:
            self.inputs.close()

    def _events(self, state: TrainingState, pause: Pause, recorded: int) -> Iterator[Report | None]:
        began = perf_counter() - state.seconds
        if state.reports and self.until is not None and state.step >= self.until:
            return
        finite = True
        while True:
            seen: dict[str, float] = {}
            if state.reports:
                due = state.step + self.evaluate_every - state.step % self.evaluate_every
                due = min(due, self.total or due, self.until or due)
                deadline = began + self.deadline if state.reports >= recorded else math.inf
                while finite and state.step < due - 1 and perf_counter() < deadline:
                    upto = due - 1
                    if pause.step > state.step:
                        upto = int(min(upto, pause.step))
                    finite = self._stepped(state, self.oracle, upto, deadline, pause)
                    if finite and (state.step == pause.step or perf_counter() >= pause.at):
                        state.seconds = perf_counter() - began
                        yield None
                if finite:
                    finite = self._watched_step(state, seen)
            state.seconds = perf_counter() - began
            report = self._report(state, seen, finite, timed=state.reports >= recorded)
            yield report
            if report.stop:
                return

    def _watched_step(self, state: TrainingState, seen: dict[str, float]) -> bool:
        """One step; what can only be seen while it happens is put into `seen`."""
        before = self._watched.scratch("before", state.theta)
        before[...] = state.theta
        held = self.experiment.schedule.held(state.schedule)
        seen["lr"] = float(self.experiment.optimizer.lr * (self.scale(state.step) * held))
        self._watched.norm = math.nan
        finite = self._stepped(state, self._watched, state.step + 1)
        if not self.experiment.optimizer.gradient_free:
            seen["norm/gradient"] = self._watched.norm
        seen["norm/theta"] = norm(state.theta)
        seen["norm/update"] = norm(np.subtract(state.theta, before, out=before))
        return finite

    def gather(self, step: int, rows: Array, batches: Array, x: Array, y: Array) -> None:
        """Write the inputs and targets of the step's batch, those of `rows`, to x and y; take it
        into the hash `batches` `(32,)`."""
        hashed = sha256(batches.data)
        hashed.update(rows.data)
        batches.data[:] = hashed.digest()
        self.inputs.take(step, rows, x)
        self.batch.y.take(rows, 0, y, "clip")

    def _gather(self, state: TrainingState, work: Workspace) -> Batch:
        rows = self.order.rows(state.step)
        m, (x, y, weights) = len(rows), self.batch[:3]
        chosen = work.get("x", (m, *x.shape[1:]), x.dtype)
        targets = work.get("t", (m, *y.shape[1:]), y.dtype)
        self.gather(state.step, rows, state.batches, chosen, targets)
        if self.experiment.augmentation:
            rng = np.random.default_rng([self.experiment.seed, AUGMENTING, state.step])
            for change in self.experiment.augmentation:
                chosen, targets = change(chosen, targets, self.splits.shape, rng)
        return Batch(
            chosen,
            targets,
            None
            if weights is None
            else weights.take(rows, 0, work.get("weights", (m,), weights.dtype), "clip"),
            (self.experiment.seed, DROPOUT, state.step),
            state.buffers,
        )

    def _stepped(
        self,
        state: TrainingState,
        oracle: Oracle,
        upto: int,
        deadline: float = math.inf,
        pause: Pause = NEVER,
    ) -> bool:
        """`advance`, by itself or with others."""
        how = self.advance if self.advancing is None else self.advancing
        return how(state, oracle, upto, deadline, pause)

    def held(self, state: TrainingState) -> Hyper:
        """What reports have made of the learning rate."""
        return self.experiment.schedule.held(state.schedule)

    def _report(
        self, state: TrainingState, seen: dict[str, float], finite: bool, timed: bool
    ) -> Report:
        metrics = self._measure(state, ("train", "validation")) | seen
        stop = None
        if not finite or not all(map(math.isfinite, metrics.values())):
            stop = Stop("diverged", f"a value is not finite at step {state.step}")
        report = Report(
            state.step,
            state.step / self.order.steps_per_epoch,
            metrics,
            state.seconds,
            stop,
        )
        state.reports += 1
        if stop is None:
            stop = self._check(report, state, timed)
        if stop is None:
            return report
        tested = metrics | self._measure(state, ("test",))
        return Report(report.step, report.epoch, tested, report.seconds, stop)

    def _measure(self, state: TrainingState, parts: tuple[str, ...]) -> dict[str, float]:
        weights, averaged = [(state.theta, state.buffers)], self.averaged(state)
        if averaged is not state.theta:
            weights.append((averaged, self.averaged_buffers(state)))
        with np.errstate(all="ignore"):
            measured = {part: self.evaluators[part].each(weights) for part in parts}
        return {
            f"{part}/{metric}{suffix}": value
            for part, found in measured.items()
            for suffix, one in zip(self._suffixes, (found[0], found[-1]), strict=False)
            for metric, value in one.items()
        }

    def _check(self, report: Report, state: TrainingState, timed: bool) -> Stop | None:
        if report.step:
            self.experiment.schedule.hear(report.metrics, state.schedule)
        stops = [
            Stop(rule.name, reason)
            for rule, memory in zip(self.rules, state.rules, strict=True)
            if (timed or not isinstance(rule, TimeBudget))
            and (reason := rule.check(report, memory))
        ]
        if self.until is not None and report.step >= self.until:
            stops.append(Stop("until", f"step {self.until} is reached"))
        return stops[0] if stops else None

    def _total_steps(self) -> int | None:
        per_epoch = self.order.steps_per_epoch
        bounds = [r.epochs * per_epoch for r in self.rules if isinstance(r, MaxEpochs)]
        bounds += [rule.steps for rule in self.rules if isinstance(rule, MaxSteps)]
        return min(bounds, default=None)


class WatchedOracle(Oracle):
    """An oracle that remembers the norm of the last gradient, before it was clipped."""

    norm = math.nan

    def look(self, grad: Array) -> None:
        self.norm = norm(grad)


def norm(vector: Array) -> float:
    """The Euclidean norm, summed in float64."""
    return math.sqrt(float(np.square(vector, dtype=np.float64).sum()))

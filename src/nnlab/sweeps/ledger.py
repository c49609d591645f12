"""What became of every trial of a study, by its records: each is counted once.

A driver keeps it while it writes the records, and whoever reads a study's journal gets the same.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nnlab.runs.journal import Record, number
from nnlab.sweeps.constraints import SECONDS, broken
from nnlab.sweeps.definition import Definition
from nnlab.sweeps.pareto import front
from nnlab.training.report import Report

STATES = ("COMPLETE", "PRUNED", "FAILED")


@dataclass
class Trial:
    """One trial: what was tried, and what is known of it so far."""

    number: int
    values: Mapping[str, Any]
    state: str = "RUNNING"
    attempt: int = -1
    """Of those to run it, counted from 0; an older one is not listened to."""
    failures: int = 0
    """Failed attempts before."""
    run: str | None = None
    nested: list[str] = field(default_factory=list)
    """Its runs of seeds and folds."""
    begun: bool = False
    """Has that run a directory?"""
    told: tuple[float, ...] | None = None
    """The objectives of a complete trial."""
    curve: list[tuple[int, float]] = field(default_factory=list)
    """The first objective at each evaluation, and its step."""
    members: list[tuple[float, ...]] = field(default_factory=list)
    """The same of each of its seeds and folds, where there are several."""
    decided: int = 0
    """How many of these a pruner may have looked at: all but the last one of a training."""
    recorded: int = 0
    """How many of them were there when the trial was resumed."""
    reason: str = ""
    broken: list[str] = field(default_factory=list)
    """The constraints that it breaks."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    epoch: float = 0.0
    """How far its present attempt has trained."""
    epochs: float = 0.0
    """Trained in all its attempts."""
    seconds: float = 0.0
    """That it had a slot."""

    @property
    def value(self) -> float | None:
        """The first objective of a complete trial."""
        return self.told[0] if self.told else None

    @property
    def evaluations(self) -> int:
        return len(self.curve)

    @property
    def runs(self) -> list[str]:
        """Every run it has, its own first."""
        return [self.run, *self.nested] if self.run and self.begun else []

    def report(
        self, report: Report, metric: str, members: Sequence[Mapping[str, float]] = ()
    ) -> None:
        """Take in an evaluation."""
        self.epochs += report.epoch - self.epoch
        self.epoch = report.epoch
        self.curve.append((report.step, _quantity(metric, report.metrics, report.seconds)))
        if members:
            self.members.append(tuple(_quantity(metric, one, report.seconds) for one in members))
        self.decided += report.stop is None
        self.metrics = report.metrics

    def looked_at(self) -> Iterator[tuple[int, float, tuple[float, ...]]]:
        """What a pruner has looked at: each evaluation, counted from 1, whose value is finite, and
        the values of its seeds and folds."""
        for k, (_, value) in enumerate(self.curve[: self.decided]):
            if math.isfinite(value):
                yield k + 1, value, self.members[k] if self.members else ()

    def measured(self) -> dict[str, float]:
        """What objectives and constraints are about: its last metrics, and its seconds."""
        return {**self.metrics, SECONDS: self.seconds}

    def again(self, run: str) -> None:
        """Begin anew, with another run."""
        self.run, self.begun, self.nested = run, False, []
        self.curve, self.members = [], []
        self.decided, self.recorded, self.epoch, self.metrics = 0, 0, 0.0, {}


@dataclass(frozen=True)
class Used:
    """What some trials have used of a budget."""

    failed: int
    epochs: float

    def after(self, trial: Trial) -> "Used":
        return Used(self.failed + (trial.state == "FAILED"), self.epochs + trial.epochs)


class Ledger:
    """All trials of a study, in their order, and what follows from how they ended."""

    def __init__(self, definition: Definition, records: Iterable[Record] = ()) -> None:
        self.definition = definition
        self.trials: list[Trial] = []
        self.counts: Counter[str] = Counter()
        self.known: list[Record] = []
        """Results of the study that this one was forked from."""
        self.best: Trial | None = None
        """The complete trial with the best first objective, of those that keep the constraints."""
        self.bests: dict[str, float] = {}
        """The best value of each objective."""
        self.settled = 0
        """All trials before this number have ended."""
        self.epochs = self.busy = 0.0
        """Epochs and seconds of slots that the ended trials took."""
        self.seconds = 0.0
        """How long the study was worked on, by the times of its records."""
        self.reported = 0
        """Ended trials at the last report of the best."""
        self.end: Record | None = None
        """How the study ended, as long as it does not go on."""
        self._used = [Used(0, 0.0)]
        self._latest: float | None = None
        for record in records:
            self.take(record)

    def count(self, state: str) -> int:
        """Trials in that state."""
        return self.counts[state]

    @property
    def ended(self) -> int:
        """Trials that are COMPLETE, PRUNED or FAILED."""
        return len(self.trials) - self.counts["RUNNING"]

    @property
    def unfinished(self) -> list[Trial]:
        """Trials that were asked for and have not ended."""
        return [trial for trial in self.trials[self.settled :] if trial.state == "RUNNING"]

    def take(self, record: Record) -> None:
        """Take in the record that comes next."""
        self._time(record)
        match record["type"]:
            case "asked":
                trial = Trial(record["trial"], record["values"], run=record["run"])
                self.trials.append(trial)
                self.counts["RUNNING"] += 1
            case "attempt":
                trial = self.trials[record["trial"]]
                if record["run"] != trial.run:
                    trial.again(record["run"])
                trial.attempt, trial.failures = record["attempt"], record["failures"]
                trial.epochs = trial.epoch + record["epochs"]
            case "told":
                self._told(self.trials[record["trial"]], record)
            case "known":
                self.known.append(record)
            case "report":
                self.reported = record["step"]
            case "resumed":
                self.end = None
            case "end":
                self.end = record

    def _time(self, record: Record) -> None:
        time = record.get("time")
        if time is not None:
            between = record["type"] == "resumed" or "evidence" in record  # nobody worked on it
            if self._latest is not None and not between:
                self.seconds += (time - self._latest) / 1000
            self._latest = time

    def _told(self, trial: Trial, record: Record) -> None:
        trial.state, trial.reason = record["state"], record["reason"]
        trial.run, trial.begun = record["run"] or trial.run, record["run"] is not None
        trial.curve = [(step, number(value)) for step, value in record["curve"]]
        trial.members = [tuple(map(number, values)) for values in record.get("members", ())]
        trial.decided = record["decided"]
        trial.metrics = {key: number(value) for key, value in record["metrics"].items()}
        trial.epochs, trial.seconds = record["epochs"], record["seconds"]
        if record["values"] is not None:
            trial.told = tuple(map(number, record["values"]))
            trial.broken = broken(self.definition.constraints, trial.measured())
        self.counts["RUNNING"] -= 1
        self.counts[trial.state] += 1
        self.epochs += trial.epochs
        self.busy += trial.seconds
        while self.settled < len(self.trials) and self.trials[self.settled].state != "RUNNING":
            self._used.append(self._used[-1].after(self.trials[self.settled]))
            self.settled += 1
        if trial.told and not trial.broken:
            self._compare(trial, trial.told)

    def used(self, first: int) -> "Used":
        """What the first so many trials have used, all of which have ended."""
        return self._used[first]

    def _compare(self, trial: Trial, told: Sequence[float]) -> None:
        for metric, direction, value in zip(
            self.definition.metrics, self.definition.directions, told, strict=False
        ):
            best = self.bests.get(metric)
            if best is None or _sign(direction) * value < _sign(direction) * best:
                self.bests[metric] = value
                if metric == self.definition.metric:
                    self.best = trial
            elif metric == self.definition.metric and value == best and self.best:
                self.best = min(self.best, trial, key=lambda one: one.number)

    @property
    def front(self) -> list[Trial]:
        """The best compromises of several objectives: the complete trials that keep the
        constraints, but for those that another one is better than."""
        kept = [trial for trial in self.trials if trial.told and not trial.broken]
        values = [trial.told or () for trial in kept]
        return [kept[k] for k in front(values, self.definition.directions)]


def _sign(direction: str) -> int:
    """What makes the smaller the better."""
    return 1 if direction == "minimize" else -1


def _quantity(metric: str, metrics: Mapping[str, float], seconds: float) -> float:
    return seconds if metric == SECONDS else metrics.get(metric, math.nan)


def told(trial: Trial, state: str, values: Sequence[float] | None) -> dict[str, Any]:
    """The fields of the record that says how a trial ended, if COMPLETE with its objectives."""
    return {
        "trial": trial.number,
        "attempt": trial.attempt,
        "state": state,
        "values": None if values is None else list(values),
        "run": trial.run if trial.begun else None,
        "reason": trial.reason,
        "seconds": trial.seconds,
        "epochs": trial.epochs,
        "metrics": dict(trial.metrics),
        "curve": [list(point) for point in trial.curve],
        **({"members": [list(values) for values in trial.members]} if trial.members else {}),
        "decided": trial.decided,
    }

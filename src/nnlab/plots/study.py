"""What a study's journal tells, as plain data for its pictures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any

STATES = ("COMPLETE", "PRUNED", "FAILED")


@dataclass(frozen=True)
class Trial:
    """One trial that has ended."""

    number: int
    values: Mapping[str, Any]
    """The parameters that it had, by key."""
    state: str
    objectives: tuple[float, ...] = ()
    """What was reached; empty unless it is complete."""
    curve: tuple[tuple[int, float], ...] = ()
    """(step, value of the first objective) at each evaluation."""
    seconds: float = 0.0
    epochs: float = 0.0
    run: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Study:
    """A search: what was varied, what was measured."""

    name: str
    run: str
    metrics: tuple[str, ...]
    directions: tuple[str, ...]
    space: Mapping[str, Any]
    """The parameters that were varied, as the config said it."""
    trials: tuple[Trial, ...]
    importances: Mapping[str, float] = field(default_factory=dict)
    """How much each parameter matters, adding up to 1; empty where it is not known."""
    ended: str = ""
    """Why it ended."""

    @classmethod
    def of(cls, sweep: Mapping[str, Any], records: Iterable[Mapping[str, Any]]) -> "Study":
        """The study whose config says `sweep`, as these records of its journal tell it."""
        start: Mapping[str, Any] = {}
        asked: dict[int, Mapping[str, Any]] = {}
        told: dict[int, Mapping[str, Any]] = {}
        importances: Mapping[str, float] = {}
        ended = ""
        for record in records:
            match record["type"]:
                case "start":
                    start = record
                case "asked":
                    asked[record["trial"]] = record["values"]
                case "told":
                    told[record["trial"]] = record
                case "importances":
                    importances = record["values"]
                case "end":
                    ended = record["reason"]
        return cls(
            sweep["name"],
            start["run"],
            _several(sweep["metric"]),
            _several(sweep["direction"]),
            sweep["space"],
            tuple(_trial(number, asked[number], told[number]) for number in sorted(told)),
            importances,
            ended,
        )

    def count(self, state: str) -> int:
        """Trials in that state."""
        return sum(trial.state == state for trial in self.trials)

    @property
    def complete(self) -> list[Trial]:
        """The trials that reached something finite."""
        return [
            trial
            for trial in self.trials
            if trial.state == "COMPLETE"
            and trial.objectives
            and all(map(isfinite, trial.objectives))
        ]

    def better(self, k: int, one: float, other: float) -> bool:
        """Is the k-th objective better as `one` than as `other`?"""
        return one < other if self.directions[k] == "minimize" else one > other

    @property
    def best(self) -> list[Trial]:
        """The best trial, the first of equals; of several objectives all that no other beats."""
        complete = self.complete
        if len(self.metrics) > 1:
            return [
                one for one in complete if not any(self._beats(other, one) for other in complete)
            ]
        best: Trial | None = None
        for trial in complete:
            if best is None or self.better(0, trial.objectives[0], best.objectives[0]):
                best = trial
        return [best] if best else []

    @property
    def best_so_far(self) -> list[tuple[int, float]]:
        """(trial, best value of the first objective until it)."""
        found, history = -inf if self.directions[0] == "maximize" else inf, []
        for trial in self.complete:
            if self.better(0, trial.objectives[0], found):
                found = trial.objectives[0]
            history.append((trial.number, found))
        return history

    @property
    def varied(self) -> list[str]:
        """The parameters, those that matter most first."""
        keys = [key for key in self.space if any(key in trial.values for trial in self.trials)]
        return sorted(keys, key=lambda key: -self.importances.get(key, 0.0))

    def logarithmic(self, key: str) -> bool:
        """Was the parameter searched on a logarithmic scale?"""
        spec = self.space[key]
        return isinstance(spec, Mapping) and bool(spec.get("log"))

    @property
    def saved(self) -> float:
        """Epochs that pruned trials did not train, if each had trained as long as the longest
        complete one."""
        longest = max((trial.epochs for trial in self.complete), default=0.0)
        pruned = [trial for trial in self.trials if trial.state == "PRUNED"]
        return sum(max(0.0, longest - trial.epochs) for trial in pruned)

    def _beats(self, one: Trial, other: Trial) -> bool:
        pairs = list(zip(one.objectives, other.objectives, strict=True))
        return not any(self.better(k, b, a) for k, (a, b) in enumerate(pairs)) and any(
            self.better(k, a, b) for k, (a, b) in enumerate(pairs)
        )


def _trial(number: int, values: Mapping[str, Any], told: Mapping[str, Any]) -> Trial:
    return Trial(
        number,
        values,
        told["state"],
        tuple(map(float, told.get("values") or ())),
        tuple((int(step), float(value)) for step, value in told.get("curve") or ()),
        float(told.get("seconds") or 0.0),
        float(told.get("epochs") or 0.0),
        told.get("run") or "",
        told.get("reason") or "",
    )


def _several(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)

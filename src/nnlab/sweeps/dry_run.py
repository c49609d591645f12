"""A dry run: the space, the first suggestions, and what the sweep would cost. Nothing is kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Self

from nnlab.runs.config import members, parse, prepare
from nnlab.sweeps import points
from nnlab.sweeps.candidates import Candidates
from nnlab.sweeps.definition import Definition
from nnlab.sweeps.pruners import NoPruning
from nnlab.sweeps.search import Search
from nnlab.sweeps.space import Conditions, Parameter, Range

SUGGESTIONS = 5
PATIENCE = 20.0
"""Seconds after which the timed trial is cut and the rest of it estimated."""


@dataclass(frozen=True)
class DryRun:
    """What `nnlab sweep NAME --dry-run` shows."""

    definition: Definition
    suggestions: list[dict[str, Any]]
    """Values of the first trials, as if none of them had ended."""
    seconds: float
    """Of one trial, the first one suggested."""
    epochs: float
    """That it trained, over its seeds and folds; 0 if its length is not known."""

    @classmethod
    def of(
        cls,
        definition: Definition,
        candidates: Candidates,
        clock: Callable[[], float] = perf_counter,
    ) -> Self:
        """Ask for the first values and time one trial."""
        free = replace(definition, deterministic=False, lag=0)
        search = Search(free, candidates.allowed)
        suggestions = []
        for number in range(min(SUGGESTIONS, definition.trials)):
            values = search.ask(number)
            if values is None:
                break
            suggestions.append(values)
        if not suggestions:
            return cls(definition, [], 0.0, 0.0)
        return cls(definition, suggestions, *_timed(candidates.config(suggestions[0]), clock))

    @property
    def trials(self) -> int:
        """That would be run: the budget, or all points of the space."""
        return int(min(self.definition.trials, points.size(self.definition.space)))

    @property
    def total(self) -> float:
        """Seconds of the whole sweep if every trial takes as long, and none is pruned."""
        slots = self.definition.slots
        rounds = -(-self.trials // slots)
        return min(rounds * self.seconds, self.definition.seconds + self.seconds)

    def __str__(self) -> str:
        definition = self.definition
        space = definition.space
        width = max(len(key) for key in space)
        size = points.size(space)
        lines = [
            f"sweep {definition.name}: {definition.trials} trials, {definition.sampler} sampler, "
            f"{'no' if definition.pruner.name == 'none' else definition.pruner} pruner, "
            f"{definition.slots} at once",
            *(
                f"{direction} {metric}"
                for direction, metric in zip(definition.directions, definition.metrics, strict=True)
            ),
            *(f"where {constraint}" for constraint in definition.constraints),
            "",
            f"space, {size:,.0f} points" if size < 1e15 else "space",
            *(f"  {key:<{width}}  {described(one)}" for key, one in space.items()),
            "",
            "first suggestions" if self.suggestions else "no point keeps to the constraints",
            *(f"  {number}  {_joined(values)}" for number, values in enumerate(self.suggestions)),
        ]
        if self.suggestions:
            pruned = "" if isinstance(definition.pruner, NoPruning) else ", less what is pruned"
            each = f"{self.seconds:.3g} s" + (f", {self.epochs:g} epochs" if self.epochs else "")
            lines += [
                "",
                f"cost: trial 0 takes {each}; {self.trials} such trials on "
                f"{definition.slots} workers about {_duration(self.total)}{pruned}",
            ]
        return "\n".join(lines)


def described(parameter: Parameter) -> str:
    """A parameter in words: "0.001 to 1, log", "sgd | momentum", when it exists."""
    if isinstance(parameter, Range):
        kind = [
            f"{parameter.low:g} to {parameter.last:g}",
            *(["log"] if parameter.log else []),
            *([f"step {parameter.step:g}"] if parameter.step else []),
            *(["whole"] if parameter.whole else []),
        ]
        text = ", ".join(kind)
    else:
        text = " | ".join(parameter.labels)
    return text + _conditions(parameter.when)


def _conditions(when: Conditions) -> str:
    if not when:
        return ""
    each = [f"{key}={' or '.join(map(str, values))}" for key, values in when.items()]
    return f"  (when {' and '.join(each)})"


def _joined(values: Mapping[str, Any]) -> str:
    return "  ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in values.items()
    )


def _timed(config: Mapping[str, Any], clock: Callable[[], float]) -> tuple[float, float]:
    """Seconds and epochs of a trial: its first seed and fold is trained, in this process."""
    several = members(parse(config))
    began = clock()
    training = prepare(several[0])
    reports = training.run(training.start())
    last = next(reports)
    while last.stop is None and clock() - began < PATIENCE:
        last = next(reports)
    seconds, epochs = clock() - began, last.epoch
    if last.stop is None:
        if not training.total:
            return len(several) * seconds, 0.0
        part = max(last.step, 1) / training.total
        seconds, epochs = seconds / part, epochs / part
    return len(several) * seconds, len(several) * epochs


def _duration(seconds: float) -> str:
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3g} s"

"""A dry run: the space, the first suggestions, and what the sweep would cost. Nothing is kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Self

from nnlab.runs.config import RunConfig, members, parse, prepare
from nnlab.sweeps import points
from nnlab.sweeps.candidates import Candidates
from nnlab.sweeps.definition import Definition
from nnlab.sweeps.pruners import NoPruning
from nnlab.sweeps.search import Search
from nnlab.sweeps.space import Conditions, Parameter, Range
from nnlab.sweeps.vectorized import in_stacks
from nnlab.training.stack import Stack

SUGGESTIONS = 5
PATIENCE = 20.0
"""Seconds after which the timed trials are cut and the rest of them estimated."""


@dataclass(frozen=True)
class DryRun:
    """What `nnlab sweep NAME --dry-run` shows."""

    definition: Definition
    suggestions: list[dict[str, Any]]
    """Values of the first trials, as if none of them had ended."""
    seconds: float
    """Of the first trials, as many as a worker has at once."""
    epochs: float
    """That each of them trained, over its seeds and folds; 0 if its length is not known."""

    @classmethod
    def of(
        cls,
        definition: Definition,
        candidates: Candidates,
        clock: Callable[[], float] = perf_counter,
    ) -> Self:
        """Ask for the first values and time what a worker would do first."""
        free = replace(definition, deterministic=False, lag=0)
        search = Search(free, candidates.allowed)
        suggestions = []
        for number in range(min(max(SUGGESTIONS, definition.together), definition.trials)):
            values = search.ask(number)
            if values is None:
                break
            suggestions.append(values)
        if not suggestions:
            return cls(definition, [], 0.0, 0.0)
        first = [candidates.config(values) for values in suggestions[: definition.together]]
        return cls(definition, suggestions[:SUGGESTIONS], *_timed(definition, first, clock))

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
            f"{definition.parallel}",
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
            together = min(definition.together, self.trials)
            which = "trial 0 takes" if together == 1 else f"the first {together} trials take"
            each = f"{self.seconds:.3g} s" + (f", {self.epochs:g} epochs" if self.epochs else "")
            lines += [
                "",
                f"cost: {which} {each}{' each' if self.epochs and together > 1 else ''}; "
                f"{self.trials} such trials on {definition.processes} workers about "
                f"{_duration(self.total)} of training{pruned}",
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


def _timed(
    definition: Definition, first: Sequence[Mapping[str, Any]], clock: Callable[[], float]
) -> tuple[float, float]:
    """Seconds of these trials by one worker, and the epochs of each: what can be stacked is trained
    in a stack, of the others the first one is, and of that its first seed and fold."""
    configs = [parse(config) for config in first]
    stacks = [(configs, False)] if definition.timeout else in_stacks(configs)
    seconds = epochs = 0.0
    for alike, stacked in stacks:
        several = members(alike[0])
        trained = alike if stacked else several[:1]
        taken, epochs = _trained(trained, PATIENCE / len(stacks), clock)
        seconds += taken * len(alike) * len(several) / len(trained)
        epochs *= len(several)
    return seconds, epochs


def _trained(
    configs: Sequence[RunConfig], patience: float, clock: Callable[[], float]
) -> tuple[float, float]:
    """Seconds of trainings in a stack, in this process, and the epochs of each."""
    began = clock()
    stack, trainings, streams = Stack(), [], []
    for config in configs:
        training = prepare(config, like=stack.like(config.experiment))
        state = training.start()
        stack.join(training, state)
        trainings.append(training)
        streams.append(training.run(state))
    last = [next(stream) for stream in streams]
    while not all(report.stop for report in last) and clock() - began < patience:
        pairs = zip(last, streams, strict=True)
        last = [report if report.stop else next(stream) for report, stream in pairs]
        for one, report in zip(trainings, last, strict=True):
            if report.stop:
                stack.leave(one)
    seconds, epochs = clock() - began, max(report.epoch for report in last)
    if all(report.stop for report in last):
        return seconds, epochs
    if not training.total:
        return seconds, 0.0
    part = max(1, *(report.step for report in last)) / training.total
    return seconds / part, epochs / part


def _duration(seconds: float) -> str:
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3g} s"

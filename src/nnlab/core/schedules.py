"""Schedules: the factor on the learning rate at step t = 0, 1, 2, ..."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, pi
from typing import Protocol

import numpy as np

from nnlab.core import plateau
from nnlab.core.arrays import State
from nnlab.core.durations import Duration
from nnlab.core.laws import law, one_of

Factor = Callable[[int], float]


class Schedule(Protocol):
    """A plan for the learning rate."""

    def start(self, steps_per_epoch: int, total: int | None) -> Factor:
        """The factor as a function of the step; durations are converted here, once.

        `total` is the number of steps of the run, where it is known.
        """

    def init(self) -> State:
        """What it remembers of the reports, before the first."""

    def hear(self, metrics: Mapping[str, float], memory: State) -> None:
        """Take the metrics of a report into account."""

    def held(self, memory: State) -> float:
        """What the factor of the step is multiplied by, for what was heard."""


class Planned:
    """A schedule that is known from the start."""

    def init(self) -> State:
        return {}

    def hear(self, metrics: Mapping[str, float], memory: State) -> None:
        pass

    def held(self, memory: State) -> float:
        return 1.0


@dataclass(frozen=True)
class Constant(Planned):
    """1."""

    def start(self, steps_per_epoch: int, total: int | None) -> Factor:
        return lambda t: 1.0


@dataclass(frozen=True)
class Step(Planned):
    """gamma^floor(t / every)."""

    every: str = "10 epochs"
    gamma: float = 0.1

    def __post_init__(self) -> None:
        Duration.parse(self.every, "every")
        law("0 < gamma <= 1", 0 < self.gamma <= 1, gamma=self.gamma)

    def start(self, steps_per_epoch: int, total: int | None) -> Factor:
        every = Duration.parse(self.every, "schedule.every").steps(steps_per_epoch, total)
        return lambda t: self.gamma ** (t // every)


@dataclass(frozen=True)
class Exponential(Planned):
    """gamma^(t / every), falling a little at each step."""

    every: str = "1 epoch"
    gamma: float = 0.95

    def __post_init__(self) -> None:
        Duration.parse(self.every, "every")
        law("0 < gamma <= 1", 0 < self.gamma <= 1, gamma=self.gamma)

    def start(self, steps_per_epoch: int, total: int | None) -> Factor:
        every = Duration.parse(self.every, "schedule.every").steps(steps_per_epoch, total)
        return lambda t: float(self.gamma ** (t / every))


@dataclass(frozen=True)
class InverseTime(Planned):
    """1 / (1 + decay * t / every).

    Robbins & Monro 1951, "A stochastic approximation method": the sum of such steps diverges,
    that of their squares does not.
    """

    every: str = "1 epoch"
    decay: float = 0.1

    def __post_init__(self) -> None:
        Duration.parse(self.every, "every")
        law("decay >= 0", self.decay >= 0, decay=self.decay)

    def start(self, steps_per_epoch: int, total: int | None) -> Factor:
        every = Duration.parse(self.every, "schedule.every").steps(steps_per_epoch, total)
        return lambda t: 1 / (1 + self.decay * t / every)


@dataclass(frozen=True)
class Cosine(Planned):
    """final + (1 - final) * (1 + cos(pi * min(t / over, 1))) / 2.

    Loshchilov & Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", eq. 5,
    without restarts.
    """

    over: str = "100%"
    final: float = 0.0

    def __post_init__(self) -> None:
        Duration.parse(self.over, "over")
        law("0 <= final <= 1", 0 <= self.final <= 1, final=self.final)

    def start(self, steps_per_epoch: int, total: int | None) -> Factor:
        over = Duration.parse(self.over, "schedule.over").steps(steps_per_epoch, total)
        return lambda t: self.final + (1 - self.final) * _cosine(t / over)


@dataclass(frozen=True)
class OneCycle(Planned):
    """From 1 / initial up to 1 during the first `rise` of the steps, then down to
    1 / (initial * final) at the last one, both along half a cosine.

    Smith & Topin 2018, "Super-convergence"; the shape and the defaults are PyTorch's
    `OneCycleLR`, which can turn the momentum as well.
    """

    over: str = "100%"
    rise: float = 0.3
    initial: float = 25.0
    final: float = 1e4

    def __post_init__(self) -> None:
        Duration.parse(self.over, "over")
        law("0 < rise < 1", 0 < self.rise < 1, rise=self.rise)
        law("initial >= 1", self.initial >= 1, initial=self.initial)
        law("final >= 1", self.final >= 1, final=self.final)

    def start(self, steps_per_epoch: int, total: int | None) -> Factor:
        over = Duration.parse(self.over, "schedule.over").steps(steps_per_epoch, total)
        top, last = self.rise * over - 1, over - 1
        low, end = 1 / self.initial, 1 / (self.initial * self.final)

        def factor(t: int) -> float:
            if t <= top:
                return 1 + (low - 1) * _cosine(t / top if top else 1)
            return end + (1 - end) * _cosine((t - top) / (last - top) if last > top else 1)

        return factor


@dataclass(frozen=True)
class ReduceOnPlateau:
    """1, multiplied by gamma whenever the metric has not improved by more than `min_delta` for
    `evaluations` reports in a row, and never below `floor`.

    PyTorch's `ReduceLROnPlateau` with patience = evaluations - 1, an absolute threshold and no
    cooldown.
    """

    metric: str = "validation/loss"
    direction: str = "minimize"
    evaluations: int = 5
    gamma: float = 0.1
    min_delta: float = 0.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        one_of(plateau.DIRECTIONS, direction=self.direction)
        law("evaluations >= 1", self.evaluations >= 1, evaluations=self.evaluations)
        law("0 < gamma < 1", 0 < self.gamma < 1, gamma=self.gamma)
        law("min_delta >= 0", self.min_delta >= 0, min_delta=self.min_delta)
        law("0 <= floor < 1", 0 <= self.floor < 1, floor=self.floor)

    def start(self, steps_per_epoch: int, total: int | None) -> Factor:
        return lambda t: 1.0

    def init(self) -> State:
        return {**plateau.init(), "factor": np.ones(())}

    def hear(self, metrics: Mapping[str, float], memory: State) -> None:
        waited = plateau.waited(metrics[self.metric], self.direction, self.min_delta, memory)
        if waited >= self.evaluations:
            memory["factor"][...] = max(self.floor, float(memory["factor"]) * self.gamma)
            memory["waited"][...] = 0

    def held(self, memory: State) -> float:
        return float(memory["factor"])


def _cosine(part: float) -> float:
    """From 1 at 0 to 0 at 1, along half a cosine."""
    return (1 + cos(pi * min(part, 1))) / 2

"""Schedules: the factor on the learning rate at step t = 0, 1, 2, ..."""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi
from typing import Protocol

from nnlab.core.durations import Duration
from nnlab.core.laws import law


class Schedule(Protocol):
    """A plan for the learning rate."""

    def start(self, steps_per_epoch: int, total: int | None) -> Callable[[int], float]:
        """The factor as a function of the step; durations are converted here, once.

        `total` is the number of steps of the run, where it is known.
        """


@dataclass(frozen=True)
class Constant:
    """1."""

    def start(self, steps_per_epoch: int, total: int | None) -> Callable[[int], float]:
        return lambda t: 1.0


@dataclass(frozen=True)
class Step:
    """gamma^floor(t / every)."""

    every: str = "10 epochs"
    gamma: float = 0.1

    def __post_init__(self) -> None:
        Duration.parse(self.every, "every")
        law("0 < gamma <= 1", 0 < self.gamma <= 1, gamma=self.gamma)

    def start(self, steps_per_epoch: int, total: int | None) -> Callable[[int], float]:
        every = Duration.parse(self.every, "schedule.every").steps(steps_per_epoch, total)
        return lambda t: self.gamma ** (t // every)


@dataclass(frozen=True)
class Cosine:
    """final + (1 - final) * (1 + cos(pi * min(t / over, 1))) / 2.

    Loshchilov & Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", eq. 5,
    without restarts.
    """

    over: str = "100%"
    final: float = 0.0

    def __post_init__(self) -> None:
        Duration.parse(self.over, "over")
        law("0 <= final <= 1", 0 <= self.final <= 1, final=self.final)

    def start(self, steps_per_epoch: int, total: int | None) -> Callable[[int], float]:
        over = Duration.parse(self.over, "schedule.over").steps(steps_per_epoch, total)
        return lambda t: self.final + (1 - self.final) * (1 + cos(pi * min(t / over, 1))) / 2

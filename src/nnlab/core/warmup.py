"""Warm-up: small steps at first, in front of any schedule."""

from dataclasses import dataclass
from typing import Protocol

from nnlab.core.durations import Duration
from nnlab.core.laws import LawError
from nnlab.core.schedules import Factor, Schedule


class Warmup(Protocol):
    """What comes before a schedule."""

    def before(self, schedule: Schedule, steps_per_epoch: int, total: int | None) -> Factor:
        """The factor on the learning rate at step t, warm-up and schedule together."""


@dataclass(frozen=True)
class NoWarmup:
    """The schedule from the first step on."""

    def before(self, schedule: Schedule, steps_per_epoch: int, total: int | None) -> Factor:
        return schedule.start(steps_per_epoch, total)


@dataclass(frozen=True)
class LinearWarmup:
    """(t + 1) / n at the first n steps, then the schedule, which begins anew: its percent are
    of the steps that are left, its epochs and steps are as long as ever.

    Goyal et al. 2017, "Accurate, large minibatch SGD", section 2.2 (gradual warm-up).
    """

    over: str = "5%"

    def __post_init__(self) -> None:
        Duration.parse(self.over, "over")

    def before(self, schedule: Schedule, steps_per_epoch: int, total: int | None) -> Factor:
        n = Duration.parse(self.over, "warmup.over").steps(steps_per_epoch, total)
        if total is not None and n >= total:
            raise LawError(
                f"the warm-up must be shorter than the run of {total} steps, "
                f"but got warmup.over={self.over}, {n} steps",
                "warmup.over",
            )
        rest = schedule.start(steps_per_epoch, None if total is None else total - n)
        return lambda t: (t + 1) / n if t < n else rest(t - n)

"""Rules that end a training. Non-finite values always do, as *diverged*.

A rule's memory is plain arrays, so that it can be saved with the rest of a training's state.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from nnlab.core import plateau
from nnlab.core.arrays import State
from nnlab.core.laws import law, one_of
from nnlab.training.report import Report


class Rule(Protocol):
    """Looks at every report and may end the training."""

    name: ClassVar[str]

    def init(self) -> State:
        """The rule's memory before the first report."""

    def check(self, report: Report, memory: State) -> str | None:
        """The reason to stop now, or None."""


class Memoryless:
    """A rule that needs the current report alone."""

    def init(self) -> State:
        return {}


@dataclass(frozen=True)
class MaxEpochs(Memoryless):
    """Stop after that many epochs."""

    epochs: int = 30
    name: ClassVar[str] = "max_epochs"

    def __post_init__(self) -> None:
        law("epochs >= 1", self.epochs >= 1, epochs=self.epochs)

    def check(self, report: Report, memory: State) -> str | None:
        return f"epoch {self.epochs} is done" if report.epoch >= self.epochs else None


@dataclass(frozen=True)
class MaxSteps(Memoryless):
    """Stop after that many updates."""

    steps: int = 1000
    name: ClassVar[str] = "max_steps"

    def __post_init__(self) -> None:
        law("steps >= 1", self.steps >= 1, steps=self.steps)

    def check(self, report: Report, memory: State) -> str | None:
        return f"step {self.steps} is done" if report.step >= self.steps else None


@dataclass(frozen=True)
class TimeBudget(Memoryless):
    """Stop once that many seconds have passed, checked at every step."""

    seconds: float = 60.0
    name: ClassVar[str] = "time_budget"

    def __post_init__(self) -> None:
        law("seconds > 0", self.seconds > 0, seconds=self.seconds)

    def check(self, report: Report, memory: State) -> str | None:
        return f"{self.seconds:g} seconds have passed" if report.seconds >= self.seconds else None


@dataclass(frozen=True)
class LossBelow(Memoryless):
    """Stop when the metric, a loss, falls below a value."""

    value: float = 0.01
    metric: str = "train/loss"
    name: ClassVar[str] = "loss_below"

    def check(self, report: Report, memory: State) -> str | None:
        got = report.metrics[self.metric]
        return f"{self.metric} {got:g} fell below {self.value:g}" if got < self.value else None


@dataclass(frozen=True)
class AccuracyReached(Memoryless):
    """Stop when the metric, an accuracy, reaches a value."""

    value: float = 0.99
    metric: str = "validation/accuracy"
    name: ClassVar[str] = "accuracy_reached"

    def __post_init__(self) -> None:
        law("0 < value <= 1", 0 < self.value <= 1, value=self.value)

    def check(self, report: Report, memory: State) -> str | None:
        got = report.metrics[self.metric]
        return f"{self.metric} {got:g} reached {self.value:g}" if got >= self.value else None


@dataclass(frozen=True)
class Patience:
    """Stop when the metric has not improved by more than `min_delta` for `evaluations` reports.

    Prechelt 1998, "Early stopping - but when?".
    """

    evaluations: int = 10
    metric: str = "validation/loss"
    direction: str = "minimize"
    min_delta: float = 0.0
    name: ClassVar[str] = "patience"

    def __post_init__(self) -> None:
        law("evaluations >= 1", self.evaluations >= 1, evaluations=self.evaluations)
        one_of(plateau.DIRECTIONS, direction=self.direction)
        law("min_delta >= 0", self.min_delta >= 0, min_delta=self.min_delta)

    def init(self) -> State:
        return plateau.init()

    def check(self, report: Report, memory: State) -> str | None:
        got = report.metrics[self.metric]
        if plateau.waited(got, self.direction, self.min_delta, memory) < self.evaluations:
            return None
        return f"{self.metric} has not improved for {self.evaluations} evaluations"

"""When a sweep is over: what it may spend, and what became of that."""

import math
from dataclasses import dataclass

from nnlab.sweeps.definition import Definition


@dataclass(frozen=True)
class End:
    """Why a sweep asks for no more trials: the rule's name and a sentence."""

    rule: str
    reason: str

    @property
    def failed(self) -> bool:
        """Was it ended by trials that failed?"""
        return self.rule in ("max_failures", "fail_fast")


@dataclass(frozen=True)
class Spent:
    """What a sweep has used so far."""

    asked: int
    failed: int
    seconds: float
    epochs: float


@dataclass(frozen=True)
class Budget:
    """What a sweep may use. Trials that run when it is used up come to their end, so that more
    seconds and epochs may be spent in the end."""

    trials: int
    seconds: float = math.inf
    epochs: float = math.inf
    max_failures: int = 0
    """So many failed trials end it; 0: any number may fail."""
    fail_fast: bool = False
    """Does the first failed trial end it at once, with those that run?"""

    @classmethod
    def of(cls, definition: Definition) -> "Budget":
        """The budget that a definition says."""
        return cls(
            definition.trials,
            definition.seconds,
            definition.epochs or math.inf,
            definition.max_failures,
            definition.fail_fast,
        )

    def over(self, spent: Spent) -> End | None:
        """Why no more trials are asked for; None as long as they are."""
        if self.fail_fast and spent.failed:
            return End("fail_fast", "a trial failed (fail_fast)")
        if 0 < self.max_failures <= spent.failed:
            return End("max_failures", f"{spent.failed} trials failed (max_failures)")
        if spent.asked >= self.trials:
            return End("budget", f"{spent.asked} trials are done")
        if spent.seconds >= self.seconds:
            return End("time", f"{self.seconds:g} seconds have passed (time)")
        if spent.epochs >= self.epochs:
            return End("epochs", f"{spent.epochs:g} epochs are trained (epochs)")
        return None

"""What the trainer tells: one `Report` per evaluation, and why it stopped."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Stop:
    """Why a training ended: the rule's name and a sentence."""

    rule: str
    reason: str

    @property
    def diverged(self) -> bool:
        """Did a non-finite value end it?"""
        return self.rule == "diverged"


@dataclass(frozen=True)
class Report:
    """The state of a training after `step` updates.

    Metrics are functions of the config alone; `seconds` since the start are not.
    """

    step: int
    epoch: float
    metrics: Mapping[str, float]
    seconds: float
    stop: Stop | None = None

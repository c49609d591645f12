"""Durations in the unit people think in, converted to steps once, before the loop.

"500 steps", "10 epochs", "20%" (of the run). A run's length is known where a rule bounds it.
"""

import re
from dataclasses import dataclass

from nnlab.core.laws import LawError, shortened

_DURATION = re.compile(r"(?P<number>\d+(\.\d+)?(e\d+)?) *(?P<unit>steps?|epochs?|%)")


@dataclass(frozen=True)
class Duration:
    """A number of steps, epochs or percent.

    >>> Duration.parse("2 epochs").steps(steps_per_epoch=40, total=None)
    80
    """

    number: float
    unit: str
    field: str = "duration"
    """The argument that it is the value of."""

    @classmethod
    def parse(cls, text: str, field: str = "duration") -> "Duration":
        """The duration that `text` says; raises `LawError` about `field`."""
        match = _DURATION.fullmatch(text.strip())
        if match is None or not 0 < float(match["number"]) < 1e12:
            raise LawError(
                f'{field} must be a duration above zero such as "500 steps", "10 epochs" or "20%", '
                f"but got {field}={shortened(repr(text))}",
                field,
            )
        return cls(float(match["number"]), match["unit"].rstrip("s"), field)

    def steps(self, steps_per_epoch: int, total: int | None) -> int:
        """The duration in steps, at least 1. Percent need the `total` steps of the run."""
        if self.unit == "%":
            if total is None:
                raise LawError(
                    f"a duration in percent ({self.field}={self.number:g}%) needs a run of known "
                    "length: add the stopping rule max_epochs or max_steps",
                    self.field,
                )
            exact = total * self.number / 100
        else:
            exact = self.number * (steps_per_epoch if self.unit == "epoch" else 1)
        return max(1, round(exact))

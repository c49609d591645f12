"""Constraints: what a trial must keep to. A trial that does not is never the best.

`parameters` is known before a trial: what breaks its limit is no trial at all. Everything else is
known after it: the samplers tpe and nsga2 take such trials for worse than all others.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nnlab.errors import UserError
from nnlab.runs.config import checked
from nnlab.sweeps.places import Places

PARAMETERS, SECONDS = "parameters", "seconds"
QUANTITIES = (PARAMETERS, SECONDS)
"""What is measured of every trial beside its metrics: the numbers that it trains, its time."""


@dataclass(frozen=True)
class Constraint:
    """`low <= quantity <= high`."""

    quantity: str
    low: float = -math.inf
    high: float = math.inf

    def violation(self, value: float) -> float:
        """How far the value is outside; not above 0 inside. A NaN is infinitely far."""
        if math.isnan(value):
            return math.inf
        return max(self.low - value, value - self.high)

    @property
    def before(self) -> bool:
        """Is it known before a trial?"""
        return self.quantity == PARAMETERS

    def __str__(self) -> str:
        low = f"{self.low:g} <= " if math.isfinite(self.low) else ""
        high = f" <= {self.high:g}" if math.isfinite(self.high) else ""
        return f"{low}{self.quantity}{high}"


def broken(constraints: tuple[Constraint, ...], measured: Mapping[str, float]) -> list[str]:
    """The constraints that these measurements break; one of what was not measured is broken."""
    return [
        f"{one} does not hold: {measured.get(one.quantity, math.nan):g}"
        for one in constraints
        if one.violation(measured.get(one.quantity, math.nan)) > 0
    ]


def parse_constraints(config: Any, places: Places) -> tuple[Constraint, ...]:
    """`{parameters: 50000, validation/accuracy: {min: 0.9}}`: a number is the most."""
    if config is None:
        return ()
    if not isinstance(config, Mapping):
        raise places.refuse(
            f"constraints must map quantities to limits, as in {{parameters: 50000}}, but got "
            f"constraints={config!r}",
            "constraints",
        )
    return tuple(_constraint(str(key), limits, places) for key, limits in config.items())


def _constraint(quantity: str, limits: Any, places: Places) -> Constraint:
    at = f"constraints.{quantity}"
    given = limits if isinstance(limits, Mapping) else {"max": limits}
    if not given or not given.keys() <= {"min", "max"}:
        raise places.refuse(
            f"{at} must be the most (a number) or {{min: ..., max: ...}}, but got {limits!r}",
            "constraints",
            quantity,
        )
    try:
        numbers = {key: checked(value, float, f"{at}.{key}") for key, value in given.items()}
    except UserError as error:
        raise places.refuse(str(error), "constraints", quantity) from error
    constraint = Constraint(quantity, numbers.get("min", -math.inf), numbers.get("max", math.inf))
    if not constraint.low <= constraint.high:
        raise places.refuse(
            f"`min <= max` must hold, but got min={constraint.low:g}, max={constraint.high:g} "
            f"({at})",
            "constraints",
            quantity,
        )
    return constraint

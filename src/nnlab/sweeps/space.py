"""Search spaces: which keys of the config vary, between what, and when. Imports no Optuna."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

Conditions: TypeAlias = Mapping[str, tuple[Any, ...]]
"""Under which choices of other parameters one exists; all must hold."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole numbers if both (and the step) are."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    """Only low, low + step, low + 2 step, ...; not together with log."""
    when: Conditions = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Does it hold whole numbers only?"""
        return all(isinstance(number, int) for number in (self.low, self.high, self.step or 1))

    @property
    def stride(self) -> float | None:
        """Between two neighbours; None between real numbers."""
        return 1 if self.whole and self.step is None else self.step

    @property
    def points(self) -> float:
        """How many values it has; infinity for real numbers."""
        if self.stride is None:
            return math.inf
        return math.floor((self.high - self.low) / self.stride + 1e-9) + 1

    @property
    def last(self) -> float:
        """The greatest value that is reached."""
        return self.high if self.stride is None else self.at_index(int(self.points) - 1)

    def ends(self) -> tuple[Any, ...]:
        """Values that must be legal for all in between to be."""
        return (self.low, self.last)

    def at_index(self, index: int) -> Any:
        """The value of that index, from 0, where they can be counted."""
        assert self.stride is not None
        if self.whole:
            return self.low + index * self.stride
        low, stride = Decimal(repr(self.low)), Decimal(repr(self.stride))
        return min(float(low + index * stride), self.high)  # 0.1, 0.2, 0.3: as people write them

    def at(self, u: float) -> Any:
        """The value at the quantile 0 <= u < 1: uniform, or log-uniform."""
        if self.log:
            low, high = (self.low, self.high)
            if self.whole:
                low, high = low - 0.5, high + 0.5
            value = math.exp(math.log(low) + u * (math.log(high) - math.log(low)))
            value = round(value) if self.whole else value
            return min(max(value, self.low), self.high)
        if self.stride is None:
            return min(self.low + u * (self.high - self.low), self.high)
        return self.at_index(min(int(u * self.points), int(self.points) - 1))

    def value(self, suggested: Any) -> Any:
        """A number of this range, of what was suggested up to rounding."""
        if self.stride is None:
            return suggested
        return self.at_index(round((suggested - self.low) / self.stride))

    def suggestion(self, value: Any) -> Any:
        """What was suggested, of a value."""
        return value

    def has(self, value: Any) -> bool:
        """Is the value one of them?"""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        if self.whole and not isinstance(value, int):
            return False
        if not self.low <= value <= self.last:
            return False
        return self.stride is None or self.value(value) == value

    @property
    def plain(self) -> Any:
        """The same as plain data."""
        more = {"step": self.step, "when": _plain(self.when)}
        more = {key: value for key, value in more.items() if value}
        return {"low": self.low, "high": self.high, "log": self.log, **more}


@dataclass(frozen=True)
class Choices:
    """One of several values: numbers, texts, lists, or the choices of a config group."""

    values: tuple[Any, ...]
    when: Conditions = field(default_factory=dict)

    def ends(self) -> tuple[Any, ...]:
        """All of them."""
        return self.values

    @property
    def labels(self) -> tuple[str, ...]:
        """The values as texts, which is what is suggested."""
        return tuple(str(value) for value in self.values)

    @property
    def points(self) -> float:
        """How many values it has."""
        return len(self.values)

    def at_index(self, index: int) -> Any:
        """The value of that index, from 0."""
        return self.values[index]

    def at(self, u: float) -> Any:
        """The value at the quantile 0 <= u < 1."""
        return self.values[min(int(u * len(self.values)), len(self.values) - 1)]

    def value(self, suggested: Any) -> Any:
        """The value whose label was suggested."""
        return self.values[self.labels.index(suggested)]

    def suggestion(self, value: Any) -> str:
        """The label of a value."""
        return str(value)

    def has(self, value: Any) -> bool:
        """Is the value one of them?"""
        return any(value == one and type(value) is type(one) for one in self.values)

    @property
    def plain(self) -> Any:
        """The same as plain data."""
        values = list(self.values)
        return {"choice": values, "when": _plain(self.when)} if self.when else values


Parameter: TypeAlias = Range | Choices
Space: TypeAlias = Mapping[str, Parameter]
"""Parameters by key (`optimizer.lr`, or a group such as `optimizer`); each one that looks at
another comes after it."""


def holds(parameter: Parameter, values: Mapping[str, Any]) -> bool:
    """Does the parameter exist beside these values?"""
    return all(
        any(values.get(key, _ABSENT) == allowed for allowed in several)
        for key, several in parameter.when.items()
    )


_ABSENT = object()


def _plain(conditions: Conditions) -> dict[str, list[Any]]:
    return {key: list(values) for key, values in conditions.items()}

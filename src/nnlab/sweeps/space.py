"""Search spaces: which keys of the config vary, and between what. Imports no Optuna."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeAlias

from nnlab.errors import UserError
from nnlab.names import nearest
from nnlab.runs.plain import Config, flatten


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole numbers if both are."""

    low: float
    high: float
    log: bool = False

    def ends(self) -> tuple[Any, ...]:
        """Values that must be legal for all in between to be."""
        return (self.low, self.high)

    def value(self, suggested: Any) -> Any:
        return suggested


@dataclass(frozen=True)
class Choices:
    """One of several values: numbers, texts, lists, or the choices of a config group."""

    values: tuple[Any, ...]

    def ends(self) -> tuple[Any, ...]:
        return self.values

    @property
    def labels(self) -> tuple[str, ...]:
        """The values as texts, which is what is suggested."""
        return tuple(str(value) for value in self.values)

    def value(self, suggested: Any) -> Any:
        return self.values[self.labels.index(suggested)]


Parameter: TypeAlias = Range | Choices
Space: TypeAlias = Mapping[str, Parameter]
"""Parameters by key: `optimizer.lr`, or a group such as `optimizer`."""


def parse_space(config: Any) -> Space:
    """The space that a sweep's `parameters` describe; raises `UserError` naming the key."""
    if not isinstance(config, Mapping) or not config:
        raise UserError(f"parameters must name at least one key, but got parameters={config!r}")
    return {str(key): _parameter(f"parameters.{key}", spec) for key, spec in config.items()}


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """A copy of the config with these values; raises `UserError` for a key it does not have."""
    changed: Any = deepcopy(dict(config))
    for key, value in values.items():
        *path, last = key.split(".")
        node = changed
        for name in path:
            node = node.get(name) if isinstance(node, dict) else None
        if not isinstance(node, dict) or last not in node:
            known = [name for name, _ in flatten(config)]
            raise UserError(
                f"parameters.{key} is not a key of the config{nearest(key, known)}; "
                "`nnlab train --cfg job` shows the keys"
            )
        node[last] = value
    return dict(changed)


def _parameter(at: str, spec: Any) -> Parameter:
    if isinstance(spec, Sequence) and not isinstance(spec, str):
        spec = {"choices": spec}
    if not isinstance(spec, Mapping):
        raise UserError(f"{at} must be a range (low, high) or a list of choices, but is {spec!r}")
    allowed = ("choices",) if "choices" in spec else ("low", "high", "log")
    for key in spec:
        if key not in allowed:
            raise UserError(
                f"{at}.{key} is not known{nearest(key, allowed)}; "
                "a range has low, high and log, a choice has choices"
            )
    if "choices" in spec:
        return _choices(at, spec["choices"])
    low, high = (_end(f"{at}.{name}", spec.get(name)) for name in ("low", "high"))
    log = spec.get("log", False)
    if not isinstance(log, bool):
        raise UserError(f"{at}.log must be true or false, but got {log!r}")
    if not low < high:
        raise UserError(f"`low < high` must hold, but got low={low}, high={high} ({at})")
    if log and low <= 0:
        raise UserError(f"`low > 0` must hold where log is true, but got low={low} ({at})")
    return Range(low, high, log)


def _end(at: str, number: Any) -> int | float:
    if not isinstance(number, int | float) or isinstance(number, bool):
        raise UserError(f"{at} must be a number, but got {number!r}")
    return number


def _choices(at: str, values: Any) -> Choices:
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise UserError(f"{at} must list at least one choice, but got {values!r}")
    choices = Choices(tuple(values))
    if len(set(choices.labels)) < len(choices.labels):
        raise UserError(f"{at} lists a choice twice: {list(values)!r}")
    return choices

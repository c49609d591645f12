"""From plain data to a search space: every key, type and range of `parameters` is checked here."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nnlab.names import nearest
from nnlab.sweeps.places import Places
from nnlab.sweeps.space import Choices, Conditions, Parameter, Range, Space

_RANGE = ("low", "high", "log", "step", "when")
_CHOICE = ("choice", "choices", "when")


def parse_space(config: Any, places: Places | None = None) -> Space:
    """The space that a sweep's `parameters` describe; raises `UserError` naming key and place."""
    places = places or Places()
    if not isinstance(config, Mapping) or not config:
        raise places.refuse(
            f"parameters must name at least one key, but got parameters={config!r}", "parameters"
        )
    space = {
        str(key): spec
        if isinstance(spec, Range | Choices)
        else _Reader(str(key), places).read(spec)
        for key, spec in config.items()
    }
    return _ordered(
        {key: _conditioned(key, spec, space, places) for key, spec in space.items()}, places
    )


class _Reader:
    """Reads one parameter."""

    def __init__(self, key: str, places: Places) -> None:
        self.key, self.places = key, places

    def read(self, spec: Any) -> Parameter:
        if isinstance(spec, Sequence) and not isinstance(spec, str):
            spec = {"choice": spec}
        at = f"parameters.{self.key}"
        if not isinstance(spec, Mapping):
            raise self.places.refuse(
                f"{at} must be a range (low, high) or a list of choices, but is {spec!r}",
                "parameters",
                self.key,
            )
        chosen = [name for name in ("choice", "choices") if name in spec]
        allowed = _CHOICE if chosen else _RANGE
        for name in spec:
            if name not in allowed or len(chosen) > 1:
                raise self.refuse(
                    f"{at}.{name} is not known{nearest(name, allowed)}; a range has low, high, "
                    "log, step and when, a choice has choice and when",
                    str(name),
                )
        when = self._when(spec.get("when", {}))
        if chosen:
            return self._choices(spec[chosen[0]], chosen[0], when)
        return self._range(spec, when)

    def refuse(self, message: str, *below: str) -> Exception:
        return self.places.refuse(message, "parameters", self.key, *below)

    def _range(self, spec: Mapping[str, Any], when: Conditions) -> Range:
        at = f"(parameters.{self.key})"
        low, high = (self._number(name, spec.get(name)) for name in ("low", "high"))
        log = spec.get("log", False)
        if not isinstance(log, bool):
            raise self.refuse(
                f"parameters.{self.key}.log must be true or false, but got {log!r}", "log"
            )
        if not low < high:
            raise self.refuse(f"`low < high` must hold, but got low={low}, high={high} {at}", "low")
        if log and low <= 0:
            raise self.refuse(
                f"`low > 0` must hold where log is true, but got low={low} {at}", "low"
            )
        step = spec.get("step")
        if step is not None:
            step = self._number("step", step)
            if log:
                raise self.refuse(
                    f"a range has log or step, not both; list the values as choices {at}", "step"
                )
            if not 0 < step <= high - low:
                raise self.refuse(
                    f"`0 < step <= high - low` must hold, but got step={step} {at}", "step"
                )
        return Range(low, high, log, step, when)

    def _number(self, name: str, number: Any) -> int | float:
        if not isinstance(number, int | float) or isinstance(number, bool):
            raise self.refuse(
                f"parameters.{self.key}.{name} must be a number, but got {number!r}", name
            )
        if isinstance(number, float) and not math.isfinite(number):
            raise self.refuse(
                f"parameters.{self.key}.{name} must be finite, but got {number!r}", name
            )
        return number

    def _choices(self, values: Any, name: str, when: Conditions) -> Choices:
        at = f"parameters.{self.key}"
        if not isinstance(values, Sequence) or isinstance(values, str) or not values:
            raise self.refuse(f"{at} must list at least one choice, but got {values!r}", name)
        choices = Choices(tuple(values), when)
        if len(set(choices.labels)) < len(choices.labels):
            raise self.refuse(f"{at} lists a choice twice: {list(values)!r}", name)
        return choices

    def _when(self, conditions: Any) -> Conditions:
        if not isinstance(conditions, Mapping):
            raise self.refuse(
                f"parameters.{self.key}.when must map another parameter to its choice, as in "
                f"{{optimizer: momentum}}, but got {conditions!r}",
                "when",
            )
        return {
            str(key): tuple(several) if isinstance(several, list) else (several,)
            for key, several in conditions.items()
        }


def _conditioned(key: str, parameter: Parameter, space: Space, places: Places) -> Parameter:
    """The parameter, whose conditions look at choices that are there."""
    for name, several in parameter.when.items():
        at = ("parameters", key, "when", name)
        if name not in space:
            raise places.refuse(
                f"parameters.{key}.when looks at {name}, which is not a parameter"
                f"{nearest(name, space)}; the parameters are {', '.join(space)}",
                *at,
            )
        other = space[name]
        if not isinstance(other, Choices):
            raise places.refuse(
                f"parameters.{key}.when can look at choices only, but {name} is a range", *at
            )
        for value in several:
            if not other.has(value) and ("parameters", name) not in places.arguments:
                raise places.refuse(
                    f"parameters.{key}.when waits for {name}={value}, which is no choice of it"
                    f"{nearest(value, other.labels)}; the choices are {', '.join(other.labels)}",
                    *at,
                )
    return parameter


def _ordered(space: Space, places: Places) -> Space:
    """The same with every parameter after those that it looks at; what can never exist, because
    an argument has fixed what it looks at, is left out."""
    ordered: dict[str, Parameter] = {}
    rest = dict(space)
    while rest:
        ready = next((key for key in rest if not rest[key].when.keys() & rest.keys()), None)
        if ready is None:
            raise places.refuse(
                f"the conditions of {', '.join(rest)} wait for each other; one of them must "
                "exist without `when`",
                "parameters",
                next(iter(rest)),
                "when",
            )
        parameter = rest.pop(ready)
        if all(
            name in ordered and any(ordered[name].has(value) for value in several)
            for name, several in parameter.when.items()
        ):
            ordered[ready] = parameter
    return ordered

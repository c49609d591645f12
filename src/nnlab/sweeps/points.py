"""The points of a space: how many there are, all of them, one at given quantiles, their keys."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from nnlab.sweeps.space import Space, holds

Values: TypeAlias = dict[str, Any]


def key(values: Mapping[str, Any]) -> str:
    """A text that two points share only if they are the same one.

    >>> key({"b": 1, "a": [8, 8]}) == key({"a": [8, 8], "b": 1})
    True
    >>> key({"a": 1}) == key({"a": 1.0})
    False
    """
    return json.dumps(dict(values), sort_keys=True, default=str)


def at(space: Space, quantiles: Sequence[float]) -> Values:
    """The point at these quantiles in [0, 1), one for each parameter, existing or not."""
    values: Values = {}
    for (name, parameter), u in zip(space.items(), quantiles, strict=True):
        if holds(parameter, values):
            values[name] = parameter.at(u)
    return values


def every(space: Space) -> Iterator[Values]:
    """All points of a finite space, the last parameter varying fastest."""
    yield from _completed(list(space.items()), {})


def size(space: Space) -> float:
    """How many points a space has: infinity if it has real numbers.

    A parameter that exists under a condition counts where the condition holds.
    """
    deciding = {name for parameter in space.values() for name in parameter.when}
    if not deciding:
        return math.prod(parameter.points for parameter in space.values())
    total = 0.0
    choices = {name: space[name] for name in space if name in deciding}
    for decided in _completed(list(choices.items()), {}):
        free = (
            parameter.points
            for name, parameter in space.items()
            if name not in deciding and holds(parameter, decided)
        )
        total += math.prod(free)
    return total


def contains(space: Space, values: Mapping[str, Any]) -> bool:
    """Is it a point of this space, with all parameters that exist there and no others?"""
    exist = {name for name, parameter in space.items() if holds(parameter, values)}
    return exist == set(values) and all(space[name].has(value) for name, value in values.items())


def _completed(rest: list[tuple[str, Any]], values: Values) -> Iterator[Values]:
    if not rest:
        yield values
        return
    (name, parameter), *others = rest
    if not holds(parameter, values):
        yield from _completed(others, values)
        return
    for index in range(int(parameter.points)):
        yield from _completed(others, {**values, name: parameter.at_index(index)})

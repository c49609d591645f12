"""From a config back to the overrides that compose it: what it has that the default one has not."""

from collections.abc import Iterator, Mapping
from typing import Any

from nnlab.errors import UserError
from nnlab.runs.compose import compose
from nnlab.runs.config import KEYS, LISTS
from nnlab.runs.plain import Config, flatten
from nnlab.runs.registry import GROUPS


def overrides(config: Config) -> list[str]:
    """The choices of `config` that are not the default ones, then the values that are not those of
    its choices, where today's groups still have them all; else all choices.

    A choice that is no name of the registry is never composed: it could be an interpolation,
    another override or the path of a file.
    """
    if not all(_known(config)):
        return list(_choices({}, config))
    try:
        default = compose([])
        chosen = list(_choices(default, config))
        then, now = dict(flatten(compose(chosen))), dict(flatten(config))
    except UserError:
        return list(_choices({}, config))
    return chosen + [f"{key}={value}" for key, value in now.items() if then.get(key) != value]


def _choices(default: Config, config: Config) -> Iterator[str]:
    for group, choice in config.items():
        if group in LISTS and isinstance(choice, Mapping):
            if _names(choice) != _names(default.get(group)):
                yield f"{group}=[{','.join(_names(choice))}]"
        elif isinstance(choice, Mapping) and "name" in choice:
            before = default.get(group)
            if not isinstance(before, Mapping) or before.get("name") != choice["name"]:
                yield f"{group}={choice['name']}"


def _known(config: Config) -> Iterator[bool]:
    for group, choice in config.items():
        if group in LISTS:
            yield isinstance(choice, Mapping) and all(name in GROUPS[group] for name in choice)
        elif group in GROUPS:
            name = choice.get("name") if isinstance(choice, Mapping) else None
            yield isinstance(name, str) and name in GROUPS[group]
        else:
            yield group in KEYS


def _names(choice: Any) -> list[str]:
    return [str(name) for name in choice] if isinstance(choice, Mapping) else []

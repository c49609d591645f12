"""From a config back to the overrides that compose it: what it has that the default one has not."""

from collections.abc import Iterator, Mapping
from typing import Any

from nnlab.errors import UserError
from nnlab.runs.compose import compose
from nnlab.runs.config import LISTS
from nnlab.runs.plain import Config, flatten


def overrides(config: Config) -> list[str]:
    """The choices of `config` that are not the default ones, then the values that are not those of
    its choices, where today's groups still have them all; else all choices."""
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


def _names(choice: Any) -> list[str]:
    return [str(name) for name in choice] if isinstance(choice, Mapping) else []

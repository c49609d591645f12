"""Configs as plain data: mappings, lists, strings, numbers, booleans, null. Imports no NumPy."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

try:
    from yaml import CSafeDumper as Dumper
except ImportError:  # PyYAML without libyaml: the same text, ten times slower
    from yaml import SafeDumper as Dumper  # type: ignore[assignment]

from nnlab.errors import UserError
from nnlab.runs.strict import StrictError, content, from_yaml

Config = Mapping[str, Any]
"""A resolved config."""

LARGEST = 1_000_000
"""Bytes of a config's file: that of a run has three thousand."""


def flatten(config: Config, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every value with its dotted key, as texts: what MLflow shows as parameters."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def load(path: Path) -> Config:
    """The config in a YAML file, as plain data: no tags, no interpolation, no code.

    Raises `UserError` for what `runs.strict` does not read, with the line and the key.
    """
    try:
        config = from_yaml(content(path, LARGEST))
    except StrictError as error:
        raise UserError(f"{path.name} cannot be read as a config: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path.name} must hold a mapping, but holds {type(config).__name__}")
    return config


class _Plain(Dumper):
    """Without anchors: what is there twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dump(config: Config) -> str:
    """The config as YAML; `load` gives the same values back.

    Lines are not folded: with and without libyaml that is done at other places.
    """
    return str(yaml.dump(dict(config), Dumper=_Plain, sort_keys=False, width=LARGEST))

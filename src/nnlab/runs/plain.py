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

Config = Mapping[str, Any]
"""A resolved config."""


def flatten(config: Config, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every value with its dotted key, as texts: what MLflow shows as parameters."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def load(path: Path) -> Config:
    """The config in a YAML file, as plain data: no tags, no interpolation, no code."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception as error:  # PyYAML's constructors raise whatever int() and the like raise
        what = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path.name} cannot be read as a config: {what[:500]}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path.name} must hold a mapping, but holds {type(config).__name__}")
    return config


def dump(config: Config) -> str:
    """The config as YAML; `load` gives the same values back."""
    return str(yaml.dump(dict(config), Dumper=Dumper, sort_keys=False))

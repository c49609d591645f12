"""Where a part of a sweep was written: the line of its file, or the argument."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from nnlab.errors import UserError

Place: TypeAlias = tuple[str, ...]
"""Keys from the top, a list's items by their index: ("parameters", "optimizer.lr", "low")."""


@dataclass(frozen=True)
class Places:
    """Of every key of a sweep the place where it was written."""

    file: str = ""
    lines: Mapping[Place, int] = field(default_factory=dict)
    arguments: Mapping[Place, str] = field(default_factory=dict)

    def of(self, *path: str) -> str:
        """The place of the longest known beginning of the path, as the end of a message:
        " (digits.yaml, line 12)"."""
        for length in range(len(path), 0, -1):
            known = path[:length]
            if known in self.arguments:
                return f" (argument {self.arguments[known]})"
            if known in self.lines:
                return f" ({self.file}, line {self.lines[known]})"
        return f" ({self.file})" if self.file else ""

    def refuse(self, message: str, *path: str) -> UserError:
        """The error that says it with the place."""
        return UserError(message + self.of(*path))


def lines(text: str) -> dict[Place, int]:
    """The line, from 1, of every key and item of a YAML text."""
    found: dict[Place, int] = {}
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is not None:
        _find(node, (), found)
    return found


def _find(node: yaml.Node, path: Place, found: dict[Place, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, str(key.value))
            found[below] = key.start_mark.line + 1
            _find(value, below, found)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            below = (*path, str(index))
            found[below] = value.start_mark.line + 1
            _find(value, below, found)

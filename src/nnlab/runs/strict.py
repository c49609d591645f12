"""Texts of others as plain data: YAML and JSON with less than either allows.

A file that a tracker keeps may be anybody's. Its size is known before it is read; how deep, how
many and how long its parts are is known before they are built; and what a config of nnlab never has
(tags, anchors, dates, a key twice) is refused with its line and the key that it is under.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as Loader
except ImportError:  # PyYAML without libyaml: the same events, ten times slower
    from yaml import SafeLoader as Loader  # type: ignore[assignment]
from yaml.constructor import SafeConstructor
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from yaml.nodes import ScalarNode
from yaml.resolver import Resolver

from nnlab.errors import UserError

DEEPEST = 32
"""So many lists and mappings may lie within each other; a config of nnlab has five."""
MOST = 100_000
"""Values in one YAML file."""
DIGITS = 64
"""Characters of a number."""

_TAG = "tag:yaml.org,2002:"
_HALVES = re.compile("[\ud800-\udfff]")


class StrictError(ValueError):
    """A text is not what is read here; the message has no name of a file."""


def content(path: Path, most: int) -> str:
    """The text of a file in UTF-8 of at most `most` bytes; raises `UserError`."""
    try:
        with path.open("rb") as file:
            found = file.read(most + 1)
        if len(found) > most:
            raise UserError(
                f"{path.name} cannot be read: it may have {most:,} bytes, but it has "
                f"{path.stat().st_size:,}"
            )
        return found.decode()
    except (OSError, ValueError) as error:
        raise UserError(f"{path.name} cannot be read: {error}") from error


def from_yaml(text: str) -> Any:
    """Mappings by text, lists, texts, numbers, booleans and null; raises `StrictError`.

    >>> from_yaml("a: [1, 2.5, off]")
    {'a': [1, 2.5, False]}
    >>> from_yaml("a: {b: 1, b: 2}")
    Traceback (most recent call last):
        ...
    nnlab.runs.strict.StrictError: line 1: a has the key b twice
    """
    try:
        return _Builder(yaml.parse(text, Loader=Loader)).document()
    except yaml.YAMLError as error:
        raise StrictError(" ".join(str(error).split())[:300]) from error


def from_json(text: str) -> Any:
    """What a JSON text says; raises `StrictError` for what is no JSON, a key that is there twice,
    or lists and mappings that lie too deep within each other."""
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except RecursionError as error:
        raise StrictError(f"it is more than {DEEPEST} deep") from error
    except ValueError as error:
        raise StrictError(str(error)[:300]) from error
    _check_depth(found)
    return found


def load_json(path: Path, most: int) -> dict[str, Any]:
    """The mapping in a JSON file of at most `most` bytes; raises `UserError` with its name."""
    try:
        found = from_json(content(path, most))
    except StrictError as error:
        raise UserError(f"{path.name} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path.name} must hold a mapping, but holds {type(found).__name__}")
    return found


class _Builder:
    """Plain data from the events of a YAML parser, which keeps nothing of its own."""

    def __init__(self, events: Iterator[Event]) -> None:
        self.events = events
        self.resolver = Resolver()
        self.constructor = SafeConstructor()
        self.path: list[str] = []
        self.values = 0

    def document(self) -> Any:
        documents, found = 0, None
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._refused(event, "it has a second document")
                found = self._value(next(self.events))
        return found

    def _value(self, event: Any) -> Any:
        self.values += 1
        if self.values > MOST:
            raise self._refused(event, f"it has more than {MOST:,} values")
        if isinstance(event, AliasEvent) or event.anchor is not None:
            raise self._refused(event, f"{self._where} has an anchor or alias; write it out")
        if event.tag is not None:
            raise self._refused(event, f"{self._where} has the tag {event.tag}; tags mean nothing")
        if isinstance(event, ScalarEvent):
            return self._scalar(event)
        if len(self.path) >= DEEPEST:
            raise self._refused(event, f"{self._where} is more than {DEEPEST} deep")
        if isinstance(event, SequenceStartEvent):
            return list(self._items())
        assert isinstance(event, MappingStartEvent)
        return self._mapping()

    def _items(self) -> Iterator[Any]:
        for event in self.events:
            if isinstance(event, SequenceEndEvent):
                return
            self.path.append("[]")
            yield self._value(event)
            self.path.pop()

    def _mapping(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for event in self.events:
            if isinstance(event, MappingEndEvent):
                break
            key = self._value(event) if isinstance(event, ScalarEvent) else event
            if not isinstance(key, str):
                shown = "a list or a mapping" if isinstance(key, Event) else repr(key)
                raise self._refused(event, f"{self._where} has the key {shown}; keys are texts")
            if key in made:
                raise self._refused(event, f"{self._where} has the key {_shown(key)} twice")
            self.path.append(key)
            made[key] = self._value(next(self.events))
            self.path.pop()
        return made

    def _scalar(self, event: Any) -> Any:
        resolve: Any = self.resolver.resolve
        tag = resolve(ScalarNode, event.value, event.implicit)
        kind = tag.removeprefix(_TAG)
        if kind == "str":
            if _HALVES.search(event.value):
                raise self._refused(event, f"{self._where} has half a character (a surrogate)")
            return event.value
        if kind not in ("int", "float", "bool", "null"):
            what = {"timestamp": "a date", "merge": "a merge"}.get(kind, kind)
            said = f"{self._where} is {what}, {_shown(event.value)}; a text is written in quotes"
            raise self._refused(event, said)
        if len(event.value) > DIGITS:
            raise self._refused(event, f"{self._where} is a number of more than {DIGITS} digits")
        construct = getattr(self.constructor, f"construct_yaml_{kind}")
        try:
            return construct(ScalarNode(tag, event.value))
        except ValueError as error:  # `0x_`: PyYAML takes it for a number and Python does not
            raise self._refused(event, f"{self._where} is no {kind}: {event.value}") from error

    @property
    def _where(self) -> str:
        return _shown(".".join(self.path).replace(".[]", "[]")) or "the file"

    def _refused(self, event: Any, what: str) -> StrictError:
        return StrictError(f"line {event.start_mark.line + 1}: {what}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise StrictError(f"the key {_shown(key)} is there twice")
        made[key] = value
    return made


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        if depth > DEEPEST:
            raise StrictError(f"it is more than {DEEPEST} deep")
        depth += 1
        level = [
            item
            for one in level
            if isinstance(one, dict | list)
            for item in (one.values() if isinstance(one, dict) else one)
        ]


def _shown(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}..."

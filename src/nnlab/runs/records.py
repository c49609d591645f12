"""What a run writes to its journal, checked where the journal may be somebody else's.

The checksums of a journal say that it was written so, and not by whom.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nnlab.runs.journal import JournalError, Record

_DEEPEST = 32
"""So many lists and mappings may lie within each other; what is told of data has four."""
_LARGEST = 2**53
"""Integers are smaller: they are floats without a loss."""


def check(records: Sequence[Record]) -> None:
    """Raise `JournalError` unless these are records that a run writes, the first of them a start.

    It names the record and the field. Fields that are not known are passed over.
    """
    step = -1
    for n, record in enumerate(records):
        kind = record.get("type")
        if not isinstance(kind, str) or (kind == "start") != (n == 0):
            raise _error(n, "type", kind)
        for name, right in _FIELDS.get(kind, {}).items():
            if not right(record.get(name)):
                raise _error(n, name, record.get(name))
        if kind == "report":
            if record["step"] <= step:
                raise JournalError(
                    f"record {n} is a report of step {record['step']} after one of step {step}: "
                    "that is one that no run writes"
                )
            step = record["step"]
        if kind == "data" and not _is_shallow(record, _DEEPEST):
            raise _error(n, "data", record)


def _error(n: int, field: str, value: object) -> JournalError:
    plain = value is None or isinstance(value, str | int | float)
    shown = repr(value)[:80] if plain else f"a {type(value).__name__}"
    return JournalError(f"record {n} has a field {field} that no run writes: {shown}")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_absent(value: object) -> bool:
    return value is None or isinstance(value, str)


def _are_texts(value: object) -> bool:
    return isinstance(value, Mapping) and all(map(_is_text, value.values()))


def _is_step(value: object) -> bool:
    return type(value) is int and 0 <= value < _LARGEST


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return value in ("NaN", "Infinity", "-Infinity")
    return type(value) is float or (type(value) is int and abs(value) < _LARGEST)


def _are_numbers(value: object) -> bool:
    return isinstance(value, Mapping) and all(map(_is_number, value.values()))


def _is_shallow(value: object, left: int) -> bool:
    inner: Iterator[object] = iter(())
    if isinstance(value, Mapping):
        inner = iter(value.values())
    elif isinstance(value, list):
        inner = iter(value)
    return left > 0 and all(_is_shallow(one, left - 1) for one in inner)


_FIELDS: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "start": {"run": _is_text, "kind": _is_text, "params": _are_texts, "tags": _are_texts},
    "report": {"step": _is_step, "metrics": _are_numbers},
    "tags": {"tags": _are_texts},
    "end": {
        "status": _is_text,
        "rule": _is_text,
        "reason": _is_text,
        "evidence": _is_text_or_absent,
    },
}

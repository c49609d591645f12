"""The environment then and now: what differs, and can it change bits? Imports no NumPy."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from nnlab.errors import UserError

NOT_RECORDED = "not recorded"
ABSENT = "absent"

_RULES: tuple[tuple[str, bool, str], ...] = (
    ("nnlab", False, "the code's hash tells"),
    ("git.", False, "the code's hash tells"),
    ("code", True, "it is another program"),
    ("plugins.", True, "it is another program"),
    ("python", True, "sums of floats differ by version (3.12)"),
    ("packages.numpy", True, "it computes"),
    ("packages.scipy", True, "it computes (L-BFGS)"),
    ("packages.scikit-learn", True, "data sets, PCA, k-means"),
    ("packages.", False, "it computes nothing"),
    ("installed.numpy", True, "it computes"),
    ("installed.scipy", True, "it computes (L-BFGS)"),
    ("installed.scikit_learn", True, "data sets, PCA, k-means"),
    ("installed.scikit_image", True, "HOG features"),
    ("installed.imbalanced_learn", True, "SMOTE"),
    ("installed.pyarrow", True, "it parses tables"),
    ("installed.pillow", True, "it decodes images"),
    ("installed.", False, "it computes nothing"),
    ("blas.", True, "it computes"),
    ("cpu_features", True, "NumPy chooses code by them"),
    ("libc", True, "its exp, log, sin, cos, pow"),
    ("machine", True, "another arithmetic unit"),
    ("system", False, "its release computes nothing"),
    ("cpus", False, "the number of threads is pinned"),
)
"""Of each fact by its key, or by how that begins (with a dot at the end), the first that fits: can
another value change bits, and why.

A fact that is not here is one that another version recorded: it is taken to be able to.
"""


def _is(*kinds: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kinds)


def _list_of(holds: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(map(holds, value))


def _map_of(holds: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, Mapping) and all(map(holds, value.values()))


_TEXT, _TEXT_OR_NULL = _is(str), _is(str, type(None))
_SCALAR = _is(str, int, type(None))
_SHAPES: Mapping[str, tuple[str, Callable[[object], bool]]] = MappingProxyType(
    {
        "nnlab": ("a text", _TEXT),
        "git": ("a mapping to texts, booleans and nulls", _map_of(_is(str, bool, type(None)))),
        "code": ("a text", _TEXT),
        "plugins": ("a mapping from modules to mappings to texts", _map_of(_map_of(_TEXT_OR_NULL))),
        "python": ("a text", _TEXT),
        "packages": ("a mapping from names to versions", _map_of(_TEXT_OR_NULL)),
        "installed": ("a mapping from names to versions", _map_of(_TEXT)),
        "blas": ("a list of mappings to texts and numbers", _list_of(_map_of(_SCALAR))),
        "cpu_features": ("a list of texts", _list_of(_TEXT)),
        "libc": ("a text or null", _TEXT_OR_NULL),
        "machine": ("a text", _TEXT),
        "system": ("a text", _TEXT),
        "cpus": ("an integer or null", _is(int, type(None))),
    }
)
"""Of each fact that this version records: what it must be."""


@dataclass(frozen=True)
class Row:
    """A fact that differs between two environments."""

    key: str
    then: str
    now: str
    can_change_bits: bool | None
    """None where it is not known what it was, or is."""
    why: str

    def __str__(self) -> str:
        return f"{self.key}: {self.then} -> {self.now}"


def checked(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The facts of an `environment.json`, which may be anybody's.

    Raises `UserError` where one that this version knows has not the shape that a run gives it. Any
    may be absent, of an older run; what another version recorded is taken as it is.
    """
    for key, (law, holds) in _SHAPES.items():
        if key in facts and not holds(facts[key]):
            value = str(facts[key])[:80]
            raise UserError(f"environment.json: `{key}` must be {law}, but it is {value!r}")
    return facts


def judged(
    then: Mapping[str, Any], now: Mapping[str, Any], diffs: tuple[str | None, str | None] = ("", "")
) -> list[Row]:
    """Every fact that differs, what can change bits first.

    `diffs` are the uncommitted diffs, None where one was not kept.
    """
    hashed = bool(then.get("code") and now.get("code"))
    plugins = bool(then.get("plugins") or now.get("plugins"))
    rows = [
        _row(key, old, new, hashed=hashed, plugins=plugins)
        for key, old, new in _said_once(_differences(_flat(then), _flat(now)))
        if key != "git.diff"  # which `diffs` tell
    ]
    old_diff, new_diff = ("none" if diff == "" else _hashed(diff) for diff in diffs)
    if old_diff != new_diff:
        key = "git.diff"
        rows.append(_row(key, old_diff, new_diff, hashed=hashed, plugins=plugins))
    return sorted(rows, key=lambda row: {True: 0, None: 1, False: 2}[row.can_change_bits])


def environment_differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Every fact that differs between two environments, as "key: then -> now"."""
    return map(str, judged(then, now))


def _row(key: str, old: Any, new: Any, *, hashed: bool, plugins: bool) -> Row:
    """`hashed`: have both the hash of the code? `plugins`: has one of them a plugin?"""
    then, now = _text(old), _text(new)
    can, why = next(
        ((can, why) for rule, can, why in _RULES if _fits(rule, key.lower())),
        (True, "this version does not know it"),
    )
    answer: bool | None = can
    if key.startswith(("git.", "nnlab")) and not hashed:
        answer, why = True, "the code may be another"
    if key.startswith("installed.") and not can and plugins:
        answer, why = None, "a plugin may use it"
    if key.startswith("system") and then.split(" ")[0] != now.split(" ")[0]:
        answer, why = True, "another system has other libraries"
    if re.match(r"blas\.[1-9]", key) and ABSENT in (then, now):
        answer, why = False, "one of them had a second library loaded, not another one"
    if NOT_RECORDED in (then, now) and answer:
        answer, why = None, "an earlier nnlab did not record it"
    return Row(key, then, now, answer, why)


def _fits(rule: str, key: str) -> bool:
    return key.startswith(rule if rule.endswith(".") else f"{rule}.") or key == rule


def _said_once(rows: Iterable[tuple[str, Any, Any]]) -> Iterator[tuple[str, Any, Any]]:
    """The same without what `installed` says of a package just as `packages` has said it."""
    said = set()
    for key, old, new in rows:
        group, _, name = key.partition(".")
        told = re.sub(r"[-_.]+", "_", name), _text(old or ABSENT), _text(new or ABSENT)
        if group == "packages":
            said.add(told)
        if group != "installed" or told not in said:
            yield key, old, new


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What differs. Of a group of which one side has nothing, that it was not recorded, once."""
    missing: set[str] = set()
    for key in dict.fromkeys((*then, *now)):
        if key in then and key in now and then[key] == now[key]:
            continue
        group = key.partition(".")[0]
        sides = [side for side in (then, now) if _has(side, group)]
        if len(sides) == 2 or group == "plugins":
            yield key, then.get(key, ABSENT), now.get(key, ABSENT)
        elif group not in missing:
            missing.add(group)
            whole = f"{len([k for k in sides[0] if k.startswith(group)])} facts"
            there = sides[0].get(group, whole)
            unknown = (NOT_RECORDED, there) if sides[0] is now else (there, NOT_RECORDED)
            yield group, *unknown


def _has(facts: Mapping[str, Any], group: str) -> bool:
    return any(key == group or key.startswith(f"{group}.") for key in facts)


def _flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts by dotted keys; a library of BLAS is named by its place."""
    flat: dict[str, Any] = {}
    for key, value in facts.items():
        if key == "blas" and isinstance(value, list):
            for k, library in enumerate(value):
                if _is_map(library):
                    flat |= {f"blas.{k}.{name}": fact for name, fact in library.items()}
        elif _is_map(value):
            flat |= {f"{key}.{name}": fact for name, fact in _flat(value).items()}
        else:
            flat[key] = value
    return flat


def _is_map(value: object) -> bool:
    return isinstance(value, Mapping)


def _text(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(map(str, value))[:500]
    return str(value)[:500]


def _hashed(diff: str | None) -> str:
    return (
        NOT_RECORDED
        if diff is None
        else sha256(diff.encode(errors="surrogateescape")).hexdigest()[:12]
    )

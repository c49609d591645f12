"""Which packages a run had, as far as the lock of its own code names them.

A name from a tracker is never installed: names come from the lock, only versions from the run.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nnlab.errors import UserError

LOCK = "requirements/lock.txt"
_ENTRY = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;\\]+)"
    r"\s*(?:;(?P<marker>[^\\]*))?\\?\s*(?P<hashes>(?:--hash=[a-z0-9]+:[0-9a-f]+[\\\s]*)*)"
)
_VERSION = re.compile(r"\d[0-9A-Za-z.!+_]{0,60}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")
_OURS = {"nnlab", "pip", "setuptools", "wheel", "uv"}
"""What is not missed where it is not installed."""


@dataclass(frozen=True)
class Packages:
    """What is installed, and what is not."""

    locked: tuple[str, ...]
    """Lines of the lock as they stand, with their hashes."""
    others: tuple[str, ...]
    """name==version, where the run had another version than the lock."""
    left_out: tuple[str, ...]
    """name version of what the run had and the lock does not name."""
    recorded: bool
    """Did the run record every package? Else the lock speaks for those that it did not."""

    def __len__(self) -> int:
        return len(self.locked) + len(self.others)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of what is installed."""
        return tuple(line.partition("==")[0] for line in (*self.locked, *self.others))


@dataclass(frozen=True)
class _Entry:
    text: str
    name: str
    version: str
    marker: str
    hashed: bool


def packages(lock: str, environment: Mapping[str, Any]) -> Packages:
    """The packages of a run with that environment, by the text of its code's lock.

    Raises `UserError` if the lock is none, or a recorded version is none.
    """
    entries: dict[str, list[_Entry]] = {}
    for entry in _entries(lock):
        entries.setdefault(entry.name, []).append(entry)
    recorded, complete = _recorded(environment)
    locked, others = [], []
    for name, known in entries.items():
        version = recorded.get(name)
        if version is None and complete:
            continue
        wanted = [entry for entry in known if version in (None, entry.version)]
        locked += [entry.text for entry in wanted if entry.hashed]
        others += [_pinned(entry, entry.version) for entry in wanted if not entry.hashed]
        if not wanted and version is not None:
            others.append(_pinned(known[0] if len(known) == 1 else None, version, name))
    left = (f"{name} {recorded[name]}" for name in sorted({*recorded} - {*entries} - _OURS))
    return Packages(tuple(locked), tuple(others), tuple(left), complete)


def canonical(name: str) -> str:
    """The one way to write a package's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _pinned(entry: _Entry | None, version: str, name: str = "") -> str:
    marker = f" ; {entry.marker}" if entry and entry.marker else ""
    return f"{entry.name if entry else name}=={version}{marker}"


def _entries(lock: str) -> Iterator[_Entry]:
    lines = (line for line in lock.splitlines() if line.strip() and not line.startswith("#"))
    whole = "\n".join(lines)
    for text in re.split(r"\n(?!\s)", whole) if whole else ():
        found = _ENTRY.fullmatch(text)
        if not found:
            raise UserError(
                f"every entry of {LOCK} must be name==version with hashes, but one is "
                f"{text.splitlines()[0]!r}"
            )
        yield _Entry(
            text,
            canonical(found["name"]),
            found["version"],
            (found["marker"] or "").strip(),
            bool(found["hashes"]),
        )


def _recorded(environment: Mapping[str, Any]) -> tuple[dict[str, str], bool]:
    """The recorded versions by name; are they all that there were?"""
    installed = environment.get("installed")
    some = installed if installed is not None else environment.get("packages")
    if not isinstance(some, Mapping):
        raise UserError(
            "the run recorded no packages (installed in its environment.json), so --checkout "
            "cannot install them"
        )
    versions = {name: version for name, version in some.items() if version is not None}
    for name, version in versions.items():
        good = isinstance(name, str) and _NAME.fullmatch(name) and isinstance(version, str)
        if not good or not _VERSION.fullmatch(version):
            raise UserError(
                f"a package has a name and a version like 1.26.4, but got {name!r}: {version!r} "
                "(installed in the run's environment.json)"
            )
    return {canonical(name): version for name, version in versions.items()}, installed is not None

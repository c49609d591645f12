"""The user's data on this machine: the files whose content is what a run recorded.

A logged config may be anybody's, and a file that is read as a table is told of in messages and in
the new run. So a file that a config names is read only if its SHA-256 is the recorded one, or if
the user names it.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnlab.core.laws import LawError
from nnlab.data import fingerprint
from nnlab.data.formats.class_folders import found_in
from nnlab.data.home import home
from nnlab.data.own import Own
from nnlab.errors import UserError
from nnlab.reproduction.places import Place, check_there, places
from nnlab.runs.plain import Config

CURE = "--data FILE_OR_FOLDER"
LARGEST_SHOWN = 1 << 30
"""Bytes of a file of another size up to which its fingerprint is computed, for a message."""
SHOWN = 5
"""So many files of the same name are told."""


@dataclass(frozen=True)
class Recorded:
    """What a run says of a file or a folder that its data were read from."""

    name: str
    bytes: int
    sha256: str
    files: int | None
    """Of a folder; None of a file."""

    @property
    def told(self) -> str:
        return _told(self.bytes, self.sha256, self.files)


def located(config: Config, described: Mapping[str, Any] | None, named: Sequence[Path]) -> Config:
    """The logged config with the paths of the user's data as they are on this machine.

    `described` is the run's `data.json`, None of an older run; `named` are the files and folders
    that the user names. Of an older run, which recorded no content, the file must be among them:
    whether it is the right one the fingerprint of the data tells when they are read. Data by name
    are untouched.

    Raises `UserError` where a file is not found, with both fingerprints where another of its name
    is there, or what the user names is not there.
    """
    check_there(named)
    data = config.get("data")
    if not isinstance(data, Mapping):
        return config  # which is refused when it is parsed
    wanted = {
        key: path
        for key, path in data.items()
        if isinstance(key, str) and (key == "path" or key.endswith("_path"))
        if isinstance(path, str) and path.strip()
    }
    if not wanted:
        return config
    recorded = {key: _recorded(key, described) for key in wanted}
    where = places(named, home())
    folders = data.get("name") == "images"
    found = {
        key: _same_content(key, path, known, where)
        if (known := recorded[key])
        else _told_by_the_user(key, path, where, folders, only=len(wanted) == 1)
        for key, path in wanted.items()
    }
    return {**config, "data": {**data, **found}}


def difference(described: Mapping[str, Any] | None, then: str | None, now: str) -> str | None:
    """A sentence where the data have another fingerprint `now` than the run recorded (`then`; if
    that is None, what `described` says); None where they have not, or nothing was recorded."""
    told = described or {}
    then = then or told.get("fingerprint")
    if then is None or then == now:
        return None
    name = str(told.get("name") or "the data")[:200]
    if told.get("read_from"):
        why = "they are read otherwise, by another version of nnlab or of a library"
    elif not told.get("files"):
        why = "they are made otherwise, by another version of nnlab or of a library"
    elif "read_from" in told:
        why = f"their files, which are looked for in {home()}, are others (NNLAB_DATA names it)"
    else:  # an older run
        why = "the files are others, or are read otherwise"
    return f"{name!r} had the fingerprint {then} then and has {now} now; {why}"


def _recorded(key: str, described: Mapping[str, Any] | None) -> Recorded | None:
    """What is recorded for that key; raises `UserError` where it is not what a run writes."""
    told = (described or {}).get("read_from", {})
    one = told.get(key) if isinstance(told, Mapping) else told
    if one is None or (isinstance(one, Mapping) and one.get("sha256") is None):
        return None
    if isinstance(one, Mapping):
        name, size, sha256 = one.get("name"), one.get("bytes"), one.get("sha256")
        files = one.get("files")
        if (
            isinstance(name, str)
            and _counts(size)
            and (files is None or _counts(files))
            and isinstance(sha256, str)
            and re.fullmatch("[0-9a-f]{64}", sha256)
        ):
            return Recorded(name, int(str(size)), sha256, files)
    raise UserError(
        "data.json says of every file its name, its bytes and its SHA-256, "
        f"but has {str(one)[:200]!r} (read_from.{key})"
    )


def _counts(value: Any) -> bool:
    return type(value) is int and value >= 1


def _same_content(key: str, path: str, known: Recorded, where: Sequence[Place]) -> str:
    """The path of what has the recorded content: as logged, if it is there."""
    names = {Path(path).name, known.name}
    others: dict[str, str] = {}
    seen: set[str] = set()
    for candidate in _candidates(path, names, known, where):
        real = os.path.realpath(candidate)
        if real in seen:
            continue
        seen.add(real)
        own = _look(candidate, known.files is not None)
        if own is None:
            if candidate.name in names and os.path.lexists(candidate):
                what = "regular file" if known.files is None else "folder of images"
                others[str(candidate)] = f"is no {what}"
            continue
        same_size = own.bytes == known.bytes and len(own.files) == (known.files or 1)
        if not same_size and candidate.name not in names:
            continue
        found = _sha256(own) if same_size or own.bytes <= LARGEST_SHOWN else None
        if same_size and found == known.sha256:
            return str(candidate)
        if candidate.name in names:
            files = len(own.files) if own.folder else None
            others[str(candidate)] = f"has {_told(own.bytes, found, files)}"
    kind = "file" if known.files is None else "folder"
    lines = [
        f"data.{key} names the {kind} {_shown(path)}, {known.told}, and nothing here has that "
        f"content; name it, or a folder that it is in: {CURE}"
    ]
    lines += [f"  {one} {what}" for one, what in list(others.items())[:SHOWN]]
    lines += [f"  and {len(others) - SHOWN} more of that name" if len(others) > SHOWN else ""]
    lines += ["  looked for in " + ", ".join(map(str, where))]
    lines += [f"  {place.cut}" if place.cut else "" for place in where]
    raise UserError("\n".join(filter(None, lines)))


def _candidates(
    path: str, names: set[str], known: Recorded, where: Sequence[Place]
) -> Iterator[Path]:
    """What may be it: as logged, then in each place by name, then the rest by size."""
    if "\0" not in path:
        yield Path(path)
    for place in where:
        if place.named or known.files is not None:
            yield place.path
        for by_name in (True, False):
            for entry in place.inside:
                if (entry.name in names) == by_name and _may_be(entry, known, by_name):
                    yield Path(entry.path)


def _may_be(entry: os.DirEntry[str], known: Recorded, by_name: bool) -> bool:
    """Is it a folder where one is wanted? Is it else of that name, or of that size and with an
    ending that is read in the same way?"""
    try:
        if entry.is_dir() or known.files is not None:
            return entry.is_dir() and known.files is not None
        if by_name:
            return True
        same_ending = Path(entry.name).suffix.lower() == Path(known.name).suffix.lower()
        return same_ending and entry.stat().st_size == known.bytes
    except OSError:  # a link that leads nowhere, or to itself
        return by_name


def _look(path: Path, folder: bool) -> Own | None:
    """What is at that path, none of it read; None where it is no regular file, or no folder of
    images."""
    try:
        if not folder:
            regular = stat.S_ISREG(path.stat().st_mode)
            return Own.of(path, fingerprint.look(path)) if regular else None
        files = [file for _, file, _ in found_in(path)] if path.is_dir() else []
        return Own.of(path, fingerprint.look(*files)) if files else None
    except (OSError, ValueError, LawError):  # ValueError: a NUL in the name
        return None


def _sha256(own: Own) -> str | None:
    """Of the content itself, whatever is remembered; None where it cannot be read."""
    try:
        with fingerprint.anew():
            return own.sha256
    except OSError:
        return None


def _told_by_the_user(
    key: str, path: str, where: Sequence[Place], folders: bool, *, only: bool
) -> str:
    """The path of what the user names, of an older run: by its name, or because it is all that is
    named."""
    name = Path(path).name
    named = [place for place in where if place.named]
    found = {
        os.path.realpath(one): one
        for place in named
        for one in [place.path, *(Path(entry.path) for entry in place.inside)]
        if one.name == name and one.is_dir() == folders
    }
    if not found and only and len(named) == 1 and named[0].is_folder == folders:
        found = {"": named[0].path}
    if len(found) == 1:
        (one,) = found.values()
        return str(one)
    what = ", ".join(map(str, list(found.values())[:SHOWN])) or "nothing of that name was named"
    raise UserError(
        f"data.{key} names {_shown(path)}, and the run did not record its content, so that it is "
        f"read only if you name it: {CURE} ({what})"
    )


def _told(size: int, sha256: str | None, files: int | None) -> str:
    counted = f"{files:,} files, " if files is not None else ""
    known = f" with the SHA-256 {sha256}" if sha256 else ""
    return f"{counted}{size:,} bytes{known}"


def _shown(path: str) -> str:
    return repr(path if len(path) <= 200 else f"{path[:200]}...")

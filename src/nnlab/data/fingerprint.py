"""Fingerprints: the SHA-256 of a data set's content, remembered for files that have not changed.

What is remembered is a file for each data set in the folder `fingerprints` of the data home. It is
believed where every file that the data were read from has the path, the size and the times (of the
last change of the content, and of anything) that it had, and was read in the same way by the same
code. Nobody can set the second time back but by setting the clock back, or by writing to the disk
beneath the file system. Small data are hashed faster than a memory is asked.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from hashlib import sha256
from pathlib import Path
from time import time_ns
from typing import Any, NamedTuple

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.home import home
from nnlab.data.view import Stored, View, chunks

FOLDER = "fingerprints"
WORTH = 1 << 25
"""Bytes from which on a fingerprint is remembered: less is hashed within some hundredths of a
second."""
RACY = 2_000_000_000
"""A file that was changed within so many ns may be changed again without another time."""
_READERS = ("numpy", "pyarrow", "pillow")
_believing: ContextVar[bool] = ContextVar("believing", default=True)


class File(NamedTuple):
    """A file, as it was when it was looked at."""

    path: str
    size: int
    written: int
    """When its content was changed, in ns."""
    changed: int
    """When anything of it was changed; nobody can set that."""
    racy: bool
    """Had it just been changed? Then it may change without another time."""


def look(*paths: Path) -> tuple[File, ...]:
    """The files as they are now: to be called before they are read."""
    return tuple(map(_look, paths))


def digest(
    *parts: Array | Stored | View | None, of: str, **named: Array | Stored | View | None
) -> str:
    """SHA-256 of a text and of the dtypes, shapes and bytes of arrays, and the names of some.

    Of arrays that may be None all but one need a name, or else one of them passes for another.
    """
    hashed = sha256(of.encode())
    for name, array in (*(("", part) for part in parts), *named.items()):
        if array is not None:
            hashed.update(f"{name}{array.dtype.str}{array.shape}".encode())
            for chunk in chunks(array):
                hashed.update(np.ascontiguousarray(chunk).data)
    return hashed.hexdigest()


def remembered(files: tuple[File, ...], reading: str, compute: Callable[[], str]) -> str:
    """The fingerprint of what was read from these files in that way, computed where it is not
    remembered. A memory that cannot be read is none, and one that cannot be written stays away."""
    path = (
        home() / FOLDER / sha256(repr([[one.path for one in files], reading]).encode()).hexdigest()
    )
    key = _key(files, reading)
    if _believing.get() and (known := _recall(path, key)):
        return known
    found = compute()
    now = look(*(Path(one.path) for one in files))
    if not any(one.racy for one in files) and _key(now, reading) == key:
        with suppress(OSError):
            _remember(path, key, found)
    return found


@contextmanager
def anew() -> Iterator[None]:
    """Every fingerprint is computed of the content, whatever is remembered: for who wants to prove
    that the data are the same."""
    token = _believing.set(False)
    try:
        yield
    finally:
        _believing.reset(token)


def _look(path: Path) -> File:
    now, status = time_ns(), path.stat()
    times = status.st_mtime_ns, status.st_ctime_ns
    return File(str(path.absolute()), status.st_size, *times, now - max(times) < RACY)


def _key(files: tuple[File, ...], reading: str) -> str:
    states = [one[:4] for one in files]
    return sha256(json.dumps([states, reading, _code()]).encode()).hexdigest()


@cache
def _code() -> list[Any]:
    """What reads files: this package's modules, as they are on disk, and the libraries."""
    modules = sorted(Path(__file__).parent.rglob("*.py"))
    states = [(Path(one.path).name, one.size, one.written) for one in look(*modules)]
    return [states, [_version(name) for name in _READERS]]


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _recall(path: Path, key: str) -> str | None:
    """The fingerprint in that file, if it is of that key and as it was written."""
    try:
        said = path.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    whole = len(said) == 3 and said[2] == _check(*said[:2])
    return said[1] if whole and said[0] == key and re.fullmatch("[0-9a-f]{64}", said[1]) else None


def _remember(path: Path, key: str, found: str) -> None:
    """Write the file aside and give it its name. It is not synced: what a crash makes of it is
    known by its check."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}-{os.getpid()}.new")
    try:
        aside.write_text(f"{key}\n{found}\n{_check(key, found)}\n", encoding="ascii")
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _check(key: str, found: str) -> str:
    return sha256(f"{key} {found}".encode()).hexdigest()

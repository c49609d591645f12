"""What of a run is in MLflow already: `mlflow.json` in its directory, for each tracker it went to.

Imports no MLflow: `nnlab sync`, `doctor` and `gc` look here first. To forget is harmless, for what
is sent again changes nothing; so an unreadable file counts as an empty one.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from nnlab.runs import atomic
from nnlab.runs.destination import own_database
from nnlab.runs.journal import Record, being_written
from nnlab.runs.past import JOURNAL

STATE, LOCK = "mlflow.json", "mlflow.lock"
PRIVATE = (STATE, LOCK)
"""Files of a run's directory that are the senders' own."""
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Sent:
    """How far a run has got in one tracker."""

    run: str = ""
    """MLflow's id of it; empty as long as it has none."""
    experiment: str = ""
    sent: int = 0
    """Records of the journal that were sent."""
    bytes: int = 0
    """And how long they are."""
    done: bool = False
    """Does MLflow have its end, after those records, and its artifacts?"""


def sent(path: Path, uri: str) -> Sent:
    """How far the run in that directory has got in that tracker."""
    try:
        return Sent(**_states(path)[_key(path, uri)])
    except (KeyError, TypeError):
        return Sent()


def complete(path: Path, uri: str) -> bool:
    """Was all that is in the run's journal sent to that tracker, its end included?"""
    state = sent(path, uri)
    return state.done and state.bytes == _size(path)


def remember(path: Path, uri: str, state: Sent) -> None:
    """Keep how far the run has got; only the one who claimed the run does."""
    text = json.dumps({**_states(path), _key(path, uri): asdict(state)}, indent=1)
    atomic.write(path / STATE, text.encode())


def claim(path: Path) -> IO[bytes] | None:
    """The right to send the run in that directory, until it is closed; None while another process
    has it."""
    lock = (path / LOCK).open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def being_sent(path: Path) -> bool:
    """Does a process send the run in that directory at the moment?"""
    return being_written(path / LOCK)


def destination(start: Record, store: Path) -> str | None:
    """Where a run that began so is shown: the URI that its config said, None for nowhere.

    The database of its own store is found in `store`, for that may have been moved.
    """
    uri, params = start.get("uri"), start["params"]
    own = params.get("store", params.get("experiment.store"))  # the latter of a study
    return own_database(store) if uri == own_database(own) else uri


def same_tracker(one: str, other: str) -> bool:
    """Do both URIs name the same database or server, seen from the working directory?"""
    return _absolute(one) == _absolute(other)


def sqlite_file(uri: str) -> Path | None:
    """The file of a local database; None for a server."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def _key(path: Path, uri: str) -> str:
    """The tracker's URI. A database in the run's own store is named from there, so that a store
    that is moved or copied as a whole keeps its memory; any other by its absolute path."""
    database = sqlite_file(uri)
    store = path.resolve().parents[1]
    if database is not None and database.resolve().is_relative_to(store):
        return f"{_SQLITE}{database.resolve().relative_to(store)}"
    return _absolute(uri)


def _absolute(uri: str) -> str:
    database = sqlite_file(uri)
    return uri.rstrip("/") if database is None else f"{_SQLITE}{database.resolve()}"


def _states(path: Path) -> Mapping[str, Any]:
    try:
        states = json.loads((path / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return states if isinstance(states, dict) else {}


def _size(path: Path) -> int:
    """The bytes of the journal's whole lines; what is torn behind them was never a record."""
    try:
        with (path / JOURNAL).open("rb") as file:
            end, length = file.seek(0, os.SEEK_END), 4096
            while True:
                start = file.seek(max(0, end - length))
                newline = file.read().rfind(b"\n")
                if newline >= 0 or not start:
                    return start + newline + 1
                length *= 8
    except OSError:
        return -1

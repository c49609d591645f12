"""Removing a run's directory: never one that is being written or sent, and never half of one."""

import shutil
from pathlib import Path

from nnlab.runs.journal import LockedError, lock
from nnlab.runs.past import JOURNAL
from nnlab.tracking.sent import claim

_MARK = ".removed"


def remove(path: Path) -> str | None:
    """Remove a run's directory; why it was not, or None.

    It takes a name of its own first, by which `sweep_up` knows what an interrupt left of it.
    """
    try:
        with (path / JOURNAL).open("rb") as journal:
            lock(journal, path / JOURNAL)
            sender = claim(path)
            if sender is None:
                return "it is being sent to MLflow"
            with sender:
                gone = path.rename(path.with_name(f".{path.name}{_MARK}"))
                shutil.rmtree(gone)
    except LockedError:
        return "it is being written"
    except FileNotFoundError:  # another one removes it
        return None
    return None


def sweep_up(store: Path) -> None:
    """Remove what interrupted removals left."""
    for path in (store / "runs").glob(f".*{_MARK}"):
        shutil.rmtree(path, ignore_errors=True)

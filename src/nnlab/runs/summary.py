"""What a run's directory says of it, all together, as plain data."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from nnlab.errors import UserError
from nnlab.runs.journal import JournalError, Record, being_written, read
from nnlab.runs.owner import Owner
from nnlab.runs.past import CONFIG, DIED, JOURNAL, Past
from nnlab.runs.plain import load
from nnlab.runs.run import HASHES

BEST = "nnlab.best_run"
"""The tag of a study that says its best trial's run."""


def summary(path: Path) -> dict[str, Any]:
    """What is known of the run in that directory; raises `UserError` if that cannot be read."""
    live = being_written(path / JOURNAL)  # before it is read: its end may come in between
    try:
        records = read(path / JOURNAL)
    except (JournalError, OSError) as error:
        raise UserError(str(error)) from error
    if not records:
        raise UserError(f"{path / JOURNAL} has no record")
    past = Past(records)
    start = past.start
    return {
        "run": start["run"],
        "name": start["name"],
        "kind": start["kind"],
        "parent": start["parent"],
        "members": past.members,
        "experiment": start["experiment"],
        **_state(past, records, live),
        "began": _when(start),
        "last_written": _when(records[-1]),
        "resumed": sum(record["type"] == "resumed" for record in records),
        **_progress(past),
        "trials": dict(Counter(one["state"] for one in records if one["type"] == "told")),
        "best": past.tags.get(BEST),
        "config": load(path / CONFIG) if (path / CONFIG).exists() else {},
        "data": _content(past.data) if past.data else None,
        "weights": past.tags.get(HASHES[0]),
        "averaged": past.tags.get(HASHES[1]),
        "tags": past.tags,
        "mlflow": None,
        "directory": str(path),
        "files": sorted(file.name for file in path.iterdir() if not file.name.startswith(".")),
    }


def _state(past: Past, records: list[Record], live: bool) -> dict[str, Any]:
    """RUNNING, how it ended, or OPEN: nobody writes it and nobody said how it ended."""
    if past.end is not None:
        return {
            "state": past.end["status"],
            "rule": past.end["rule"],
            "reason": past.end["reason"],
        }
    owner = Owner.of([one["owner"] for one in records if "owner" in one][-1])
    if live:
        return {"state": "RUNNING", "rule": None, "reason": f"{owner} writes it"}
    gone = owner.gone()
    if gone is None:
        return {"state": "OPEN", "rule": None, "reason": f"{owner} may go on with it"}
    return {"state": "OPEN", "rule": DIED["rule"], "reason": gone}


def _progress(past: Past) -> dict[str, Any]:
    last = past.reports[-1] if past.reports else None
    return {
        "evaluations": len(past.reports),
        "step": last.step if last else 0,
        "epoch": last.epoch if last else 0.0,
        "seconds": last.seconds if last else 0.0,
        "metrics": dict(last.metrics) if last else {},
    }


def _content(record: Record) -> Mapping[str, Any]:
    """A record without what the journal adds."""
    return {key: value for key, value in record.items() if key not in ("n", "time", "type", "crc")}


def _when(record: Record) -> str:
    """When it was written, in the time of this machine."""
    return datetime.fromtimestamp(record["time"] / 1000).astimezone().isoformat(" ", "seconds")

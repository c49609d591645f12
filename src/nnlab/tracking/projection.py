"""One run on its way from its journal into MLflow.

What was sent is remembered in the run's `mlflow.json`. Records carry their own timestamps, so
sending one again, after a failure whose outcome is unknown, changes nothing.
"""

import getpass
import json
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from mlflow.entities import Metric, Param, RunTag

from nnlab.plots.curves import learning_curves, save, search_history
from nnlab.runs.journal import JournalReader, Record, being_written, number
from nnlab.runs.run import JOURNAL
from nnlab.tracking.store import Store

STATE = "mlflow.json"
_NEW = f"{STATE}.new"
SEND_SECONDS = 1.0
_METRICS, _PARAMS, _TAGS = 1000, 100, 100  # MLflow's limits per batch
_PARAM_LENGTH = 6000  # MLflow cuts longer values without a word

Entry = TypeVar("Entry", Metric, Param, RunTag)


class Projection:
    """Follows a run's journal; call `advance` until it is `done`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run_id = ""
        self.experiment = ""
        self.done = False
        self._reader = JournalReader(path / JOURNAL)
        self._records: list[Record] = []
        self._sent = 0
        self._last_send = 0.0
        if (path / STATE).exists():
            state = json.loads((path / STATE).read_text(encoding="utf-8"))
            self.run_id, self.experiment = state["run"], state["experiment"]
            self._sent, self.done = state["sent"], state["done"]

    def advance(self, store: Store, *, last: bool) -> None:
        """Send what has come; raises what MLflow raises, and can be called again then.

        `last` says that who started the run is gone: a journal that nobody writes and that has
        no end record was left by a process that died, and its run is marked KILLED.
        """
        dead = last and not being_written(self.path / JOURNAL)
        while new := self._reader.poll():
            self._records += new
        if not self._records:
            self.done = dead
            return
        latest = self._records[-1]
        ended = latest if latest["type"] == "end" else None
        if dead and ended is None:
            ended = {
                "time": latest["time"],
                "status": "KILLED",
                "rule": "died",
                "reason": "the process died without a last word",
            }
        waited = time.monotonic() - self._last_send >= SEND_SECONDS
        unsent = self._sent < len(self._records)
        if ended or not self.run_id or (unsent and waited):
            self._create(store)
            self._send(store)
            self._last_send = time.monotonic()
        if ended:
            self._finish(store, ended)

    def abandon(self, store: Store, reason: str) -> None:
        """Send what was read and mark the run FAILED: its journal cannot be read any further."""
        if self._records:
            self._create(store)
            self._send(store)
            self._end(store, {"status": "FAILED", "rule": "damaged", "reason": reason})

    def _create(self, store: Store) -> None:
        """Make the run, unless an earlier attempt did."""
        if self.run_id:
            return
        start = self._records[0]
        self.experiment = store.experiment(start["experiment"])
        self.run_id = store.find(start["run"]) or self._new(store, start)
        self._remember()

    def _new(self, store: Store, start: Record) -> str:
        tags = {
            "nnlab.run": start["run"],
            "nnlab.kind": start["kind"],
            "mlflow.user": _user(),
            "mlflow.source.type": "LOCAL",
            "mlflow.source.name": f"nnlab {start['kind']}",
            **start["tags"],
        }
        if start["parent"]:
            parent = store.find(start["parent"])
            if parent is None:  # it will be tried again
                raise LookupError(f"its parent {start['parent']} is not in MLflow yet")
            tags["mlflow.parentRunId"] = parent
        return store.create(start["run"], self.experiment, start["time"], tags, start["name"])

    def _send(self, store: Store) -> None:
        metrics: list[Metric] = []
        params: list[Param] = []
        tags: list[RunTag] = []
        for record in self._records[self._sent :]:
            if record["type"] == "start":
                params += [Param(key, _fitting(value)) for key, value in record["params"].items()]
            elif record["type"] == "report":
                values = record["metrics"] | {"time/seconds": record["seconds"]}
                metrics += [
                    Metric(key, number(value), record["time"], record["step"])
                    for key, value in values.items()
                ]
            elif record["type"] == "tags":
                tags += [RunTag(key, value) for key, value in record["tags"].items()]
        for batch in zip_longest(
            _batches(params, _PARAMS),
            _batches(metrics, _METRICS),
            _batches(tags, _TAGS),
            fillvalue=(),
        ):
            store.client.log_batch(self.run_id, params=batch[0], metrics=batch[1], tags=batch[2])
        self._sent = len(self._records)
        self._remember()

    def _finish(self, store: Store, ended: Record) -> None:
        """Artifacts, the end state, and only then the status."""
        reports = [record for record in self._records if record["type"] == "report"]
        if len(reports) > 1:
            draw = search_history if self._records[0]["kind"] == "study" else learning_curves
            save(draw(reports), self.path / "curves.png")
        for file in sorted(self.path.iterdir()):
            if file.name not in (STATE, _NEW):
                store.client.log_artifact(self.run_id, str(file))
        self._end(store, ended)

    def _end(self, store: Store, ended: Record) -> None:
        tags = {
            "nnlab.status": ended["status"],
            "nnlab.stop_rule": ended["rule"],
            "nnlab.stop_reason": ended["reason"],
        }
        store.client.log_batch(self.run_id, tags=[RunTag(*tag) for tag in tags.items()])
        store.client.set_terminated(self.run_id, ended["status"], ended.get("time"))
        self.done = True
        self._remember()

    def _remember(self) -> None:
        state = {
            "run": self.run_id,
            "experiment": self.experiment,
            "sent": self._sent,
            "done": self.done,
        }
        (self.path / _NEW).write_text(json.dumps(state), encoding="utf-8")
        (self.path / _NEW).replace(self.path / STATE)


def _batches(entries: list[Entry], size: int) -> Iterator[list[Entry]]:
    """The entries in lists of that size at most."""
    for start in range(0, len(entries), size):
        yield entries[start : start + size]


def _fitting(value: str) -> str:
    if len(value) <= _PARAM_LENGTH:
        return value
    return f"{value[: _PARAM_LENGTH - 100]}... (cut; whole in the artifact config.yaml)"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"

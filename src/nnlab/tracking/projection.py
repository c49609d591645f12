"""One run on its way from its journal into MLflow.

What was sent is remembered in the run's directory (sent.py). Records carry their own timestamps,
so sending one again, after a failure whose outcome is unknown, changes nothing.
"""

import getpass
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import IO

from mlflow.entities import Dataset, DatasetInput, InputTag

from nnlab.errors import UserError, first_line
from nnlab.runs.atomic import ASIDE
from nnlab.runs.journal import JournalReader, Record, being_written
from nnlab.runs.owner import Owner
from nnlab.runs.past import JOURNAL, glance, owner_of, reap
from nnlab.tracking.entries import (
    LAST_WORDS,
    Entries,
    Translation,
    fitting_tag,
    last_words,
)
from nnlab.tracking.inputs import Input
from nnlab.tracking.pictures import draw
from nnlab.tracking.report import study_report
from nnlab.tracking.sent import PRIVATE, Sent, claim, remember, sent
from nnlab.tracking.store import Store

SEND_SECONDS = 1.0


class BusyError(Exception):
    """Another process is sending the run."""


class Projection:
    """Follows a run's journal; call `advance` until it is `done` or `left`."""

    def __init__(
        self, path: Path, store: Store, provide_picture: Callable[[Path], None] = draw
    ) -> None:
        """`provide_picture` returns when the picture of the run in a directory is there."""
        self.path = path
        found = glance(path)
        self.kind: str = found.start["kind"] if found else ""
        self.parent: str | None = found.start["parent"] if found else None
        """The id of the run that it is nested in."""
        self._provide_picture = provide_picture
        self.store = store
        self.done = False
        self.new = False
        """Was anything sent?"""
        self.left = ""
        """Why it is not followed any further, though it has no end."""
        self._claimed: IO[bytes] | None = None
        self._last_send = 0.0
        self._begin(Sent())

    @property
    def run_id(self) -> str:
        """MLflow's id of the run; empty before it has one."""
        return self._state.run

    @property
    def experiment(self) -> str:
        """MLflow's id of the run's experiment."""
        return self._state.experiment

    def advance(self, *, last: bool, waits: bool = False) -> None:
        """Send what has come; raises what MLflow raises, and can be called again then.

        `last` says that who started the run is gone: a journal that nobody writes and that has
        no end record was left by a process that died, and its run is marked KILLED. One that
        `waits` is not finished yet.

        Raises `BusyError` while another process sends the run.
        """
        self._claim()
        self._advance(last, waits)
        if self.done or self.left:
            self.close()

    def abandon(self, reason: str) -> None:
        """Send what was read and mark the run FAILED: its journal cannot be read any further."""
        self._claim()
        if self._records:
            self._send()
            ended = {"status": "FAILED", "rule": "damaged", "reason": reason}
            self._conclude({**ended, "time": self._records[-1]["time"]})

    def close(self) -> None:
        """Let other processes send the run."""
        if self._claimed is not None:
            self._claimed.close()
            self._claimed = None

    def _advance(self, last: bool, waits: bool) -> None:
        written = being_written(self.path / JOURNAL)  # before it is read: what it wrote is there
        self._read()
        if not self._records:
            self.done = last and not written
            return
        if last and not written and self._end is None:
            self._reap()
        over = not written and self._end is not None
        if over and self._state.done and not self._unsent:
            self.done = True
            return
        waited = monotonic() - self._last_send >= SEND_SECONDS
        if (over and not waits) or self.left or not self.run_id or (self._unsent and waited):
            self._send()
            self._last_send = monotonic()
        if over and self._end is not None and not waits:
            self._finish(self._end)

    @property
    def _unsent(self) -> bool:
        return self._state.sent < len(self._records)

    @property
    def _end(self) -> Record | None:
        """How the run ended, if it has; what came after an end that it went on from is no end."""
        latest = (r for r in reversed(self._records) if r["type"] in ("end", "resumed"))
        last = next(latest, None)
        return last if last and last["type"] == "end" else None

    def _begin(self, state: Sent) -> None:
        """Read from the first record, with this much sent."""
        self._state = state
        self._reader = JournalReader(self.path / JOURNAL)
        self._records: list[Record] = []
        self._translate, self._resumed = Translation(), False

    def _claim(self) -> None:
        """Be the only one who sends the run, from where the one before left it."""
        if self._claimed is not None or not self.path.exists():
            return
        claimed = claim(self.path)
        if claimed is None:
            raise BusyError("another process is sending it")
        try:
            state = sent(self.path, self.store.uri)
            # another database may be there now
            self._begin(state if state.run and self.store.has(state.run) else Sent())
        except BaseException:
            claimed.close()
            raise
        self._claimed = claimed

    def _read(self) -> None:
        while new := self._reader.poll():
            self._records += new

    def _reap(self) -> None:
        """Have the journal say that the process died, if it is known to have."""
        run = glance(self.path)
        if run is not None:
            reap(run)
        self._read()
        if self._end is None and not being_written(self.path / JOURNAL):
            self.left = f"{owner_of(self.path)} may go on with it"

    def _send(self) -> None:
        """Bring MLflow to where the journal is."""
        self._reader.sync()  # nothing is shown that could still be lost
        self._create()
        if not self._resumed:
            self._translate(self._records[: self._state.sent])  # what was sent before
            self._resumed = True
        self._log(self._translate(self._records[self._state.sent :]))
        self.new |= self._unsent
        self._remember(sent=len(self._records), bytes=self._reader.offset, done=False)

    def _log(self, entries: Entries) -> None:
        self.store.log(self.run_id, params=entries.params, points=entries.points, tags=entries.tags)
        if entries.inputs:
            self.store.client.log_inputs(self.run_id, [_dataset(one) for one in entries.inputs])
        for run, tags in entries.others.items():
            self._tell(run, tags)
        if entries.revived:
            for key in LAST_WORDS:
                self.store.remove_tag(self.run_id, key)
            self.store.client.set_tag(self.run_id, "nnlab.status", "RUNNING")
            self.store.client.update_run(self.run_id, "RUNNING")

    def _tell(self, run: str, tags: Mapping[str, str]) -> None:
        """Tag another run. Should the server refuse that (it is deleted, or for reading only), this
        run is no less complete; should it not answer, it is tried again."""
        try:
            self.store.log(run, tags=tags)
        except Exception as error:  # whatever MLflow, its database or its server raises
            if not self.store.reachable():
                raise
            print(f"run {run} could not be tagged: {first_line(error)}", file=sys.stderr)

    def _create(self) -> None:
        """Make the run, unless an earlier attempt did."""
        if self.run_id:
            return
        start = self._records[0]
        experiment = self.store.experiment(start["experiment"])
        run = self.store.find(start["run"]) or self._new(start, experiment)
        self._remember(run=run, experiment=experiment)

    def _new(self, start: Record, experiment: str) -> str:
        tags = {
            "nnlab.run": start["run"],
            "nnlab.kind": start["kind"],
            "mlflow.user": _user(),
            "mlflow.source.type": "LOCAL",
            "mlflow.source.name": f"nnlab {start['kind']}",
            **(Owner.of(start["owner"]).tags if "owner" in start else {}),  # for the doctor
            "nnlab.store": str(self.path.resolve().parents[1]),
            **{key: fitting_tag(value) for key, value in start["tags"].items()},
        }
        if start["parent"]:
            directory = self.path.with_name(start["parent"])
            parent = sent(directory, self.store.uri).run or self.store.find(start["parent"])
            if parent:
                tags["mlflow.parentRunId"] = parent
            elif (directory / JOURNAL).exists():  # it will be tried again
                raise LookupError(f"its parent {start['parent']} is not in MLflow yet")
        return self.store.create(start["run"], experiment, start["time"], tags, start["name"])

    def _finish(self, end: Record) -> None:
        """Artifacts, the end state, and only then the status."""
        self._provide_picture(self.path)
        if self._records[0]["kind"] == "study":
            with suppress(UserError, LookupError, ValueError):  # it must not keep the study out
                study_report(self.path, self._records, self.store.uri)
        files = [
            file
            for file in sorted(self.path.iterdir())
            if file.is_file() and file.name not in PRIVATE and file.suffix != ASIDE
        ]
        self.store.keep(self.run_id, files)
        self._conclude(end)
        self.store.remove_twins(self._records[0]["run"], self.run_id)
        self.done = self.new = True
        self._remember(done=True)

    def _conclude(self, end: Record) -> None:
        self.store.log(self.run_id, tags=last_words(end))
        self.store.client.set_terminated(self.run_id, end["status"], end["time"])

    def _remember(self, **what: str | int | bool) -> None:
        self._state = replace(self._state, **what)  # type: ignore[arg-type]
        remember(self.path, self.store.uri, self._state)


def _dataset(one: Input) -> DatasetInput:
    known = Dataset(one.name, one.digest, one.source_type, one.source, one.schema, one.profile)
    return DatasetInput(known, [InputTag(key, value) for key, value in one.tags.items()])


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"

"""A run: one directory that holds what happened, whatever happens.

<store>/runs/<id>/
  config.yaml         the resolved config
  environment.json    code, packages, BLAS, processor
  uncommitted.diff    where the code differed from its commit
  journal.jsonl       every report, and how the run ended
  data.json           what the data are, and how they are divided
  preparation.npz     what was learnt of them to prepare them
  checkpoints/        the last two states to go on from, until the run has ended
  weights.npz         final weights, raw and averaged
  traceback.txt       where the run raised
  preflight.txt       the card of `preflight=true`
  curves.png          the learning curves, drawn by the tracking process
"""

import json
import secrets
import shutil
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nnlab.core.arrays import Array
from nnlab.errors import UserError
from nnlab.runs import about, atomic, weights
from nnlab.runs.config import RunConfig
from nnlab.runs.destination import Tracking
from nnlab.runs.environment import Environment, capture
from nnlab.runs.journal import Journal, JournalError, LockedError
from nnlab.runs.owner import Owner
from nnlab.runs.past import CHECKPOINTS, CONFIG, ENVIRONMENT, JOURNAL, Past, glance, owner_of
from nnlab.runs.plain import Config, dump, flatten
from nnlab.training.report import Report
from nnlab.training.state import TrainingState
from nnlab.training.trainer import Training

WEIGHTS, DIFF = "weights.npz", "uncommitted.diff"
HASHES = (
    "nnlab.weights_sha256",
    "nnlab.averaged_sha256",
    "nnlab.data_sha256",
    "nnlab.batches_sha256",
)
"""The tags that say whether two runs are equal."""
PLUGINS = "nnlab.plugins"
"""The tag that names the plugins of a run that has any."""


class UnequalError(Exception):
    """What a resumed training measures again is not what was recorded."""


class Run:
    """A run being written, as a context: leaving it writes how the run ended.

    The status is FINISHED, or what `end` said; FAILED if an exception left the context (its
    traceback is kept), KILLED if that was an interrupt.
    """

    def __init__(
        self,
        store: Path,
        *,
        kind: str,
        name: str,
        tracking: Tracking,
        config: Config,
        tags: Mapping[str, str] | None = None,
        parent: str | None = None,
        environment: Environment | None = None,
        id: str | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """A new run. `kind` is train, study, trial, reproduction or member (one of several
        trainings); `parent` the id of the run that it is nested in; `id` its own, where somebody
        has chosen it with `new_id`; `more` what else its first record says."""
        self.id = id or new_id()
        self.name = f"{name}-{self.id[:4]}"
        self._ended: dict[str, Any] | None = None
        self.environment = environment or capture()
        facts, diff = self.environment.facts, self.environment.diff
        files = {CONFIG: dump(config), ENVIRONMENT: json.dumps(facts, indent=2), DIFF: diff or ""}
        self.path = new_directory(store / "runs" / self.id, files)
        start = {
            "run": self.id,
            "kind": kind,
            "name": self.name,
            "experiment": tracking.experiment,
            "uri": tracking.uri,
            "parent": parent,
            "owner": Owner.here().plain,
            "params": dict(flatten(config)),
            "tags": {
                "nnlab.version": facts["nnlab"],
                "nnlab.git_commit": str(facts["git"]["commit"]),
                "nnlab.git_dirty": str(facts["git"]["dirty"]),
                **({PLUGINS: ", ".join(facts["plugins"])} if facts.get("plugins") else {}),
                **(tags or {}),
            },
            **(more or {}),
        }
        self.past = Past([{"type": "start", **start}])
        self.journal = Journal(self.path / JOURNAL)
        self.journal.append("start", **start)

    @classmethod
    def reopen(cls, path: Path, environment: Environment | None = None) -> Self:
        """The run in that directory, to go on with; `past` is what it did until now. Nothing is
        written before the context is entered.

        Raises `UserError` if a living process writes it or its journal cannot be read.
        """
        run = cls.__new__(cls)
        try:
            run.journal = Journal.reopen(path / JOURNAL)
        except LockedError as error:
            run_now = glance(path)
            who = f"{run_now} is being written by {owner_of(path)}" if run_now else str(error)
            raise UserError(who) from error
        except (JournalError, OSError) as error:
            raise UserError(str(error)) from error
        run.path = path
        if not run.journal.past:
            run.journal.close()
            raise UserError(f"{path / JOURNAL} has no record; there is nothing to go on with")
        run.past = Past(run.journal.past)
        run.id, run.name = run.past.start["run"], run.past.start["name"]
        run.environment = environment or capture()
        run._ended = None
        return run

    @classmethod
    def of(
        cls,
        config: RunConfig,
        kind: str,
        tags: Mapping[str, str] | None = None,
        parent: str | None = None,
        environment: Environment | None = None,
        name: str | None = None,
        id: str | None = None,
    ) -> "Run":
        """A run of one experiment, named by what it is unless told: `digits-mlp-momentum`."""
        plain = config.plain
        parts = (str(plain[group]["name"]) for group in ("data", "model", "optimizer"))
        return cls(
            config.store,
            kind=kind,
            name=name or "-".join(parts),
            tracking=config.tracking,
            config=plain,
            tags=tags,
            parent=parent,
            environment=environment,
            id=id,
        )

    def record(self, reports: Iterable[Report]) -> Iterator[Report]:
        """The same reports, each in the journal before it is passed on.

        Those that a resumed run measures again must be equal to what is there, and are passed on
        as they are there; raises `UnequalError`.
        """
        recorded = self.past.reports
        for k, new in enumerate(reports):
            report = new
            if k < len(recorded):
                report = recorded[k]
                _check_equal(report, new)
            else:
                stop = {"stop": vars(report.stop)} if report.stop else {}
                self.journal.append(
                    "report",
                    step=report.step,
                    metrics={**report.metrics, "epoch": report.epoch},
                    seconds=report.seconds,
                    **stop,
                )
            if report.stop:
                status = "FAILED" if report.stop.diverged else "FINISHED"
                self.end(status, report.stop.rule, report.stop.reason)
            yield report

    def keep_weights(self, training: Training, state: TrainingState) -> dict[str, str]:
        """Save the weights and tag the run with their hashes, which are returned."""
        network, raw = training.network, (state.theta, state.buffers)
        averaged = training.averaged(state), training.averaged_buffers(state)
        weights.save(self.path / WEIGHTS, network, raw, averaged)
        digests = weights.digest(*raw), weights.digest(*averaged)
        others = training.splits.fingerprint, state.batches.tobytes().hex()
        hashes = dict(zip(HASHES, digests + others, strict=True))
        self.tag(hashes)
        return hashes

    def keep_data(self, description: Mapping[str, Any], fitted: Mapping[str, Array]) -> None:
        """Say what the data are, and keep what was learnt to prepare them; once."""
        if self.past.data is None:
            self.journal.rest_on(*about.keep(self.path, description, fitted))
            self.journal.append("data", **description)

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints."""
        return self.path / CHECKPOINTS

    def tag(self, tags: Mapping[str, str]) -> None:
        """Add tags."""
        self.journal.append("tags", tags=dict(tags))

    @property
    def ended(self) -> bool:
        """Is it known how the run ended?"""
        return self._ended is not None

    def end(self, status: str, rule: str, reason: str) -> None:
        """Say how the run ended; it is written when the context is left."""
        self._ended = {"status": status, "rule": rule, "reason": reason}

    def __enter__(self) -> Self:
        if self.journal.past:
            self.journal.append("resumed", owner=Owner.here().plain)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            reason = " by ".join(filter(None, ("interrupted", str(error))))
            self.end("KILLED", "interrupted", reason)
        elif error is not None:
            text = "".join(traceback.format_exception(error))
            with suppress(OSError):  # it must not hide the error, nor the end
                (self.path / "traceback.txt").write_text(text, encoding="utf-8")
            self.end("FAILED", "raised", f"{type(error).__name__}: {error}")
        ended = self._ended or {"status": "FINISHED", "rule": "done", "reason": "done"}
        if error is None:
            self.journal.conclude("end", **ended)
            shutil.rmtree(self.checkpoints, ignore_errors=True)
            return
        with suppress(JournalError):  # nor must this
            self.journal.conclude("end", **ended)


def new_id() -> str:
    """An id that no run has: 48 random bits."""
    return secrets.token_hex(6)


def new_directory(path: Path, files: Mapping[str, str]) -> Path:
    """A directory that was not there before, made with its parents, and what is in it: the files
    that are not empty. All of it or nothing. A run's journal syncs the names in it, and its own."""
    made = False
    try:
        path.mkdir(parents=True)
        made = True
        written = {
            path / name: text.encode(errors="surrogateescape")
            for name, text in files.items()
            if text
        }
        for file, content in written.items():
            file.write_bytes(content)
        for file in written:  # all are written: the disk may take them together
            atomic.sync_file(file)
    except BaseException as error:
        if made:
            shutil.rmtree(path, ignore_errors=True)
        if not isinstance(error, OSError):
            raise
        raise UserError(
            "store must be a folder that can be written, "
            f"but {path.parent} cannot be: {error.strerror} (store)"
        ) from error
    return path


def _check_equal(then: Report, now: Report) -> None:
    if then is now:
        return
    old = {**then.metrics, "step": then.step, "epoch": then.epoch}
    new = {**now.metrics, "step": now.step, "epoch": now.epoch}
    for key in dict.fromkeys((*old, *new)):
        before, after = old.get(key), new.get(key)
        if before != after and not (before != before and after != after):  # NaN is as NaN was
            raise UnequalError(
                f"{key} at step {then.step} was {before!r} and is now {after!r}: the code, the "
                "data or the machine is another one, so this run cannot go on; start a new one"
            )

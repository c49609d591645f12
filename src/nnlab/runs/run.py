"""A run: one directory that holds what happened, whatever happens.

<store>/runs/<id>/
  config.yaml         the resolved config
  environment.json    code, packages, BLAS, processor
  uncommitted.diff    where the code differed from its commit
  journal.jsonl       every report, and how the run ended
  weights.npz         final weights, raw and averaged
  traceback.txt       where the run raised
  preflight.txt       the card of `preflight=true`
  curves.png          the learning curves, drawn by the tracking process
"""

import json
import secrets
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nnlab.errors import UserError
from nnlab.runs import weights
from nnlab.runs.config import RunConfig
from nnlab.runs.environment import Environment, capture
from nnlab.runs.journal import Journal
from nnlab.runs.plain import Config, dump, flatten
from nnlab.training.report import Report
from nnlab.training.trainer import Training, TrainingState

JOURNAL, CONFIG, ENVIRONMENT = "journal.jsonl", "config.yaml", "environment.json"


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
        experiment: str,
        config: Config,
        tags: Mapping[str, str] | None = None,
        parent: str | None = None,
        environment: Environment | None = None,
    ) -> None:
        """`kind` is train, study, trial, reproduction or member (one of several trainings);
        `parent` the id of the run that it is nested in."""
        self.id = secrets.token_hex(6)
        self.name = f"{name}-{self.id[:4]}"
        self.path = new_directory(store / "runs" / self.id)
        self._ended: dict[str, Any] | None = None
        self.environment = environment or capture()
        facts = self.environment.facts
        (self.path / CONFIG).write_text(dump(config), encoding="utf-8")
        (self.path / ENVIRONMENT).write_text(json.dumps(facts, indent=2), encoding="utf-8")
        if self.environment.diff:
            (self.path / "uncommitted.diff").write_text(self.environment.diff, encoding="utf-8")
        self.journal = Journal(self.path / JOURNAL)
        self.journal.append(
            "start",
            run=self.id,
            kind=kind,
            name=self.name,
            experiment=experiment,
            parent=parent,
            params=dict(flatten(config)),
            tags={
                "nnlab.version": facts["nnlab"],
                "nnlab.git_commit": str(facts["git"]["commit"]),
                "nnlab.git_dirty": str(facts["git"]["dirty"]),
                **(tags or {}),
            },
        )

    @classmethod
    def of(
        cls,
        config: RunConfig,
        kind: str,
        tags: Mapping[str, str] | None = None,
        parent: str | None = None,
        environment: Environment | None = None,
        name: str | None = None,
    ) -> "Run":
        """A run of one experiment, named by what it is unless told: `digits-mlp-momentum`."""
        plain = config.plain
        parts = (str(plain[group]["name"]) for group in ("data", "model", "optimizer"))
        return cls(
            config.store,
            kind=kind,
            name=name or "-".join(parts),
            experiment=config.tracking.experiment,
            config=plain,
            tags=tags,
            parent=parent,
            environment=environment,
        )

    def record(self, reports: Iterable[Report]) -> Iterator[Report]:
        """The same reports, each in the journal before it is passed on."""
        for report in reports:
            self.journal.append(
                "report",
                step=report.step,
                metrics={**report.metrics, "epoch": report.epoch},
                seconds=report.seconds,
            )
            if report.stop:
                status = "FAILED" if report.stop.diverged else "FINISHED"
                self.end(status, report.stop.rule, report.stop.reason)
            yield report

    def keep_weights(self, training: Training, state: TrainingState) -> dict[str, str]:
        """Save the weights and tag the run with their hashes, which are returned."""
        network, raw = training.network, (state.theta, state.buffers)
        averaged = training.averaged(state), training.averaged_buffers(state)
        weights.save(self.path / "weights.npz", network, raw, averaged)
        hashes = {
            "nnlab.weights_sha256": weights.digest(*raw),
            "nnlab.averaged_sha256": weights.digest(*averaged),
            "nnlab.data_sha256": training.splits.fingerprint,
        }
        self.tag(hashes)
        return hashes

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
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            self.end("KILLED", "interrupted", "interrupted")
        elif error is not None:
            text = "".join(traceback.format_exception(error))
            with suppress(OSError):  # it must not hide the error, nor the end
                (self.path / "traceback.txt").write_text(text, encoding="utf-8")
            self.end("FAILED", "raised", f"{type(error).__name__}: {error}")
        ended = self._ended or {"status": "FINISHED", "rule": "done", "reason": "done"}
        try:
            self.journal.append("end", **ended)
        finally:
            self.journal.close()


def new_directory(path: Path) -> Path:
    """A directory that was not there before, made with its parents."""
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise UserError(
            "store must be a folder that can be written, "
            f"but {path.parent} cannot be: {error.strerror} (store)"
        ) from error
    return path

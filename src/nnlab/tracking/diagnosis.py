"""What is wrong between disk and MLflow: runs that died, damage, and where the two disagree."""

import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from nnlab.runs.damage import damage
from nnlab.runs.destination import own_database
from nnlab.runs.journal import Record, being_written
from nnlab.runs.past import DIED, JOURNAL, Glance, directories, glance, owner_of
from nnlab.tracking.known import Known, NotCheckedError, UnreadableError, known
from nnlab.tracking.sent import being_sent, complete, destination, same_tracker

YOUNG_SECONDS = 60.0
"""A directory without a journal may be that of a run that is just beginning."""


class What(Enum):
    """What can be wrong: how it is called."""

    DIED = "died"
    STALE = "RUNNING in MLflow, but ended"
    GONE = "RUNNING in MLflow, but gone"
    DAMAGED = "damaged"
    EMPTY = "no journal"
    OPEN = "no end"
    COPY = "a copy"
    UNSENT = "not in MLflow"
    UNCLEAR = "RUNNING in MLflow, no journal"
    AWAY = "MLflow not read"
    ELSEWHERE = "runs elsewhere"
    NOT_CHECKED = "MLflow not checked"


MENDED = (What.DIED, What.STALE, What.GONE)
"""What the doctor can mend."""
NOTES = (What.ELSEWHERE, What.NOT_CHECKED)
"""What is said, and needs no attention."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or not known to be right."""

    what: What
    name: str
    detail: str
    path: Path | None = None
    """The run's directory."""
    uri: str | None = None
    """The tracker."""
    known: Known | None = None
    """The run there, where the tracker is to be told how it ended."""
    end: Record = field(default_factory=dict)
    """How it ended, by its journal or by what shows that it did."""


@dataclass(frozen=True)
class Diagnosis:
    """What was looked at, and what was found."""

    runs: int
    findings: list[Finding]

    def of(self, *kinds: What) -> list[Finding]:
        """The findings of some kinds."""
        return [finding for finding in self.findings if finding.what in kinds]

    @property
    def attention(self) -> list[Finding]:
        """Those that need it."""
        return [finding for finding in self.findings if finding.what not in NOTES]


def diagnose(store: Path, only: str | None = None) -> Diagnosis:
    """Look at every run of the store and at the trackers that they name, or at `only` this one."""
    runs: dict[str, Glance] = {}
    findings = list(_empty(store))
    for path in directories(store):
        run = glance(path)
        findings += _on_disk(path, run)
        if run is not None and run.own:
            runs[path.name] = run
    shown = {name: only or destination(run.start, store) for name, run in runs.items()}
    for uri in [only] if only else _trackers(store, shown.values()):
        here = [run for name, run in runs.items() if (to := shown[name]) and same_tracker(to, uri)]
        findings += _in_tracker(store, uri, here)
    order = list(What)
    findings.sort(key=lambda finding: (order.index(finding.what), finding.name))
    return Diagnosis(len(runs), findings)


def _trackers(store: Path, shown: Iterable[str | None]) -> list[str]:
    """The trackers that runs are shown in, and the store's own database if it is there."""
    own = own_database(store)
    found = {uri for uri in shown if uri}
    if not any(same_tracker(uri, own) for uri in found) and (store / "mlflow.db").exists():
        found.add(own)
    return sorted(found)


def _empty(store: Path) -> Iterator[Finding]:
    """Directories in which no journal was begun."""
    folder = store / "runs"
    for path in folder.iterdir() if folder.is_dir() else ():
        hidden = path.name.startswith(".")
        if path.is_dir() and not hidden and not (path / JOURNAL).exists() and not _young(path):
            yield Finding(What.EMPTY, str(path), "nothing was recorded in it", path)


def _on_disk(path: Path, run: Glance | None) -> Iterator[Finding]:
    """What is wrong with a run by its directory alone."""
    wrong = damage(path / JOURNAL)
    if wrong:
        yield Finding(What.DAMAGED, str(path / JOURNAL), wrong, path)
    elif run is None:
        if not being_written(path / JOURNAL) and not _young(path):
            yield Finding(What.EMPTY, str(path), "its journal has no start", path)
    elif not run.own:
        yield Finding(What.COPY, str(path), f"it holds run {run.start['run']}", path)
    elif not run.ended and not run.live:
        owner = owner_of(path)
        gone = owner.gone()
        if gone:
            yield Finding(What.DIED, str(run), f"{gone}, and nobody holds its lock", path)
        else:
            yield Finding(What.OPEN, str(run), f"{owner} may still write it", path)


def _in_tracker(store: Path, uri: str, runs: Sequence[Glance]) -> Iterator[Finding]:
    """What a tracker lacks of these runs, and what it believes of runs that is not so."""
    over = {run.start["run"]: run for run in runs if run.ended and not run.live}
    over = {name: run for name, run in over.items() if not being_sent(run.path)}
    sent = {name: run for name, run in over.items() if complete(run.path, uri)}
    for name, run in over.items():
        if name not in sent:
            lacking = f"{uri} has it not, or not all of it"
            yield Finding(What.UNSENT, str(run), lacking, run.path, uri, end=run.last)
    try:
        there = known(uri)  # after all that: a run that was completely sent is not RUNNING there
    except UnreadableError as error:
        kind = What.NOT_CHECKED if isinstance(error, NotCheckedError) else What.AWAY
        yield Finding(kind, uri, str(error))
        return
    for name in sent.keys() - {one.run for one in there}:
        yield Finding(What.UNSENT, str(sent[name]), f"{uri} has it no more", sent[name].path)
    for one in there:
        if one.status != "RUNNING" or one.stage == "deleted":
            continue
        if one.run in sent:
            run = sent[one.run]
            said = f"it is {run.last['status']} by its journal"
            yield Finding(What.STALE, str(run), said, run.path, uri, one, run.last)
        elif not (store / "runs" / one.run / JOURNAL).exists():
            yield from _without_journal(one, uri, store)


def _without_journal(run: Known, uri: str, store: Path) -> Iterator[Finding]:
    """A run that a tracker has as RUNNING and whose journal is not here."""
    gone, name = run.owner.gone(), f"{run.name} (run {run.run})"
    home = run.tags.get("nnlab.store")
    if home and home != str(store.resolve()):
        yield Finding(What.ELSEWHERE, name, f"its journal is in {home}")
    elif gone:
        evidence = f"{gone}, and so is its journal"
        end = {**DIED, "evidence": evidence}
        yield Finding(What.GONE, name, evidence, uri=uri, known=run, end=end)
    elif not run.owner.pid:
        yield Finding(What.UNCLEAR, name, f"nobody says which process wrote it; see {uri}")
    elif run.owner.host != platform.node():
        yield Finding(What.ELSEWHERE, name, f"it is {run.owner}'s")


def _young(path: Path) -> bool:
    """May it be the directory of a run that is just beginning?"""
    return time.time() - path.stat().st_mtime < YOUNG_SECONDS

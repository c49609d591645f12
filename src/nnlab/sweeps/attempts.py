"""What a driver that is gone left of a trial, and the last word on an attempt that failed."""

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nnlab.runs.journal import (
    Journal,
    JournalError,
    JournalReader,
    LockedError,
    being_written,
    read,
)
from nnlab.runs.past import CHECKPOINTS, JOURNAL, TRIAL_STATE, Past
from nnlab.sweeps.trial import Evaluation, Outcome, outcome_of
from nnlab.training.report import Report

WAIT_SECONDS = 5.0
"""How long a process whose driver is gone is waited for: it ends by itself unless it is stopped."""


@dataclass(frozen=True)
class Left:
    """A trial's run that was begun: what it reported, and how it ended if it came to its end."""

    reports: list[Report]
    members: list[Past]
    """Its seeds and folds, where there are several."""
    outcome: Outcome | None

    def evaluations(self) -> Iterator[Evaluation]:
        """Its reports, with what its members had measured then: the last that each of them had."""
        for k, report in enumerate(self.reports):
            latest = [member.reports[: k + 1][-1].metrics for member in self.members]
            yield Evaluation(report, tuple(latest))


def left(path: Path) -> Left | None:
    """What is there of an attempt at a trial, whose run has that directory; None where nothing is:
    also where the process was killed before its first record, whose directory is removed then.

    Raises `LockedError` if a living process goes on writing it, `JournalError` if it is damaged.
    """
    until = time.monotonic() + WAIT_SECONDS
    while being_written(path / JOURNAL):
        if time.monotonic() >= until:
            raise LockedError(f"{path / JOURNAL} is still being written")
        time.sleep(0.02)
    records = JournalReader(path / JOURNAL).rest()
    if not records:
        shutil.rmtree(path, ignore_errors=True)
        return None
    past = Past(records)
    members = [Past(read(path.with_name(member) / JOURNAL)) for member in past.members]
    return Left(past.reports, members, outcome_of(past))


def settle(path: Path, reason: str) -> None:
    """Say in the journal of a trial's run, whose process is gone, that the trial FAILED, unless it
    says so: the process was killed, or could not say more. So are its members' ends said."""
    with suppress(JournalError, OSError):  # not there, or damaged: the study has the truth
        past = _settled(path, {TRIAL_STATE: "FAILED"}, reason)
        for member in past.members:
            with suppress(JournalError, OSError):
                _settled(path.with_name(member), {}, reason)


def _settled(path: Path, tags: dict[str, str], reason: str) -> Past:
    journal = Journal.reopen(path / JOURNAL)
    if not journal.past:
        journal.close()
        raise JournalError(f"{path / JOURNAL} has no record")
    past = Past(journal.past)
    said = past.tags.items() >= tags.items()
    if past.end is not None and said:
        journal.close()
        return past
    if past.end is not None:
        journal.append("resumed", owner=past.start["owner"])
    if not said:
        journal.append("tags", tags=tags)
    journal.conclude("end", status="FAILED", rule="failed", reason=reason)
    shutil.rmtree(path / CHECKPOINTS, ignore_errors=True)
    return past

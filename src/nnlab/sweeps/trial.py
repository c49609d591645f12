"""A trial: one config run in a child process. It knows nothing of Optuna or MLflow."""

import math
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import cast

from nnlab.errors import UserError
from nnlab.plugins import EditedError, load_same
from nnlab.runs.config import RunConfig, parse
from nnlab.runs.environment import Environment
from nnlab.runs.execution import Execution
from nnlab.runs.interrupts import Halt, heed
from nnlab.runs.journal import JournalError
from nnlab.runs.past import TRIAL_STATE, Past
from nnlab.runs.plain import Config
from nnlab.runs.run import Run, UnequalError
from nnlab.training.repeats import CI95, SE
from nnlab.training.report import Report
from nnlab.training.stack import Stack
from nnlab.training.trainer import Training

LISTEN_SECONDS = 0.05
"""How long an answer is waited for before it is seen whether a signal came."""


@dataclass(frozen=True)
class Job:
    """What a slot is asked to run: one attempt at a trial."""

    number: int
    config: Config
    study: str
    """The run id of the study."""
    environment: Environment
    run: str
    """The id of its run, which the study's journal has already."""
    resume: bool = False
    """Is that run there, to be gone on with?"""
    timeout: float = math.inf
    """Seconds after which it is stopped."""
    plugins: Mapping[str, str] = field(default_factory=dict)
    """The modules that are to be loaded, each with the hash of its source files."""


@dataclass(frozen=True)
class Started:
    """The trial has a run directory of this id; a nested one is that of a seed or a fold."""

    run: str
    nested: bool = False


@dataclass(frozen=True)
class Evaluation:
    """What the trial measured: its report, and the metrics of each of its seeds and folds, of which
    that is the mean."""

    report: Report
    members: tuple[Mapping[str, float], ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: COMPLETE, PRUNED, FAILED (its value is then None), KILLED, or LOST: its
    run cannot be gone on with, and another one is to be begun."""

    state: str
    reason: str
    run: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    certain: bool = False
    """Would another attempt end the same way? So it is where the config alone decided."""
    memory: int = 0
    """The most that its process had, in bytes; 0 where that is not known."""


def run_trial(job: Job, channel: Connection) -> None:
    """Run the job; talk over the channel.

    What is sent: `Started`, an `Evaluation` for each report, the `Outcome`. Each evaluation is
    answered: True to go on, False to stop here. SIGTERM ends it at a safe point, to be resumed.
    """
    begin_process()
    attempt = Attempt(job)
    try:
        heed()
        said = attempt.start()
        while not isinstance(said, Outcome):
            answer = None
            if said:
                channel.send(said)
            if not isinstance(said, Started) and channel.poll(LISTEN_SECONDS):
                answer = channel.recv()
            said = attempt.go_on(answer)
    except KeyboardInterrupt as error:
        said = attempt.raised(error)
    channel.send(said)


def begin_process() -> None:
    """What the process of a trial does first: it ends with the driver, and when that says so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides
    threading.Thread(target=_die_with_parent, daemon=True).start()


Said = Started | Evaluation | None
"""What an attempt says; None while it waits for an answer."""


class Attempt:
    """An attempt at a trial, a step at a time. After each evaluation it is to be answered."""

    def __init__(self, job: Job, halt: Halt | None = None, stack: Stack | None = None) -> None:
        """With a `stack` it trains together with those in it that are like it, and shares the
        process's `halt` with them."""
        self.job = job
        self._halt = halt
        self._stack = stack
        self._execution: Execution | None = None
        self._begun: str | None = None
        self._going = self._run()

    @property
    def training(self) -> Training | None:
        """The first of its trainings; None before they are made."""
        return self._execution.members[0].training if self._execution else None

    def start(self) -> Said | Outcome:
        """Begin, until it says something."""
        return self._next(lambda: next(self._going))

    def go_on(self, answer: bool | None) -> Said | Outcome:
        """Go on until it says something more: `answer` says whether it may after its evaluation,
        and is None where nobody has said it yet."""
        return self._next(lambda: self._going.send(answer))

    def raised(self, error: BaseException) -> Outcome:
        """How it ends where that is raised in the midst of it."""
        return cast(Outcome, self._next(lambda: self._going.throw(error)))

    def _next(self, step: Callable[[], Said]) -> Said | Outcome:
        try:
            return step()
        except StopIteration as end:
            outcome: Outcome = end.value
        except KeyboardInterrupt as error:
            outcome = Outcome("KILLED", f"interrupted by {error}")
        except (UnequalError, EditedError) as error:
            outcome = Outcome("LOST", str(error))
        except Exception as error:
            certain = isinstance(error, UserError)
            outcome = Outcome("FAILED", f"{type(error).__name__}: {error}", certain=certain)
        if self._stack and self.training:
            self._stack.leave(self.training)
        return replace(outcome, run=self._begun, memory=_peak())

    def _prepared(self, checked: RunConfig) -> Execution:
        """Its execution, in the stack where it can be."""
        like = self._stack.like(checked.experiment) if self._stack else None
        execution = Execution(checked, halt=self._halt, like=like)
        if self._stack:
            (member,) = execution.members
            self._stack.join(member.training, member.state, member.pause)
        return execution

    def _run(self) -> Generator[Said, bool | None, Outcome]:
        job = self.job
        load_same(job.plugins)
        checked = parse(job.config)
        execution = self._execution = self._prepared(checked)
        try:
            run = _opened(job, checked, execution)
        except UserError as error:
            if not job.resume:
                raise
            return Outcome("LOST", str(error))
        self._begun = run.id
        last: Report | None = None
        pruned = False
        with run, _tagged(run):
            run.journal.sync()  # whatever becomes of this process, its run has a beginning
            yield Started(run.id)
            if checked.preflight and not run.past.reports:
                execution.preflight(run)
            nested: list[Run] = []
            with execution.recorded(run, nested.append) as reports:
                for one in nested:
                    yield Started(one.id, nested=True)
                for last in reports:
                    members = tuple(one.metrics for one in execution.latest)
                    answer = yield Evaluation(last, members)
                    while answer is None:
                        execution.heed()
                        answer = yield None
                    pruned = not answer and last.stop is None
                    if pruned:
                        ended = "FINISHED", "pruned", f"worse than its peers at step {last.step}"
                        run.end(*ended)
                        execution.end(*ended)
                        break
                execution.keep_weights(run)
            outcome = _outcome(last, pruned)
            run.tag({TRIAL_STATE: outcome.state})
        return outcome


def outcome_of(past: Past) -> Outcome | None:
    """How a trial's run ended, by its journal; None if it has not come to an end of its own."""
    state, last = past.tags.get(TRIAL_STATE, ""), past.reports[-1] if past.reports else None
    over = past.end is not None and (not past.resumable or past.end["rule"] == "raised")
    if past.end is None or not over or state not in ("COMPLETE", "PRUNED", "FAILED"):
        return None
    diverged = last is not None and last.stop is not None and last.stop.diverged
    metrics = last.metrics if last else {}
    return Outcome(state, past.end["reason"], past.start["run"], metrics, certain=diverged)


def _opened(job: Job, checked: RunConfig, execution: Execution) -> Run:
    """The job's run: a new one of its id, or the one that was interrupted.

    Raises `UserError` where that cannot be gone on with."""
    if not job.resume:
        tags = {"nnlab.study": job.study, "nnlab.trial": str(job.number)}
        name = f"trial-{job.number:03}"
        return Run.of(checked, "trial", tags, job.study, job.environment, name, job.run)
    run = Run.reopen(checked.store / "runs" / job.run, job.environment)
    try:
        execution.restore(run)
    except UserError:
        run.journal.close()
        raise
    return run


@contextmanager
def _tagged(run: Run) -> Iterator[None]:
    """Tag the run of a trial that does not come to its end."""
    try:
        yield
    except BaseException as error:
        state = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        with suppress(JournalError):  # it must not hide the error
            run.tag({TRIAL_STATE: state})
        raise


def _outcome(last: Report | None, pruned: bool) -> Outcome:
    assert last is not None
    if pruned:
        reason = f"worse than its peers at step {last.step}"
        return Outcome("PRUNED", reason, metrics=last.metrics)
    assert last.stop is not None
    values = (last.metrics[key] for key in last.metrics if not key.startswith((SE, CI95)))
    failed = last.stop.diverged or not all(map(math.isfinite, values))
    state = "FAILED" if failed else "COMPLETE"
    return Outcome(state, last.stop.reason, metrics=last.metrics, certain=failed)


def _peak() -> int:
    """The most memory that this process has had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)

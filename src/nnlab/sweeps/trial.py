"""A trial: one config run in a child process. It knows nothing of Optuna or MLflow."""

import math
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait

from nnlab.runs.config import parse
from nnlab.runs.environment import Environment
from nnlab.runs.execution import Execution
from nnlab.runs.interrupts import heed
from nnlab.runs.journal import JournalError
from nnlab.runs.past import TRIAL_STATE
from nnlab.runs.plain import Config
from nnlab.runs.run import Run
from nnlab.training.repeats import CI95, SE
from nnlab.training.report import Report

_LISTEN_SECONDS = 0.05


@dataclass(frozen=True)
class Job:
    """What a slot is asked to run."""

    number: int
    config: Config
    study: str
    """The run id of the study."""
    environment: Environment


@dataclass(frozen=True)
class Started:
    """The trial has a run directory of this id; a nested one is that of a seed or a fold."""

    run: str
    nested: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: COMPLETE, PRUNED, FAILED (its value is then None) or KILLED."""

    state: str
    reason: str
    run: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


def run_trial(job: Job, channel: Connection) -> None:
    """Run the job; talk over the channel.

    What is sent: `Started`, a `Report` for each evaluation, the `Outcome`. Each report is
    answered: True to go on, False to stop here. SIGTERM ends it at a safe point, to be resumed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides
    threading.Thread(target=_die_with_parent, daemon=True).start()
    run_id = None
    try:
        heed()
        checked = parse(job.config)
        execution = Execution(checked)
        tags = {"nnlab.study": job.study, "nnlab.trial": str(job.number)}
        last: Report | None = None
        pruned = False
        with (
            Run.of(
                checked, "trial", tags, job.study, job.environment, f"trial-{job.number:03}"
            ) as run,
            _tagged(run),
        ):
            run_id = run.id
            channel.send(Started(run.id))

            def started(nested: Run) -> None:
                channel.send(Started(nested.id, nested=True))

            if checked.preflight:
                execution.preflight(run)
            with execution.recorded(run, started) as reports:
                for last in reports:
                    channel.send(last)
                    while not channel.poll(_LISTEN_SECONDS):
                        execution.heed()
                    pruned = not channel.recv() and last.stop is None
                    if pruned:
                        ended = "FINISHED", "pruned", f"worse than its peers at step {last.step}"
                        run.end(*ended)
                        execution.end(*ended)
                        break
                execution.keep_weights(run)
            outcome = _outcome(last, run.id, pruned)
            run.tag({TRIAL_STATE: outcome.state})
        channel.send(outcome)
    except KeyboardInterrupt as error:
        channel.send(Outcome("KILLED", f"interrupted by {error}", run_id))
    except Exception as error:
        channel.send(Outcome("FAILED", f"{type(error).__name__}: {error}", run_id))


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


def _outcome(last: Report | None, run: str, pruned: bool) -> Outcome:
    assert last is not None
    if pruned:
        return Outcome("PRUNED", f"at step {last.step}", run, last.metrics)
    assert last.stop is not None
    values = (last.metrics[key] for key in last.metrics if not key.startswith((SE, CI95)))
    diverged = last.stop.diverged or not all(map(math.isfinite, values))
    return Outcome("FAILED" if diverged else "COMPLETE", last.stop.reason, run, last.metrics)


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)

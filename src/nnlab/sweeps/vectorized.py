"""The vectorised engine: each of its workers trains several trials in one theta.

Trials are gathered as they are submitted. Those that differ in numbers alone are trained together
in one child process, to the bits that each has alone; others, and those with a limit of time, have
a child of their own, one after another. The trials of a child that dies are begun again, each in a
child of its own: so what one of them did costs the others no attempt.
"""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from threading import Condition
from typing import Any

from nnlab.errors import UserError
from nnlab.runs.config import RunConfig, members, parse
from nnlab.sweeps.definition import Definition
from nnlab.sweeps.engine import Engine, Hear, LocalEngine
from nnlab.sweeps.stacked import run_trials
from nnlab.sweeps.trial import Job, Outcome, Started
from nnlab.training.alike import shape_of

GATHER_SECONDS = 0.2
"""How long nothing more was submitted when a stack that is not full is begun."""


def engine_of(definition: Definition) -> Engine:
    """The engine that a sweep is to run on."""
    if definition.engine == "local":
        return LocalEngine(definition.slots)
    return VectorizedEngine(definition.processes, definition.together)


@dataclass(frozen=True, eq=False)
class _Asked:
    """A job that waits for a worker."""

    job: Job
    hear: Hear
    future: "Future[Outcome]"
    shape: Any
    """Jobs of one shape can be stacked; None where it is to run by itself."""


class VectorizedEngine(LocalEngine):
    """Child processes on this machine: `workers` at once, each with up to `each` trials."""

    def __init__(self, workers: int, each: int) -> None:
        super().__init__(workers)
        self._each = each
        self._changed = Condition()
        self._asked: list[_Asked] = []
        self._latest = 0.0
        self._alone: set[int] = set()
        """Trials whose child died with several in it."""

    def slots(self) -> int:
        return super().slots() * self._each

    def submit(self, job: Job, hear: Hear) -> "Future[Outcome]":
        asked = _Asked(job, hear, Future(), None if job.number in self._alone else _shape(job))
        with self._changed:
            self._asked.append(asked)
            self._latest = time.monotonic()
            self._changed.notify_all()
        self._threads.submit(self._work)
        return asked.future

    def close(self) -> None:
        with self._changed:
            self._closing = True
            waiting, self._asked = self._asked, []
            self._changed.notify_all()
        for asked in waiting:
            asked.future.cancel()
        super().close()

    def _work(self) -> None:
        """Run what can be run together of what was submitted, if another worker has not."""
        stack = self._gathered()
        if len(stack) == 1:
            (asked,) = stack
            asked.future.set_result(self._run(asked.job, asked.hear))
        elif stack:
            self._run_together(stack)

    def _gathered(self) -> list[_Asked]:
        """The oldest job and those that go with it, once they are enough or no more come."""
        with self._changed:
            while self._asked:
                shape = self._asked[0].shape
                alike = [one for one in self._asked if shape and one.shape == shape]
                stack = alike[: self._each] or self._asked[:1]
                left = self._latest + GATHER_SECONDS - time.monotonic()
                if shape is None or len(stack) == self._each or left <= 0:
                    self._asked = [one for one in self._asked if one not in stack]
                    return [one for one in stack if one.future.set_running_or_notify_cancel()]
                self._changed.wait(left)
        return []

    def _run_together(self, stack: Sequence[_Asked]) -> None:
        going = {asked.job.number: asked for asked in stack}
        runs: dict[int, str] = {}
        try:
            self._hear_all(going, runs)
        except Exception as error:  # no memory, no process, no file is left
            reason = f"not started: {type(error).__name__}: {error}"
            for number, asked in going.items():
                asked.future.set_result(self._again(number, Outcome("FAILED", reason)))

    def _hear_all(self, going: dict[int, _Asked], runs: dict[int, str]) -> None:
        """Listen to a child until each of its trials has said how it ended, or it has itself."""
        jobs = [asked.job for asked in going.values()]
        with self._child(partial(run_trials, workers=self._slots), jobs) as (child, ours):
            with suppress(EOFError, OSError):
                while going:
                    number, message = ours.recv()
                    if isinstance(message, Outcome):
                        outcome = self._seen(message)
                        if message.state == "KILLED":
                            outcome = self._again(number, outcome)
                        going.pop(number).future.set_result(outcome)
                    elif isinstance(message, Started):
                        runs[number] = message.run
                        going[number].hear(message)
                    elif (answer := going[number].hear(message)) is not None and not self._closing:
                        ours.send((number, answer))
            child.join()  # it closed its end, so it is ending
            for number in list(going):
                outcome = self._died(child.exitcode, runs.get(number))
                going.pop(number).future.set_result(self._again(number, outcome))

    def _again(self, number: int, outcome: Outcome) -> Outcome:
        """How an attempt ended whose child had others too: unless we ended it, it is to be made
        again, alone."""
        if outcome.state != "FAILED":
            return outcome
        self._alone.add(number)
        return replace(outcome, state="LOST", reason=f"{outcome.reason}, with other trials in it")


def _shape(job: Job) -> Any:
    """What jobs have in common that can be trained together; None where it cannot be."""
    if job.timeout < float("inf"):
        return None
    try:
        shape = _likeness(parse(job.config))
    except UserError:
        return None  # its child says why
    return None if shape is None else (shape, job.plugins)


def _likeness(config: RunConfig) -> Any:
    """What configs have in common that can be trained together; None where it cannot be."""
    if config.preflight or len(members(config)) > 1:
        return None
    return shape_of(config.experiment)


def in_stacks(configs: Sequence[RunConfig]) -> list[tuple[list[RunConfig], bool]]:
    """The configs that can be trained together, each time with True; all others with False."""
    stacks: list[tuple[Any, list[RunConfig]]] = []
    for config in configs:
        like = _likeness(config)
        alike = next((several for shape, several in stacks if shape == like), None)
        if alike is None:
            stacks.append((like, [config]))
        else:
            alike.append(config)
    return [(several, bool(like)) for like, several in stacks]

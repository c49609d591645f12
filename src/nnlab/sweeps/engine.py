"""Engines: where trials run. The local one gives each a child process of its own.

A crash, a leak, a hang or a kill costs one trial and never the slot. Children are forked from a
server process that has NumPy loaded, which takes about ten milliseconds.
"""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from nnlab.sweeps.memory import Memory
from nnlab.sweeps.trial import Evaluation, Job, Outcome, Started, run_trial

Hear = Callable[[Started | Evaluation], bool | None]
"""Called with what a trial sends; the answer to an evaluation says whether it may go on, and None
that nobody decides any more: the engine is about to be closed."""

GRACE_SECONDS = 5.0
"""How long a child that was asked to end may take; then it is killed."""
_PRELOAD = ("numpy.ma", "nnlab.cli")
"""What a child would load otherwise: `np.unique` asks for the one, the command's script for the
other."""
_POLL_SECONDS = 3600.0  # a longer wait is more than the system's clock takes


class Engine(Protocol):
    """Runs jobs, each isolated, on a number of slots."""

    def slots(self) -> int:
        """Jobs at once, as things are now."""

    def submit(self, job: Job, hear: Hear) -> "Future[Outcome]":
        """Run the job on a free slot. The future never raises for what the job did."""

    def close(self) -> None:
        """Stop what still runs, and wait for it."""


class LocalEngine:
    """Child processes on this machine: `slots` at once, or as many as fit into its memory."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload([Job.__module__, *_PRELOAD])
        forkserver.ensure_running()
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="slot")
        self._children: set[BaseProcess] = set()
        self._memory = Memory()
        self._closing = False

    def slots(self) -> int:
        running = [child.pid for child in list(self._children) if child.pid]
        return min(self._slots, len(running) + self._memory.room(running, self._slots))

    def submit(self, job: Job, hear: Hear) -> "Future[Outcome]":
        return self._threads.submit(self._run, job, hear)

    def close(self) -> None:
        self._closing = True
        for child in list(self._children):
            child.terminate()
        self._threads.shutdown(wait=False, cancel_futures=True)
        until = time.monotonic() + GRACE_SECONDS
        while self._children and time.monotonic() < until:
            time.sleep(0.01)
        for child in list(self._children):
            child.kill()
        self._threads.shutdown(wait=True)

    def _run(self, job: Job, hear: Hear) -> Outcome:
        try:
            outcome = self._in_child(job, hear)
        except Exception as error:  # no memory, no process, no file is left
            return Outcome("FAILED", f"not started: {type(error).__name__}: {error}")
        return self._seen(outcome)

    def _seen(self, outcome: Outcome) -> Outcome:
        """The outcome that a child told."""
        self._memory.saw(outcome.memory)
        if outcome.state == "KILLED" and not self._closing:  # not by us
            return replace(outcome, state="FAILED", reason="the process was terminated")
        return outcome

    def _in_child(self, job: Job, hear: Hear) -> Outcome:
        with self._child(run_trial, job) as (child, ours):
            return self._heard(child, ours, job, hear)

    @contextmanager
    def _child(
        self, target: Callable[[Any, Connection], None], what: Any
    ) -> Iterator[tuple[BaseProcess, Connection]]:
        """A child that runs `target(what, channel)`, and our end of the channel."""
        ours, theirs = self._context.Pipe()
        with ours, theirs:
            child = self._context.Process(target=target, args=(what, theirs), daemon=True)
            child.start()
            self._children.add(child)
            try:
                theirs.close()
                if self._closing:
                    child.terminate()
                yield child, ours
            finally:
                _end(child)
                self._children.discard(child)

    def _heard(self, child: BaseProcess, ours: Connection, job: Job, hear: Hear) -> Outcome:
        """Listen to the child until it has said how it ended, or has ended without a word."""
        run, late, until = None, False, time.monotonic() + job.timeout
        with suppress(EOFError, OSError):
            while True:
                said = ours.poll(min(_POLL_SECONDS, max(0.0, until - time.monotonic())))
                if time.monotonic() >= until:
                    if late:
                        child.kill()
                        break
                    late, until = True, time.monotonic() + GRACE_SECONDS
                    child.terminate()
                if not said:
                    continue
                message = ours.recv()
                if isinstance(message, Outcome):
                    if late and message.state == "KILLED":
                        return replace(message, state="FAILED", reason=_late(job))
                    return message
                if isinstance(message, Started):
                    run = run if message.nested else message.run
                    hear(message)
                elif (answer := hear(message)) is not None and not self._closing:
                    ours.send(answer)
        child.join()  # it closed its end, so it is ending
        return Outcome("FAILED", _late(job), run) if late else self._died(child.exitcode, run)

    def _died(self, code: int | None, run: str | None) -> Outcome:
        if code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        else:
            how = f"ended with code {code}"
        return Outcome("KILLED" if self._closing else "FAILED", f"the process {how}", run)


def _late(job: Job) -> str:
    return f"timeout after {job.timeout:g} s"


def _end(child: BaseProcess) -> None:
    """Wait for the child, and kill it if it does not end."""
    child.join(GRACE_SECONDS)
    if child.is_alive():
        child.kill()
        child.join()

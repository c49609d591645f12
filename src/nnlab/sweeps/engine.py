"""Engines: where trials run. The local one gives each a child process of its own.

A crash, a leak or a kill costs one trial and never the slot. Children are forked from a server
process that has NumPy loaded, which takes about ten milliseconds.
"""

import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from multiprocessing import forkserver, get_context
from multiprocessing.process import BaseProcess
from typing import Protocol

from nnlab.sweeps.trial import Job, Outcome, Started, run_trial
from nnlab.training.report import Report

Hear = Callable[[Started | Report], bool | None]
"""Called with what a trial sends; for a report the answer says whether it may go on, and None that
nobody decides any more: the engine is about to be closed."""


class Engine(Protocol):
    """Runs jobs, each isolated, on a number of slots."""

    def slots(self) -> int:
        """Jobs at once."""

    def submit(self, job: Job, hear: Hear) -> "Future[Outcome]":
        """Run the job on a free slot. The future never raises for what the job did."""

    def close(self) -> None:
        """Stop what still runs, and wait for it."""


class LocalEngine:
    """Child processes on this machine."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload([run_trial.__module__])
        forkserver.ensure_running()
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="slot")
        self._children: set[BaseProcess] = set()
        self._closing = False

    def slots(self) -> int:
        return self._slots

    def submit(self, job: Job, hear: Hear) -> "Future[Outcome]":
        return self._threads.submit(self._run, job, hear)

    def close(self) -> None:
        self._closing = True
        for child in list(self._children):
            child.terminate()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _run(self, job: Job, hear: Hear) -> Outcome:
        try:
            outcome = self._in_child(job, hear)
        except Exception as error:  # no memory, no process, no file is left
            return Outcome("FAILED", f"not started: {type(error).__name__}: {error}")
        if outcome.state == "KILLED" and not self._closing:  # not by us
            return replace(outcome, state="FAILED", reason="the process was terminated")
        return outcome

    def _in_child(self, job: Job, hear: Hear) -> Outcome:
        ours, theirs = self._context.Pipe()
        with ours, theirs:
            child = self._context.Process(target=run_trial, args=(job, theirs), daemon=True)
            child.start()
            self._children.add(child)
            theirs.close()
            if self._closing:
                child.terminate()
            outcome, run = None, None
            with suppress(EOFError, OSError):
                while outcome is None:
                    message = ours.recv()
                    if isinstance(message, Outcome):
                        outcome = message
                    elif isinstance(message, Started):
                        run = run if message.nested else message.run
                        hear(message)
                    else:
                        answer = hear(message)
                        if answer is not None and not self._closing:
                            ours.send(answer)
        child.join()
        self._children.discard(child)
        return outcome or self._died(child.exitcode, run)

    def _died(self, code: int | None, run: str | None) -> Outcome:
        if code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        else:
            how = f"ended with code {code}"
        return Outcome("KILLED" if self._closing else "FAILED", f"the process {how}", run)

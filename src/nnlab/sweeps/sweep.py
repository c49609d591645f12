"""The driver of a sweep: asks, submits, listens, prunes, tells. A generator of trials.

The study's journal is the truth. It has that a trial was asked for and which run an attempt at it
is to write before that run is begun, and how a trial ended before anyone is told. So a driver that
takes over finds every trial, tells the search what it was told before, and goes on.
"""

import math
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from nnlab.errors import UserError
from nnlab.plugins import check_unchanged
from nnlab.runs import plugged
from nnlab.runs.environment import Environment
from nnlab.runs.journal import JournalError, LockedError, read
from nnlab.runs.past import JOURNAL
from nnlab.runs.run import Run, new_id
from nnlab.sweeps.attempts import left, settle
from nnlab.sweeps.budget import Budget, End, Spent
from nnlab.sweeps.candidates import Candidates
from nnlab.sweeps.constraints import PARAMETERS
from nnlab.sweeps.definition import Definition
from nnlab.sweeps.engine import Engine
from nnlab.sweeps.ledger import STATES, Ledger, Trial, told
from nnlab.sweeps.search import Search
from nnlab.sweeps.trial import Evaluation, Job, Outcome, Started

_LOOK_SECONDS = 1.0
"""How soon it is seen that an engine without a free slot has more of them."""


@dataclass(frozen=True)
class _Heard:
    """What an attempt sent, and where its answer goes."""

    number: int
    attempt: int
    message: Started | Evaluation | Outcome
    answer: "Future[bool] | None" = None


class Sweep:
    """A search, being run. `run` yields a trial whenever it starts, reports or ends."""

    def __init__(
        self, definition: Definition, candidates: Candidates, engine: Engine, study: Run
    ) -> None:
        """`study` is the run whose journal is the record; it may have been interrupted."""
        study.journal.sync()
        self.definition = definition
        self._past = read(study.path / JOURNAL)
        self.ledger = Ledger(definition, self._past)
        self.idle = 0.0
        """Seconds that slots were free because a suggestion had to wait for older trials."""
        self.end: End | None = None
        """Why no more trials are asked for."""
        self._study = study
        self._candidates = candidates
        self._engine = engine
        self._search = Search(definition, candidates.allowed)
        self._budget = Budget.of(definition)
        self._heard: SimpleQueue[_Heard] = SimpleQueue()
        self._waiting: deque[Trial] = deque()
        """Trials to be gone on with or begun again, before others are asked for."""
        self._running: dict[int, float] = {}
        """Trials that have a slot, and since when."""
        self._began = time.monotonic()
        self._closed = False

    def run(self, environment: Environment) -> Iterator[Trial]:
        """Run all trials; the study's journal has each before it is yielded as ended."""
        self._began = time.monotonic()
        try:
            yield from self._take_over()
            yield from self._run(environment)
            self._conclude()
        finally:
            self._closed = True

    def settle(self) -> list[Trial]:
        """All trials, with what they said after nobody listened any more."""
        while not self._heard.empty():
            heard = self._heard.get()
            if isinstance(heard.message, Started):
                _started(self.ledger.trials[heard.number], heard.message)
        return self.ledger.trials

    @property
    def seconds(self) -> float:
        """How long the study was worked on, before this driver and by it."""
        return self.ledger.seconds + time.monotonic() - self._began

    def _take_over(self) -> Iterator[Trial]:
        """Tell the search what it was told before, and see what became of unfinished trials."""
        for record in self._past:
            match record["type"]:
                case "asked":
                    self._search.asked(record["trial"], record["values"])
                case "told":
                    trial = self.ledger.trials[record["trial"]]
                    self._remember(trial)
                    self._tell(trial)
                case "known":
                    self._search.know(
                        record["values"],
                        record["outcome"],
                        [(k, float(value)) for k, value in record["curve"]],
                    )
        if self.ledger.reported < self.ledger.ended:
            self._report()
        for trial in self.ledger.unfinished:
            try:
                found = left(self._path(trial))
            except LockedError:  # its process lives, though its driver does not
                self._begin_again(trial, "its run is still being written")
                continue
            except JournalError as error:
                self._begin_again(trial, str(error))
                continue
            if found and found.outcome:
                for one in found.evaluations():
                    trial.report(one.report, self.definition.metric, one.members)
                self._remember(trial)
                trial.begun = True
                trial.nested = [member.start["run"] for member in found.members]
                self._ended(trial, found.outcome)
                yield trial
                continue
            if found:
                trial.begun, trial.recorded = True, len(found.reports)
                trial.seconds = found.reports[-1].seconds if found.reports else 0.0
            self._waiting.append(trial)

    def _remember(self, trial: Trial) -> None:
        """Have the search know what a trial reported, as it did when that was decided."""
        for evaluation, value, members in trial.looked_at():
            self._search.should_prune(trial.number, evaluation, value, members)

    def _tell(self, trial: Trial) -> None:
        self._search.tell(trial.number, trial.state, trial.told, trial.measured())

    def _run(self, environment: Environment) -> Iterator[Trial]:
        while True:
            while self._closed and self._waiting:
                trial = self._waiting.popleft()
                self._ended(trial, Outcome("KILLED", "not started"))
                yield trial
            while len(self._running) < self._engine.slots():
                begun = self._next(environment)
                if begun is None:
                    break
                yield begun
            if self.end and not self._running and not self._waiting:
                break
            heard = self._listen()
            if heard is None:
                continue
            trial = self.ledger.trials[heard.number]
            if heard.attempt != trial.attempt:  # fenced: another attempt counts
                if heard.answer:
                    heard.answer.set_result(False)
                continue
            if isinstance(heard.message, Outcome):
                self._ended(trial, heard.message)
            elif isinstance(heard.message, Started):
                _started(trial, heard.message)
            else:
                assert heard.answer is not None
                heard.answer.set_result(self._may_go_on(trial, heard.message))
            yield trial

    def _next(self, environment: Environment) -> Trial | None:
        """The next trial, on its way to a slot; None where there is none, or it has to wait."""
        if self._waiting:
            trial = self._waiting.popleft()
        else:
            number = len(self.ledger.trials)
            if self.end or not self._may_ask(number):
                return None
            self.end = self._budget.over(self._spent(number))
            values = None if self.end else self._search.ask(number)
            if values is None:
                reason = f"the space is exhausted: there are no more than {number} trials"
                self.end = self.end or End("exhausted", reason)
                return None
            self._append("asked", trial=number, values=dict(values), run=new_id())
            trial = self.ledger.trials[number]
        self._submit(trial, environment)
        return trial

    def _may_ask(self, number: int) -> bool:
        """Have all trials ended that the suggestion of this one is to see?"""
        delay = self.definition.delay
        return delay == 0 or self.ledger.settled > number - delay

    def _spent(self, number: int) -> Spent:
        """What counts where trial `number` would be the next: in a deterministic search what the
        trials have used that its suggestion sees, and else what all have."""
        delay, ledger = self.definition.delay, self.ledger
        if delay:
            used = ledger.used(max(0, number - delay + 1))
            return Spent(number, used.failed, self.seconds, used.epochs)
        epochs = ledger.epochs + sum(ledger.trials[k].epochs for k in self._running)
        return Spent(number, ledger.count("FAILED"), self.seconds, epochs)

    def _submit(self, trial: Trial, environment: Environment) -> None:
        """Hand an attempt at the trial to the engine, once the journal says so.

        Raises `UserError` where a plugin was edited: it ends the command, not the study.
        """
        check_unchanged()
        number, run, resume = trial.number, trial.run, trial.begun
        assert run is not None
        attempt = trial.attempt + 1
        self._append(
            "attempt",
            trial=number,
            attempt=attempt,
            run=run,
            failures=trial.failures,
            epochs=trial.epochs - trial.epoch,
        )
        self._study.journal.sync()
        self._running[number] = time.monotonic()

        def hear(message: Started | Evaluation) -> bool | None:
            answer: Future[bool] | None = Future() if isinstance(message, Evaluation) else None
            self._heard.put(_Heard(number, attempt, message, answer))
            while answer and not self._closed:
                with suppress(TimeoutError):
                    return answer.result(timeout=0.5)
            return None

        def ended(future: "Future[Outcome]") -> None:
            if future.cancelled():
                outcome = Outcome("KILLED", "not started")
            else:
                error = future.exception()
                outcome = Outcome("FAILED", f"the engine: {error}") if error else future.result()
            self._heard.put(_Heard(number, attempt, outcome))

        try:
            config = self._candidates.config(trial.values)
        except UserError as error:
            outcome = Outcome("FAILED", f"UserError: {error}", certain=True)
            self._heard.put(_Heard(number, attempt, outcome))
            return
        timeout = self.definition.timeout or math.inf
        plugins = plugged.hashes()
        job = Job(number, config, self._study.id, environment, run, resume, timeout, plugins)
        self._engine.submit(job, hear).add_done_callback(ended)

    def _listen(self) -> _Heard | None:
        """What is heard next; None where it is time to look for slots again."""
        slots = self._engine.slots()
        number = len(self.ledger.trials)
        more = not self.end and not self._waiting and number < self.definition.trials
        waits = more and not self._may_ask(number)
        free = slots - len(self._running) if waits else 0
        began = time.monotonic()
        try:
            return self._heard.get(timeout=_LOOK_SECONDS if slots < self.definition.slots else None)
        except Empty:
            return None
        finally:
            self.idle += free * (time.monotonic() - began)

    def _may_go_on(self, trial: Trial, evaluation: Evaluation) -> bool:
        report = evaluation.report
        trial.report(report, self.definition.metric, evaluation.members)
        value = trial.curve[-1][1]
        if report.stop or not math.isfinite(value):
            return True  # it ends by itself
        members = trial.members[-1] if trial.members else ()
        prune = self._search.should_prune(trial.number, trial.evaluations, value, members)
        return not prune or trial.evaluations < trial.recorded  # what was answered before stays so

    def _ended(self, trial: Trial, outcome: Outcome) -> None:
        now = time.monotonic()
        trial.seconds += now - self._running.pop(trial.number, now)
        path = self._path(trial)
        trial.begun = trial.begun or outcome.run is not None or path.exists()
        state, reason = outcome.state, outcome.reason
        if state == "KILLED":  # by us, for another one failed
            state, reason = "FAILED", f"stopped: {self.end.reason if self.end else reason}"
        if state in ("FAILED", "LOST"):
            settle(path, reason)
        if state == "LOST":
            self._begin_again(trial, reason)
            return
        may = trial.failures < self.definition.retries and not self._closed
        if state == "FAILED" and may and not outcome.certain:
            trial.failures += 1
            self._begin_again(trial, reason)
            return
        trial.reason, trial.metrics = reason, outcome.metrics or trial.metrics
        values = self._objectives(trial) if state == "COMPLETE" else None
        self._append("told", **told(trial, state, values))
        self._study.journal.sync()
        self._tell(trial)
        self._report()
        if state == "FAILED" and self.definition.fail_fast and not self._closed:
            self._stop(trial)

    def _objectives(self, trial: Trial) -> list[float]:
        """The values of a complete trial; with its metrics it then has what constraints limit."""
        limited = [one.quantity for one in self.definition.constraints]
        if PARAMETERS in (*self.definition.metrics, *limited):
            parameters = self._candidates.parameters(trial.values)
            trial.metrics = {**trial.metrics, PARAMETERS: parameters}
        measured = trial.measured()
        return [measured[metric] for metric in self.definition.metrics]

    def _begin_again(self, trial: Trial, reason: str) -> None:
        """Have the trial wait for another attempt, with a run of its own."""
        trial.again(new_id())
        trial.reason = reason
        self._waiting.append(trial)

    def _stop(self, trial: Trial) -> None:
        """End the trials that run."""
        self.end = End("fail_fast", f"trial {trial.number} failed (fail_fast)")
        self._closed = True
        self._engine.close()

    def _report(self) -> None:
        """The best so far, for whoever draws it."""
        bests = self.ledger.bests
        if bests:
            self._append(
                "report",
                step=self.ledger.ended,
                metrics={f"best/{metric}": best for metric, best in bests.items()},
                seconds=self.ledger.busy,
            )

    def _append(self, kind: str, **fields: Any) -> None:
        """Write a record, and keep it."""
        self._study.journal.append(kind, **fields)
        self.ledger.take({"type": kind, **fields})

    def _conclude(self) -> None:
        ledger, study = self.ledger, self._study
        if importances := self._search.importances():
            study.journal.append("importances", values=importances)
        tags = {f"nnlab.{state.lower()}": str(ledger.count(state)) for state in STATES}
        assert self.end is not None
        best = ledger.best
        if self.end.failed:
            study.end("FAILED", self.end.rule, self.end.reason)
        elif best:
            study.end("FINISHED", self.end.rule, self.end.reason)
        else:
            kept = " that keeps the constraints" if ledger.count("COMPLETE") else ""
            study.end("FAILED", "no trial", f"no trial{kept} was completed")
        if best:
            tags |= {
                "nnlab.best_run": str(best.run),
                "nnlab.best_trial": str(best.number),
                "nnlab.best_value": repr(best.value),
            }
        if self.definition.delay:
            tags["nnlab.idle_seconds"] = f"{self.idle:.3f}"
        study.tag(tags)

    def _path(self, trial: Trial) -> Path:
        assert trial.run is not None
        return self._study.path.with_name(trial.run)


def _started(trial: Trial, message: Started) -> None:
    trial.begun = True
    if message.nested:
        trial.nested.append(message.run)

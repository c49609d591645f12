"""The driver of a sweep: asks, submits, listens, prunes, tells. A generator of trials."""

import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from nnlab.runs.environment import Environment
from nnlab.runs.run import Run
from nnlab.sweeps.definition import Candidates, Definition
from nnlab.sweeps.engine import Engine
from nnlab.sweeps.search import Search
from nnlab.sweeps.trial import Job, Outcome, Started
from nnlab.training.report import Report


@dataclass
class Trial:
    """One trial as the driver sees it."""

    number: int
    values: Mapping[str, Any]
    state: str = "RUNNING"
    run: str | None = None
    nested: list[str] = field(default_factory=list)
    """Its runs of seeds and folds."""
    value: float | None = None
    evaluations: int = 0
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    @property
    def runs(self) -> list[str]:
        """Every run it has, its own first."""
        return [self.run, *self.nested] if self.run else []

    def started(self, message: Started) -> None:
        """Take in that a run of it has started."""
        if message.nested:
            self.nested.append(message.run)
        else:
            self.run = message.run


@dataclass(frozen=True)
class _Heard:
    """What a trial sent, and where its answer goes."""

    number: int
    message: Started | Report | Outcome
    answer: "Future[bool] | None" = None


class Sweep:
    """A search, being run. `run` yields a trial whenever it starts, reports or ends."""

    def __init__(self, definition: Definition, candidates: Candidates, engine: Engine) -> None:
        self.definition = definition
        self.trials: list[Trial] = []
        self._candidates = candidates
        self._engine = engine
        self._search = Search(definition)
        self._heard: SimpleQueue[_Heard] = SimpleQueue()
        self._closed = False

    @property
    def best(self) -> Trial | None:
        """The complete trial with the best value."""
        complete = [trial for trial in self.trials if trial.value is not None]
        sign = 1 if self.definition.direction == "minimize" else -1
        return min(complete, key=lambda trial: sign * (trial.value or 0.0), default=None)

    def count(self, state: str) -> int:
        """Trials in that state."""
        return sum(trial.state == state for trial in self.trials)

    def run(self, study: Run, environment: Environment) -> Iterator[Trial]:
        """Run all trials; the study's journal has each before it is yielded as ended."""
        try:
            yield from self._run(study, environment)
        finally:
            self._closed = True

    def settle(self) -> list[Trial]:
        """All trials, with what they said after nobody listened any more."""
        while not self._heard.empty():
            heard = self._heard.get()
            trial = self.trials[heard.number]
            if isinstance(heard.message, Started):
                trial.started(heard.message)
            elif isinstance(heard.message, Outcome):
                trial.run = trial.run or heard.message.run
        return self.trials

    def _run(self, study: Run, environment: Environment) -> Iterator[Trial]:
        while True:
            while (
                len(self.trials) < self.definition.trials
                and self.count("RUNNING") < self._engine.slots()
            ):
                yield self._start(study, environment)
            if not self.count("RUNNING"):
                break
            heard = self._heard.get()
            trial = self.trials[heard.number]
            if isinstance(heard.message, Outcome):
                self._end(trial, heard.message, study)
            elif isinstance(heard.message, Started):
                trial.started(heard.message)
            else:
                assert heard.answer is not None
                heard.answer.set_result(self._may_go_on(trial, heard.message))
            yield trial
        self._conclude(study)

    def _start(self, study: Run, environment: Environment) -> Trial:
        number, values = self._search.ask()
        trial = Trial(number, values)
        self.trials.append(trial)
        study.journal.append("asked", trial=number, values=dict(values))
        job = Job(number, self._candidates.config(values), study.id, environment)

        def hear(message: Started | Report) -> bool | None:
            answer: Future[bool] | None = Future() if isinstance(message, Report) else None
            self._heard.put(_Heard(number, message, answer))
            while answer and not self._closed:
                with suppress(TimeoutError):
                    return answer.result(timeout=0.5)
            return None

        def ended(future: "Future[Outcome]") -> None:
            if future.cancelled():
                return
            error = future.exception()
            outcome = Outcome("FAILED", f"the engine: {error}") if error else future.result()
            self._heard.put(_Heard(number, outcome))

        self._engine.submit(job, hear).add_done_callback(ended)
        return trial

    def _may_go_on(self, trial: Trial, report: Report) -> bool:
        value = report.metrics[self.definition.metric]
        trial.evaluations += 1
        trial.metrics = report.metrics
        if report.stop or not math.isfinite(value):
            return True  # it ends by itself
        return not self._search.should_prune(trial.number, trial.evaluations, value)

    def _end(self, trial: Trial, outcome: Outcome, study: Run) -> None:
        trial.state, trial.reason = outcome.state, outcome.reason
        trial.run = outcome.run or trial.run
        trial.metrics = outcome.metrics or trial.metrics
        trial.seconds = time.monotonic() - trial.began
        if outcome.state == "COMPLETE":
            trial.value = outcome.metrics[self.definition.metric]
        study.journal.append(
            "told",
            trial=trial.number,
            state=trial.state,
            value=trial.value,
            run=trial.run,
            reason=trial.reason,
        )
        study.journal.sync()
        self._search.tell(trial.number, trial.state, trial.value)
        if self.best:
            study.journal.append(
                "report",
                step=len(self.trials) - self.count("RUNNING"),
                metrics={f"best/{self.definition.metric}": self.best.value},
                seconds=sum(trial.seconds for trial in self.trials),
            )

    def _conclude(self, study: Run) -> None:
        best = self.best
        states = ("COMPLETE", "PRUNED", "FAILED")
        tags = {f"nnlab.{state.lower()}": str(self.count(state)) for state in states}
        if best:
            tags |= {
                "nnlab.best_run": str(best.run),
                "nnlab.best_trial": str(best.number),
                "nnlab.best_value": repr(best.value),
            }
            study.end("FINISHED", "budget", f"{len(self.trials)} trials are done")
        else:
            study.end("FAILED", "no trial", "no trial was completed")
        study.tag(tags)

"""One training of a run: it replays what was recorded, trains on, and keeps checkpoints."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from nnlab.errors import UserError
from nnlab.runs import checkpoint
from nnlab.runs.about import described
from nnlab.runs.config import RunConfig
from nnlab.runs.interrupts import Halt
from nnlab.runs.plain import flatten
from nnlab.runs.run import HASHES, Run
from nnlab.training.pause import Pause
from nnlab.training.report import Report
from nnlab.training.state import TrainingState
from nnlab.training.stopping import TimeBudget
from nnlab.training.trainer import Training


@dataclass
class Member:
    """One training of an execution."""

    config: RunConfig
    training: Training
    state: TrainingState
    pause: Pause = field(default_factory=Pause)
    run: Run | None = None
    open: ExitStack = field(default_factory=ExitStack)
    """Closes the run."""
    hashes: dict[str, str] | None = None

    def restore(self, run: Run) -> list[str]:
        """Go on with `run`, from its newest checkpoint if it has one; what is wrong with newer
        ones. A run that has come to its end has nothing to train."""
        self.run = run
        self._check_data(run)
        if not run.past.resumable:
            self.hashes = {key: run.past.tags[key] for key in HASHES if key in run.past.tags}
            return []
        reported = len(run.past.reports)
        return checkpoint.restore(
            run.checkpoints, self.training, self.state, self._params, reported
        )

    def _check_data(self, run: Run) -> None:
        then, now = run.past.data, self.training.splits.fingerprint
        if then is not None and then["fingerprint"] != now:
            raise UserError(
                f"{run.name} (run {run.id}) is of other data: their fingerprint was "
                f"{then['fingerprint']} then and is {now} now; start a new run"
            )

    @property
    def description(self) -> dict[str, Any]:
        """What is told of its data."""
        return described(self.config.plain, self.training.splits)

    def reports(self, halt: Halt) -> Iterator[Report]:
        """All its reports, first those that were recorded before its checkpoint. A checkpoint is
        made whenever one is due, and a signal heeded between two steps."""
        assert self.run is not None
        recorded = self.run.past.reports
        if self.hashes is not None:
            yield from recorded
            return
        yield from recorded[: self.state.reports]
        stop = recorded[-1].stop if recorded else None
        if stop and self.state.reports == len(recorded):
            return
        if stop and stop.rule == TimeBudget.name:  # a clock would not end it at that step again
            self.training.until = recorded[-1].step
        self._schedule()
        halt.check()
        for report in self.training.events(self.state, self.pause, len(recorded)):
            if report:
                yield report
                if report.stop:
                    return
            due = perf_counter() >= self.pause.at or self.state.step >= self.pause.step
            if due and not halt.number:
                self.save()
            halt.check()

    def save(self) -> None:
        """Make a checkpoint; the journal has all that was reported before."""
        assert self.run is not None
        self.run.journal.sync()
        checkpoint.save(self.run.checkpoints, self.training, self.state, self._params)
        self._schedule()

    @property
    def _params(self) -> dict[str, str]:
        """The config that its checkpoints belong to."""
        return dict(flatten(self.config.plain))

    def _schedule(self) -> None:
        per_epoch, step = self.training.order.steps_per_epoch, self.state.step
        self.config.checkpoint_every.schedule(self.pause, perf_counter(), step, per_epoch)

    def keep_weights(self) -> dict[str, str]:
        """Save the weights, once; their hashes."""
        assert self.run is not None
        if self.hashes is None:
            self.hashes = self.run.keep_weights(self.training, self.state)
        return self.hashes

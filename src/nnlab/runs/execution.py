"""A config being run: one training, or one for each seed and fold, each a nested run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from hashlib import sha256
from itertools import count
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING

from nnlab.runs.about import shared
from nnlab.runs.config import RunConfig, members, prepare
from nnlab.runs.interrupts import Halt, Interrupted
from nnlab.runs.member import Member
from nnlab.runs.run import Run
from nnlab.training.repeats import names, together
from nnlab.training.report import Report, Stop
from nnlab.training.stopping import TimeBudget
from nnlab.training.trainer import Training

if TYPE_CHECKING:
    from nnlab.training.preflight.card import Card

_NEVER = 2**62


class PreflightError(Exception):
    """An experiment did not pass its preflight checks."""

    def __init__(self, card: Card) -> None:
        red = "; ".join(f"{line.name}: {line.detail}" for line in card.red)
        super().__init__(f"{len(card.red)} of {len(card.lines)} checks are red: {red}")
        self.card = card


class Execution:
    """What a config describes, ready to run; raises `UserError` where its parts do not fit.

        execution = Execution(config)
        with Run.of(config, "train") as run, execution.recorded(run) as reports:
            for report in reports:
                ...
            execution.keep_weights(run)

    Several members train side by side: each report is the mean of theirs at the same evaluation.
    Each stops by its own rules and waits for the rest; time is taken, and a value that is not
    finite ends them all, at their common reports.
    """

    def __init__(
        self,
        config: RunConfig,
        until: int | None = None,
        halt: Halt | None = None,
        like: Training | None = None,
    ) -> None:
        """`until` ends it after that step, and it shares the data of one `like` it, as in
        `Training`. `halt` is that of several executions in one process."""
        self.until = until
        self.budget = min(
            (rule.seconds for rule in config.experiment.stopping if isinstance(rule, TimeBudget)),
            default=inf,
        )
        configs = members(config)
        self.seeds = config.experiment.seeds
        self.folds = len(configs) // self.seeds
        each = until if len(configs) == 1 else _NEVER  # several share the clock of `_together`
        trainings = [(one, prepare(one, each, len(configs), like)) for one in configs]
        self.members = [Member(one, training, training.start()) for one, training in trainings]
        totals = [training.total for _, training in trainings]
        self.total = None if None in totals else max(total or 0 for total in totals)
        self.latest: list[Report] = []
        """The last report of each of several members."""
        self._halt = halt or Halt()
        self._halt.watch(member.pause for member in self.members)

    def preflight(self, run: Run) -> Card:
        """Check the first member's experiment; raises `PreflightError` if a line is red. The card
        is kept with the run either way."""
        from nnlab.training.preflight.card import check

        card = check(self.members[0].config.experiment)
        (run.path / "preflight.txt").write_text(str(card), encoding="utf-8")
        if not card.passed:
            raise PreflightError(card)
        return card

    @property
    def step(self) -> int:
        """How far its trainings have come: all of them."""
        return min(member.state.step for member in self.members)

    def heed(self) -> None:
        """Raise `Interrupted` if a signal asked for the end; it is a safe point between reports."""
        self._halt.check()

    def restore(self, run: Run) -> list[str]:
        """Go on with `run`, which was interrupted; what is wrong with its newest checkpoints.

        Raises `UserError` where it cannot go on.
        """
        if len(self.members) == 1:
            return self.members[0].restore(run)
        damaged = []
        for member, id in zip(self.members, run.past.members, strict=False):
            damaged += member.restore(Run.reopen(run.path.parent / id, run.environment))
        return damaged

    @property
    def metric_names(self) -> list[str]:
        """What every report measures."""
        return names(self.members[0].training.metric_names, self.seeds, self.folds)

    @contextmanager
    def recorded(
        self, run: Run, started: Callable[[Run], None] = lambda nested: None
    ) -> Iterator[Iterator[Report]]:
        """The reports, each in its run's journal and, as a mean, in that of `run` before it is
        yielded. `started` is told of every nested run."""
        with ExitStack() as nested, self._halt:
            if len(self.members) == 1:
                (member,) = self.members
                member.run = run
                run.keep_data(member.description, member.training.splits.fitted)
                reports = member.reports(self._halt)
            else:
                for k, member in enumerate(self.members):
                    nested.push(member.open)
                    if member.run is None:
                        member.run = self._nested(k, member, run)
                    member.open.enter_context(member.run)
                    member.run.keep_data(member.description, member.training.splits.fitted)
                    started(member.run)
                run.keep_data(shared([member.description for member in self.members]), {})
                reports = self._together(run)
            try:
                yield run.record(reports)
                if len(self.members) > 1:
                    run.journal.sync()  # what its members' ends rest on
            except Interrupted as error:
                for member in self.members:
                    if error.safe and member.hashes is None:
                        member.save()
                raise

    def end(self, status: str, rule: str, reason: str) -> None:
        """Say how the members that have not ended by themselves ended."""
        for member in self.members:
            if member.run is not None and not member.run.ended:
                member.run.end(status, rule, reason)

    def keep_weights(self, run: Run) -> dict[str, str]:
        """Save every member's weights; tag `run` with hashes over all of them."""
        hashes = [member.keep_weights() for member in self.members if member.run is not None]
        if len(hashes) == 1:
            return hashes[0]
        combined = {name: _combined([one[name] for one in hashes]) for name in hashes[0]}
        run.tag(combined)
        return combined

    def _nested(self, k: int, member: Member, run: Run) -> Run:
        seed, fold = divmod(k, self.folds)
        parts = [f"seed-{seed}"] if self.seeds > 1 else []
        parts += [f"fold-{fold}"] if self.folds > 1 else []
        tags = {"nnlab.member": str(k)}
        name = "-".join(parts)
        nested = Run.of(member.config, "member", tags, run.id, run.environment, name)
        nested.journal.sync()  # it is there before the run says that it has it
        run.journal.append("member", run=nested.id)
        return nested

    def _together(self, run: Run) -> Iterator[Report]:
        recorded = run.past.reports
        began = perf_counter() - (recorded[-1].seconds if recorded else 0.0)
        streams = []
        for member in self.members:
            assert member.run is not None
            streams.append(member.run.record(member.reports(self._halt)))
        latest = self.latest = [next(stream) for stream in streams]
        step = 0
        for k in count():
            report = together(latest, self.seeds, self.folds, step)
            if report.stop is None and k >= len(recorded):
                report = replace(report, stop=self._stop(step, perf_counter() - began))
            elif report.stop is None:
                report = replace(report, stop=recorded[k].stop)
            for member, one in zip(self.members, latest, strict=True):
                if one.stop:  # its weights and its end are safe, whatever becomes of the others
                    member.keep_weights()
                    member.open.close()
            if report.stop:
                rule = report.stop.rule if report.stop.rule in ("until", "time_budget") else "cut"
                self.end("FINISHED", rule, report.stop.reason)
            yield report
            if report.stop:
                return
            going = [i for i, one in enumerate(latest) if one.stop is None]
            for i in going:
                latest[i] = next(streams[i])
            step = max(step + 1, *(latest[i].step for i in going))

    def _stop(self, step: int, seconds: float) -> Stop | None:
        if self.until is not None:
            done = step >= self.until
            return Stop("until", f"step {self.until} is reached") if done else None
        if seconds >= self.budget:
            return Stop("time_budget", f"{self.budget:g} seconds have passed")
        return None


def _combined(hashes: list[str]) -> str:
    """One hash of several; that which all have where they are the same."""
    if len(set(hashes)) == 1:
        return hashes[0]
    return sha256("".join(hashes).encode()).hexdigest()

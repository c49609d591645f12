"""A config being run: one training, or one for each seed and fold, each a nested run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from nnlab.runs.config import RunConfig, members, prepare
from nnlab.runs.run import Run
from nnlab.training.repeats import names, together
from nnlab.training.report import Report, Stop
from nnlab.training.trainer import Training, TrainingState

if TYPE_CHECKING:
    from nnlab.training.preflight.card import Card

_NEVER = 2**62


class PreflightError(Exception):
    """An experiment did not pass its preflight checks."""

    def __init__(self, card: Card) -> None:
        red = "; ".join(f"{line.name}: {line.detail}" for line in card.red)
        super().__init__(f"{len(card.red)} of {len(card.lines)} checks are red: {red}")
        self.card = card


@dataclass
class Member:
    """One training of an execution."""

    config: RunConfig
    training: Training
    state: TrainingState
    run: Run | None = None


class Execution:
    """What a config describes, ready to run; raises `UserError` where its parts do not fit.

        execution = Execution(config)
        with Run.of(config, "train") as run, execution.recorded(run) as reports:
            for report in reports:
                ...
            execution.keep_weights(run)

    Members train side by side: each report is the mean of theirs at the same evaluation.
    """

    def __init__(self, config: RunConfig, until: int | None = None) -> None:
        """`until` ends it after that step, as in `Training`."""
        self.folds = len(config.experiment.validation.members())
        self.seeds = config.experiment.seeds
        self.until = until
        configs = members(config)
        alone = len(configs) == 1
        each = until if alone or until is None else _NEVER
        trainings = [(one, prepare(one, each)) for one in configs]
        self.members = [Member(one, training, training.start()) for one, training in trainings]
        totals = [training.total for _, training in trainings]
        self.total = None if None in totals else max(total or 0 for total in totals)

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
    def metric_names(self) -> list[str]:
        """What every report measures."""
        return names(self.members[0].training.metric_names, self.seeds, self.folds)

    @contextmanager
    def recorded(
        self, run: Run, started: Callable[[Run], None] = lambda nested: None
    ) -> Iterator[Iterator[Report]]:
        """The reports, each in its run's journal and, as a mean, in that of `run` before it is
        yielded. `started` is told of every nested run."""
        if len(self.members) == 1:
            (member,) = self.members
            member.run = run
            yield run.record(member.training.run(member.state))
            return
        with ExitStack() as nested:
            for k, member in enumerate(self.members):
                member.run = nested.enter_context(self._nested(k, member, run))
                started(member.run)
            yield run.record(self._together())

    def end(self, status: str, rule: str, reason: str) -> None:
        """Say how the members that have not ended by themselves ended."""
        for member in self.members:
            if member.run is not None and not member.run.ended:
                member.run.end(status, rule, reason)

    def keep_weights(self, run: Run) -> dict[str, str]:
        """Save every member's weights; tag `run` with hashes over all of them."""
        hashes = [
            member.run.keep_weights(member.training, member.state)
            for member in self.members
            if member.run is not None
        ]
        if len(hashes) == 1:
            return hashes[0]
        combined = {
            name: sha256("".join(one[name] for one in hashes).encode()).hexdigest()
            for name in hashes[0]
        }
        run.tag(combined)
        return combined

    def _nested(self, k: int, member: Member, run: Run) -> Run:
        seed, fold = divmod(k, self.folds)
        parts = [f"seed-{seed}"] if self.seeds > 1 else []
        parts += [f"fold-{fold}"] if self.folds > 1 else []
        tags = {"nnlab.member": str(k)}
        name = "-".join(parts)
        return Run.of(member.config, "member", tags, run.id, run.environment, name)

    def _together(self) -> Iterator[Report]:
        streams = []
        for member in self.members:
            assert member.run is not None
            streams.append(member.run.record(member.training.run(member.state)))
        latest = [next(stream) for stream in streams]
        step = 0
        while True:
            report = together(latest, self.seeds, self.folds, step)
            if self.until is not None and step >= self.until and report.stop is None:
                report = replace(report, stop=Stop("until", f"step {self.until} is reached"))
            yield report
            if report.stop:
                return
            going = [k for k, one in enumerate(latest) if one.stop is None]
            for k in going:
                latest[k] = next(streams[k])
            step = max(step + 1, *(latest[k].step for k in going))

"""Training a logged run again, and comparing what comes of it, in a run of its own."""

from collections.abc import Callable, Iterable, Iterator

from nnlab.reproduction import code, comparison, environment, parameters, report
from nnlab.reproduction.logged import Ended, Logged, Points
from nnlab.reproduction.verdict import Reproduction
from nnlab.runs.config import RunConfig
from nnlab.runs.execution import Execution
from nnlab.runs.run import WEIGHTS, Run
from nnlab.training.report import Report

Watch = Callable[[Iterable[Report], int | None], Iterator[Report]]
"""Passes reports on, of which the second argument says the last step: a progress bar, say."""


def begin(logged: Logged, config: RunConfig) -> Run:
    """The run that is to become the reproduction."""
    tags = {"nnlab.reproduces": logged.run, "nnlab.reproduces_mlflow": logged.mlflow}
    return Run.of(config, "reproduction", tags)


def again(
    logged: Logged,
    execution: Execution,
    new: Run,
    started: Callable[[Run], None],
    watch: Watch,
    tolerance: float = comparison.TOLERANCE,
) -> Reproduction:
    """Train to the original's end, compare, and keep the report in the new run's directory.

    Once the report is there the new run is tagged with the verdict, and its journal says the
    original's tag.
    """
    points: dict[tuple[int, str], float] = {}
    with execution.recorded(new, started) as reports:
        for last in watch(reports, execution.total):
            values = {**last.metrics, "epoch": last.epoch}
            points |= {(last.step, name): value for name, value in values.items()}
        hashes = execution.keep_weights(new)
    assert last.stop is not None
    ended = Ended(last.stop.rule, last.stop.reason, last.step)
    result = _compared(logged, execution, new, points, hashes, ended, tolerance)
    files = report.keep(new.path, report.told(result, new.name, new.environment.facts))
    new.journal.rest_on(*files)
    new.tag({"nnlab.reproduction": result.verdict})
    told = {"nnlab.reproduced": f"{result.verdict} by {new.id}"}
    new.journal.append("reproduced", of=logged.mlflow, tags=told)
    return result


def _compared(
    logged: Logged,
    execution: Execution,
    new: Run,
    points: Points,
    hashes: dict[str, str],
    ended: Ended,
    tolerance: float,
) -> Reproduction:
    facts, dirty = logged.environment, _dirty(logged)
    then_diff = "" if dirty is False else logged.diff
    now_diff = new.environment.diff
    rows = environment.judged(facts, new.environment.facts, (then_diff, now_diff))
    files = None
    if any(row.key.startswith(("code", "git.")) and row.can_change_bits for row in rows):
        files = code.differing(facts, then_diff or "", new.environment.facts, now_diff or "")
    networks = [
        (member.training.network, member.run.path / WEIGHTS)
        for member in execution.members
        if member.run is not None
    ]
    return Reproduction(
        logged,
        new.id,
        comparison.compare(logged, points),
        comparison.Stopped(logged.ended, ended, logged.by_config),
        comparison.hashes(logged, hashes),
        parameters.compare(logged.weights, networks),
        rows,
        files,
        tolerance,
    )


def _dirty(logged: Logged) -> object:
    git = logged.environment.get("git")
    return git.get("dirty") if isinstance(git, dict) else None

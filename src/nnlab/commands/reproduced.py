"""What `nnlab reproduce` prints: what was compared, how it differs, why, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from nnlab.commands.console import console, say
from nnlab.commands.judgement import judged
from nnlab.reproduction.comparison import CALLED, sampled
from nnlab.reproduction.verdict import CODES, DIFFERENT, ENVIRONMENT, IDENTICAL

if TYPE_CHECKING:
    from nnlab.errors import UserError
    from nnlab.reproduction.logged import Study, Trial
    from nnlab.reproduction.verdict import Reproduction

STYLES = {IDENTICAL: "bold green", ENVIRONMENT: "bold yellow", DIFFERENT: "bold red"}
STEPS = 8
"""So many steps are shown in a terminal."""
_CAUSES = {ENVIRONMENT: "what can change bits", DIFFERENT: "cause"}
"""What causes are called where every bit is equal."""
_WORDS = {True: "identical", False: "different", None: "not logged then"}


def show(result: Reproduction) -> None:
    """All of it, the verdict last."""
    console.print(_compared(result))
    if result.compared.first is not None:
        say(f"first difference: {result.compared.first}")
        console.print(_over_time(result))
    elif not result.equal:
        what = "how it ended" if not result.stopped.equal else "the hashes"
        say(f"first difference: in {what}; all metric points are equal")
    if result.weights.first is not None:
        by = result.weights.parameters[result.weights.first].largest_relative
        say(f"first array that differs: {result.weights.first}, at most by {by:.2g} relatively")
    if result.environment:
        say("the environment differs (then -> now):")
        console.print(judged(result.environment, "reproduction.json"))
    cause = _CAUSES.get(result.verdict, "likely cause") if result.equal else "likely cause"
    for sentence in result.cause:
        say(f"{cause}: {sentence}" if sentence == result.cause[0] else f"also: {sentence}")
    for sentence in result.notes:
        say(f"note: {sentence}", "yellow")
    say(str(result), STYLES[result.verdict])


def show_all(study: Study, lines: Sequence[tuple[Trial, Reproduction | UserError]]) -> None:
    """A line for each trial, and one with the counts."""
    table = Table(box=None, pad_edge=False)
    for name in ("trial", "run", "ended", "verdict", ""):
        table.add_column(name)
    for trial, outcome in lines:
        verdict, what = _line(outcome)
        cells = (str(trial.trial), trial.run, trial.state.lower(), verdict, what)
        table.add_row(*map(Text, cells), style=STYLES.get(verdict, ""))
    console.print(table)
    counts = ", ".join(f"{number} {what}" for what, number in counted(lines).items() if number)
    every = "all" if len(lines) == len(study.trials) else f"{len(lines)} of"
    say(f"{study.name}: {every} {len(study.trials)} trials: {counts}", "bold")


def counted(lines: Sequence[tuple[Trial, Reproduction | UserError]]) -> dict[str, int]:
    """How many trials have each verdict, were skipped, or could not be reproduced."""
    verdicts = [_line(outcome)[0] for _, outcome in lines]
    return {verdict: verdicts.count(verdict) for verdict in (*CODES, "skipped", "error")}


def _line(outcome: Reproduction | UserError) -> tuple[str, str]:
    from nnlab.errors import UserError
    from nnlab.reproduction.logged import NotBegunError

    if isinstance(outcome, UserError):
        return "skipped" if isinstance(outcome, NotBegunError) else "error", str(outcome)
    what = f"{outcome.compared.points} points" if outcome.equal else _first(outcome)
    return outcome.verdict, "; ".join((what, *outcome.cause[:1]))


def _first(result: Reproduction) -> str:
    if result.compared.first is not None:
        return str(result.compared.first)
    return "how it ended" if not result.stopped.equal else "the hashes"


def _compared(result: Reproduction) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    every = result.compared.points
    table.add_row("metric points", f"{every - result.compared.differing} of {every} identical")
    then, now = result.stopped.then, result.stopped.now
    if not result.stopped.equal:
        ends = (f"step {one.step} by {one.rule} ({one.reason})" for one in (then, now))
        ended = "different: {} then, {} now".format(*ends)
    elif result.stopped.by_config:
        ended = f"identical: {then.reason}"
    else:
        ended = f"at the same step; the original was ended by {then.rule or 'nobody said what'}"
    table.add_row("end", Text(ended, style="" if result.stopped.equal else "red"))
    for tag, one in result.hashes.items():
        table.add_row(CALLED[tag], Text(_WORDS[one.equal], style=_style(one.equal)))
    arrays = result.weights.parameters
    if arrays:
        same = sum(one.equal for one in arrays.values())
        told = Text(f"{same} of {len(arrays)} identical", style=_style(same == len(arrays)))
    else:
        told = Text(f"not compared: {result.weights.damage}")
    table.add_row("arrays of the weights", told)
    return table


def _over_time(result: Reproduction) -> Table:
    """The relative differences at a few steps."""
    compared = result.compared
    assert compared.first is not None
    table = Table(box=None, pad_edge=False)
    for name in ("step", compared.first.metric, "all metrics"):
        table.add_column(name, justify="right")
    for step, largest in sampled(compared.steps, STEPS):
        mine = compared.first_metric.get(step)
        table.add_row(f"{step:,}", "-" if mine is None else f"{mine:.2g}", f"{largest:.2g}")
    return table


def _style(equal: bool | None) -> str:
    return "red" if equal is False else ""

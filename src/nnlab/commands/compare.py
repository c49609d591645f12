"""`nnlab compare RUN RUN ...`: what runs were given, what came of it, and how they differ."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from nnlab.commands.info import check_selector, directory, fetched, logged
from nnlab.commands.options import check_uri, found_store, parser
from nnlab.errors import UserError
from nnlab.reproduction.comparison import CALLED

if TYPE_CHECKING:
    from rich.table import Table

    from nnlab.reproduction.environment import Row
    from nnlab.runs.comparison import Comparison, Side

PICTURE = "compare.png"
EVALUATIONS = 12
"""So many rows of curves are shown in a terminal."""


def run(arguments: Sequence[str]) -> int:
    """Exit code 0, however they differ; 2 if a run is not there."""
    made = parser("compare", "Compare runs: config, metrics, hashes, environment, curves.")
    made.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="an id or its beginning, a name, or 'best of STUDY'; two or more",
    )
    made.add_argument("--picture", metavar="FILE", help=f"where curves are drawn ({PICTURE})")
    made.add_argument("--json", action="store_true", help="for programs; draws only by --picture")
    options = made.parse_args(arguments)
    if options.uri:
        check_uri(options.uri)
    if len(options.runs) < 2:
        raise UserError(f"two or more runs are compared, but got only {options.runs[0]}")
    for selector in options.runs:
        check_selector(selector)
    store = found_store(options)
    from nnlab.runs.comparison import Comparison
    from nnlab.runs.journal import in_json

    comparison = Comparison([_side(store, selector, options.uri) for selector in options.runs])
    _check(comparison.sides)
    if options.json:
        print(json.dumps(in_json(_told(comparison)), indent=1))
    else:
        _show(comparison)
    if options.picture or not options.json:
        _draw(comparison, Path(options.picture or PICTURE), silent=options.json)
    return 0


def _side(store: Path, selector: str, uri: str | None) -> Side:
    """The run by its directory or, where there is none, by the tracker."""
    from nnlab.runs.comparison import of_directory, of_tracker

    path = directory(store, selector)
    if path is not None:
        return of_directory(path)
    with TemporaryDirectory() as folder:
        found, place = fetched(store, selector, uri, Path(folder))
        told = logged(found, Path(folder), place)
    return of_tracker(told, found.config, found.points, found.environment)


def _check(sides: Sequence[Side]) -> None:
    seen: dict[str, Side] = {}
    for side in sides:
        if side.run in seen:
            raise UserError(f"different runs are compared, but {side.name} is named twice")
        seen[side.run] = side
    studies = [side for side in sides if side.kind == "study"]
    if studies and len(studies) < len(sides):
        one = studies[0]
        raise UserError(
            f"studies are compared with studies, but {one.name} is one and others are not; "
            f"'best of {one.run}' is its best trial"
        )


def _environments(comparison: Comparison) -> list[list[Row] | None]:
    """Of each side but the first: how its environment differs; None where it was not kept."""
    from nnlab.reproduction.environment import judged

    first, *others = (side.environment for side in comparison.sides)
    return [None if first is None or one is None else judged(first, one) for one in others]


def _told(comparison: Comparison) -> dict[str, object]:
    """All of it as plain data; lists are in the order of the runs."""
    kept = ("run", "name", "kind", "state", "reason", "step")
    return {
        "runs": [{key: getattr(side, key) for key in kept} for side in comparison.sides],
        "config": comparison.config(),
        "metrics": comparison.final(),
        "points": [{"all": every, "equal": same} for every, same in comparison.points()],
        "hashes": comparison.hashes(),
        "environment": [
            None if rows is None else [asdict(row) for row in rows]
            for rows in _environments(comparison)
        ],
        "curves": {
            "over": _over(comparison),
            "at": comparison.common(),
            **comparison.curves(),
        },
    }


def _over(comparison: Comparison) -> str:
    return "trials" if comparison.studies else "epoch"


def _show(comparison: Comparison) -> None:
    from nnlab.commands.console import console, say

    sides = comparison.sides
    for k, side in enumerate(sides):
        say(f"{_letter(k)}  {side.name}  run {side.run}  {side.state}: {side.reason}", "bold")
    say("")
    config = comparison.config()
    if config:
        console.print(_table("config", len(sides), _config(config)))
    else:
        say("config: the same")
    say("")
    console.print(_table("last metrics", len(sides), _metrics(comparison)))
    say("")
    for line in _equal(comparison):
        say(line)
    for k, rows in enumerate(_environments(comparison), 1):
        _show_environment(_letter(k), rows)
    say("")
    common = comparison.common()
    if not common:
        say(f"there is no {_over(comparison)} at which all were evaluated")
        return
    for name, curves in comparison.curves().items():
        if not comparison.studies and "_" in name:  # those of averaged weights are in the picture
            continue
        console.print(_table(f"{name}, {_over(comparison)}", len(sides), _rows(common, curves)))
        say("")


def _show_environment(letter: str, rows: list[Row] | None) -> None:
    from nnlab.commands.console import console, say
    from nnlab.commands.judgement import judged

    if rows:
        say(f"environment of {letter} and A: differs (A -> {letter}):")
        console.print(judged(rows, "--json"))
    else:
        say(f"environment of {letter} and A: {'it was not kept' if rows is None else 'the same'}")


def _table(title: str, sides: int, rows: Iterator[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column(title)
    for k in range(sides):
        table.add_column(_letter(k), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _config(config: dict[str, list[str | None]]) -> Iterator[Sequence[str]]:
    for key, values in config.items():
        yield key, *("absent" if value is None else value for value in values)


def _metrics(comparison: Comparison) -> Iterator[Sequence[str]]:
    yield "step", *(f"{side.step:,}" for side in comparison.sides)
    for name, (first, *others) in comparison.final().items():
        yield name, _number(first), *(_beside(first, value) for value in others)


def _beside(first: float | None, value: float | None) -> str:
    """A value and, behind it, how much larger it is than the first run's."""
    if first is None or value is None:
        return _number(value)
    if first == value or (math.isnan(first) and math.isnan(value)):
        return f"{_number(value)} (equal)"
    return f"{_number(value)} ({value - first:+.2g})"


def _equal(comparison: Comparison) -> Iterator[str]:
    """What is equal to the last bit."""
    for k, (every, same) in enumerate(comparison.points(), 1):
        yield f"metric points of {_letter(k)} and A: {same} of {every} are equal"
    words = {True: "the same", False: "different", None: "not known of both"}
    for tag, answers in comparison.hashes().items():
        for k, answer in enumerate(answers, 1):
            yield f"{CALLED[tag]} of {_letter(k)} and A: {words[answer]}"


def _rows(common: Sequence[float], curves: list[list[float | None]]) -> Iterator[Sequence[str]]:
    """The first and the last evaluation, and as many between as are shown."""
    last = len(common) - 1
    shown = min(last, EVALUATIONS - 1)
    for k in sorted({round(one * last / max(shown, 1)) for one in range(shown + 1)}):
        yield f"{common[k]:g}", *(_number(curve[k]) for curve in curves)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"


def _letter(k: int) -> str:
    """A, B, ..., Z, then the number."""
    return chr(ord("A") + k) if k < 26 else str(k + 1)


def _draw(comparison: Comparison, path: Path, *, silent: bool) -> None:
    from nnlab.commands.console import say
    from nnlab.plots.comparison import compared
    from nnlab.plots.curves import save

    shown = comparison.shown()
    runs = {
        f"{_letter(k)}  {side.name}": {
            name: side.curves[name] for name in shown if name in side.curves
        }
        for k, side in enumerate(comparison.sides)
    }
    if not any(runs.values()):
        if not silent:
            say("there are no curves to draw")
        return
    try:
        save(compared(runs, "trials" if comparison.studies else "epoch"), path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error} (--picture)") from error
    if not silent:
        say(f"the curves are drawn in {path}")

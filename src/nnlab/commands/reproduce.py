"""`nnlab reproduce RUN`: train a run again from what MLflow logged, and compare bit for bit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from nnlab.commands.options import parse, parser
from nnlab.errors import UserError
from nnlab.reproduce import Logged, Verdict, compare, environment_differences, fetch
from nnlab.runs.runtime import pin_config

if TYPE_CHECKING:
    from rich.table import Table

HASHES = {
    "nnlab.data_sha256": "data",
    "nnlab.weights_sha256": "final weights",
    "nnlab.averaged_sha256": "averaged weights",
    "nnlab.batches_sha256": "order of batches",
}
"""What the tags of a run's hashes are called."""


def run(arguments: Sequence[str]) -> int:
    """Exit code 0 if the new run is identical, 1 if it differs."""
    made = parser("reproduce", "Train a run again from its logged config and compare bit for bit.")
    made.add_argument(
        "run", nargs="+", metavar="RUN", help="an id or its beginning, or: best of STUDY"
    )
    options = parse(made, arguments)
    selector = " ".join(options.run)
    if " " in selector and not re.fullmatch(r"best of \S+", selector):
        raise UserError(f"one run at a time, or `best of STUDY`, but got {selector!r}")
    with TemporaryDirectory() as folder:
        logged = fetch(options.uri, selector, Path(folder))
    return _reproduce(logged, options.uri, options.store)


def _reproduce(logged: Logged, uri: str, store: str) -> int:
    config = {**logged.config, "store": store}
    config["tracking"] = {**dict(config.get("tracking") or {}), "name": "mlflow", "uri": uri}
    pin_config(config)
    from nnlab.commands.console import console, say, with_progress
    from nnlab.commands.fetching import provide
    from nnlab.commands.tracked import Trackers
    from nnlab.data import fingerprint
    from nnlab.runs.config import parse as parse_config
    from nnlab.runs.execution import Execution
    from nnlab.runs.run import Run

    checked = parse_config(config)
    provide(checked.experiment.data)
    with fingerprint.anew():
        execution = Execution(checked, logged.until)
    points: dict[tuple[int, str], float] = {}
    tags = {"nnlab.reproduces": logged.run, "nnlab.reproduces_mlflow": logged.mlflow}
    with Trackers() as trackers:

        def follow(run: Run) -> None:
            trackers.follow(run.path, checked)

        with Run.of(checked, "reproduction", tags) as new:
            follow(new)
            say(f"reproducing {logged.name} (run {logged.run}) as {new.id}")
            with execution.recorded(new, follow) as reports:
                for report in with_progress(reports, execution.total):
                    values = {**report.metrics, "epoch": report.epoch}
                    points |= {(report.step, name): value for name, value in values.items()}
                hashes = execution.keep_weights(new)
            verdict = compare(logged, points, hashes)
            new.tag({"nnlab.reproduction": "identical" if verdict.identical else "different"})
        console.print(_table(verdict))
        differences = list(environment_differences(logged.environment, new.environment.facts))
        if not verdict.identical:
            say(f"first difference: {verdict.first or 'in the hashes'}")
        if differences:
            say("the environment differs (then -> now):")
            for difference in differences:
                say(f"  {difference}")
        if verdict.identical:
            say("identical: the run is reproduced bit for bit", "bold green")
        else:
            say("different: the run is not reproduced", "bold red")
    return 0 if verdict.identical else 1


def _table(verdict: Verdict) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    same = verdict.points - verdict.differing
    table.add_row("metric points", f"{same} of {verdict.points} identical")
    words = {True: "identical", False: "[red]different[/]", None: "not logged then"}
    for name, equal in verdict.hashes.items():
        table.add_row(HASHES[name], words[equal])
    return table

"""`nnlab reproduce RUN`: train a run again from what MLflow logged, and compare bit for bit.

Imports no NumPy: what was logged says by which of its kernels it computes.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from nnlab.commands.options import parse, parser
from nnlab.errors import RestartError, UserError
from nnlab.reproduction.comparison import TOLERANCE
from nnlab.reproduction.logged import Logged, NotBegunError, Trial, fetch, several, study
from nnlab.reproduction.places import check_there
from nnlab.runs.runtime import pin_config

if TYPE_CHECKING:
    from nnlab.commands.tracked import Trackers
    from nnlab.reproduction.verdict import Reproduction
    from nnlab.runs.config import RunConfig

_WORST = (0, 3, 1, 2)
"""Exit codes, each worse than the one before."""


def run(arguments: Sequence[str]) -> int:
    """Exit code 0 if identical, 1 if different, 3 if the environment differs; of several runs the
    worst, where 2 (one could not be reproduced) is worse than 1."""
    options = _options(arguments)
    selector = " ".join(options.run)
    if " " in selector and not re.fullmatch(r"best of \S+", selector):
        raise UserError(f"one run at a time, or `best of STUDY`, but got {selector!r}")
    if options.best and not selector.startswith("best of "):
        selector = f"best of {selector}"
    if options.json:
        from nnlab.commands.console import console

        console.file = sys.stderr
    if options.all:
        return _all(selector, options)
    with TemporaryDirectory() as folder:
        logged = fetch(options.uri, selector, Path(folder), "whole")
        if options.checkout:
            from nnlab.reproduction.checkout import recreate

            return recreate(logged, selector, options)
        return _one(logged, options)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    made = parser("reproduce", "Train a run again from its logged config and compare bit for bit.")
    made.add_argument(
        "run", nargs="+", metavar="RUN", help="an id or its beginning, a name, or: best of STUDY"
    )
    made.add_argument("--best", action="store_true", help="RUN is a study: its best trial")
    made.add_argument("--all", action="store_true", help="RUN is a study: all its trials")
    made.add_argument(
        "--sample", type=int, metavar="N", help="with --all: so many trials, drawn at random"
    )
    made.add_argument("--seed", type=int, metavar="S", help="of that drawing (0)")
    made.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        metavar="X",
        help="relative difference that another environment may make (0.001)",
    )
    made.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="FILE_OR_FOLDER",
        help="where the run's own data are looked for; may be given again",
    )
    made.add_argument("--json", action="store_true", help="for programs")
    checkout = made.add_argument_group("with the run's own code and packages")
    checkout.add_argument(
        "--checkout", action="store_true", help="build its commit and versions, reproduce there"
    )
    checkout.add_argument(
        "--trust-diff", action="store_true", help="apply its uncommitted diff: somebody's code"
    )
    checkout.add_argument("--keep", metavar="FOLDER", help="build it there and keep it")
    options = parse(made, arguments)
    if options.best and options.all:
        raise UserError("--best is one trial and --all are all of them: give one of the two")
    if options.sample is not None and not (options.all and options.sample >= 1):
        raise UserError(f"--sample N >= 1 goes with --all, but got --sample {options.sample}")
    if options.seed is not None and options.sample is None:
        raise UserError(f"--seed S goes with --sample N, but got --seed {options.seed} alone")
    if not options.checkout and (options.trust_diff or options.keep is not None):
        raise UserError("--trust-diff and --keep go with --checkout")
    if options.checkout and (options.all or options.json):
        raise UserError("--checkout is for one run, and without --json: its own nnlab speaks")
    if not 0 <= options.tolerance < math.inf:
        raise UserError(f"--tolerance must be finite and >= 0, but got {options.tolerance}")
    check_there([Path(one) for one in options.data])
    return options


def _one(logged: Logged, options: argparse.Namespace) -> int:
    config = _given(logged, options)
    from nnlab.commands.reproduced import show
    from nnlab.commands.tracked import Trackers
    from nnlab.reproduction.verdict import CODES

    with Trackers() as trackers:
        result, told = _reproduced(logged, config, options, trackers)
        show(result)
    if options.json:
        print(json.dumps(told, indent=1))
    return CODES[result.verdict]


def _all(selector: str, options: argparse.Namespace) -> int:
    """Reproduce the trials of a study, one after another."""
    found = study(options.uri, selector)
    trials = list(found.trials)
    if not trials:
        raise UserError(f"study {found.name} has no trial")
    if options.sample is not None and options.sample < len(trials):
        drawn = random.Random(options.seed or 0).sample(trials, options.sample)  # noqa: S311
        trials = sorted(drawn, key=lambda one: one.trial)
    lines: list[tuple[Trial, Reproduction | UserError]] = []
    told: list[dict[str, Any]] = []
    codes = [0]
    with ExitStack() as stack:
        trackers: Trackers | None = None
        for trial, logged in several(options.uri, trials):
            one: dict[str, Any]
            try:
                if isinstance(logged, UserError):
                    raise logged
                config = _given(logged, options)
                from nnlab.commands.tracked import Trackers
                from nnlab.reproduction.verdict import CODES

                trackers = trackers or stack.enter_context(Trackers())
                result, one = _reproduced(logged, config, options, trackers)
                lines.append((trial, result))
                codes.append(CODES[result.verdict])
            except RestartError:  # the command begins anew, with the kernel of this config
                raise
            except UserError as error:
                lines.append((trial, error))
                skipped = isinstance(error, NotBegunError)
                one = {"run": trial.run, "skipped" if skipped else "error": str(error)}
                codes.append(0 if skipped else 2)
            told.append({"trial": trial.trial, **one})
    from nnlab.commands.reproduced import counted, show_all

    show_all(found, lines)
    if options.json:
        head = {"study": found.study, "name": found.name, "counts": counted(lines)}
        print(json.dumps({**head, "trials": told}, indent=1))
    return max(codes, key=_WORST.index)


def _given(logged: Logged, options: argparse.Namespace) -> RunConfig:
    """What the run was given, its results going elsewhere; pins how NumPy is loaded."""
    logged.check_begun()
    config = {**logged.config, "store": options.store}
    tracking = config.get("tracking")
    shown = dict(tracking) if isinstance(tracking, Mapping) else {}
    config["tracking"] = {**shown, "name": "mlflow", "uri": options.uri}
    pin_config(config)
    from nnlab.reproduction.locating import located
    from nnlab.runs.config import parse as checked
    from nnlab.runs.plugged import made_with

    with made_with(logged.environment):
        return checked(located(config, logged.data, [Path(one) for one in options.data]))


def _reproduced(
    logged: Logged, config: RunConfig, options: argparse.Namespace, trackers: Trackers
) -> tuple[Reproduction, dict[str, Any]]:
    """Train it again in a run of its own; the result, also as plain data."""
    from nnlab.commands.console import say, with_progress
    from nnlab.commands.fetching import provide
    from nnlab.data import fingerprint
    from nnlab.reproduction.again import again, begin
    from nnlab.reproduction.report import JSON
    from nnlab.runs.execution import Execution
    from nnlab.runs.run import Run

    provide(config.experiment.data)
    with fingerprint.anew():
        execution = Execution(config, logged.until)

    def follow(run: Run) -> None:
        trackers.follow(run.path, config)

    with begin(logged, config) as new:
        follow(new)
        say(f"reproducing {logged.name} (run {logged.run}) as {new.id}")
        result = again(logged, execution, new, follow, with_progress, options.tolerance)
        told = json.loads((new.path / JSON).read_text(encoding="utf-8"))
    return result, told

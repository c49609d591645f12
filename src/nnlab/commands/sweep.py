"""`nnlab sweep [NAME] [SETTINGS] [OVERRIDES]`: search for the best hyperparameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from nnlab.commands.options import store_option
from nnlab.errors import UserError
from nnlab.runs.runtime import pin

if TYPE_CHECKING:
    from nnlab.sweeps.definition import Definition
    from nnlab.sweeps.sweep import Sweep, Trial

DEFAULT = "digits"

USAGE = """usage: nnlab sweep [NAME] [SETTING=VALUE ...] [OVERRIDE ...]

Searches for the best hyperparameters. NAME is a file in sweeps/ (default: digits).

settings of the sweep   trials=40 workers=2 sampler=tpe|random pruner=median|none
                        metric=validation/loss direction=minimize|maximize sweep.seed=0
overrides               of the experiment, as for `nnlab train`: data=iris model.hidden=[32]

sweeps: {sweeps}
"""


def run(arguments: Sequence[str]) -> int:
    """Run a sweep; exit code 1 if no trial was completed."""
    pin(1)  # before NumPy is loaded; a sweep's trials are its parallelism
    from nnlab.sweeps.definition import available, define

    if {"-h", "--help"} & set(arguments):
        print(USAGE.format(sweeps=", ".join(available())), end="")
        return 0
    options = [argument for argument in arguments if argument.startswith("--")]
    if options:
        raise UserError(f"nnlab sweep has no option {options[0]}; see `nnlab sweep --help`")
    named = bool(arguments) and "=" not in arguments[0]
    name = arguments[0] if named else DEFAULT
    return _sweep(define(name, arguments[1:] if named else arguments))


def _sweep(definition: Definition) -> int:
    from nnlab.commands.board import Board
    from nnlab.commands.tracked import Trackers
    from nnlab.runs.environment import capture
    from nnlab.runs.run import Run
    from nnlab.sweeps.definition import Candidates
    from nnlab.sweeps.engine import LocalEngine
    from nnlab.sweeps.sweep import Sweep

    candidates = Candidates(definition)
    config = candidates.check()
    pin(config.runtime.threads)
    sweep: Sweep | None = None
    environment = capture()
    with Trackers() as trackers:
        try:
            with Run(
                config.store,
                kind="study",
                name=definition.name,
                tracking=config.tracking,
                config={"sweep": definition.plain, "experiment": config.plain},
                environment=environment,
            ) as study:
                trackers.follow(study.path, config)
                with closing(LocalEngine(definition.slots)) as engine:
                    sweep = Sweep(definition, candidates, engine)
                    board = Board(sweep)
                    for trial in board.shown(sweep.run(study, environment)):
                        for run in trial.runs:
                            trackers.follow(config.store / "runs" / run, config)
                board.conclude()
        except KeyboardInterrupt:
            if sweep:
                _say_how_to_go_on(sweep.settle(), config.store)
            raise
        finally:
            for trial in sweep.settle() if sweep else ():
                for run in trial.runs:
                    trackers.follow(config.store / "runs" / run, config)
            trackers.best = sweep.best.run if sweep and sweep.best else None
    return 0 if sweep and sweep.best else 1


def _say_how_to_go_on(trials: Iterable[Trial], store: Path) -> None:
    """A line for each trial that was interrupted."""
    from nnlab.commands.console import say

    option = store_option(store)
    for trial in trials:
        if trial.state == "RUNNING" and trial.run:
            say(f"to go on with trial {trial.number}: nnlab train --resume {trial.run}{option}")

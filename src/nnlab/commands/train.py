"""`nnlab train [OVERRIDES]`: a Hydra application that trains one experiment, or a grid of them.

`nnlab train --resume RUN` goes on with a run that was interrupted.

Imports no NumPy: the config says by which of its kernels it computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nnlab.commands.options import parser, store_option
from nnlab.errors import UserError
from nnlab.runs.compose import run_app
from nnlab.runs.plain import Config
from nnlab.runs.runtime import pin_config

if TYPE_CHECKING:
    from nnlab.commands.tracked import Trackers
    from nnlab.runs.config import RunConfig
    from nnlab.runs.execution import Execution
    from nnlab.runs.run import Run


def run(arguments: Sequence[str]) -> int:
    """Train what the overrides compose, or go on with a run."""
    with Trainings() as trainings:
        if any(argument.partition("=")[0] == "--resume" for argument in arguments):
            made = parser("train", "Go on with an interrupted run, to the same bits.", uri=False)
            made.add_argument(
                "--resume", required=True, metavar="RUN", help="an id, or its beginning"
            )
            options, more = made.parse_known_args(arguments)
            if more:
                raise UserError(
                    f"a run goes on with its own config and takes no {more[0]}; "
                    "`nnlab train` without --resume begins another one"
                )
            trainings.resume(Path(options.store), options.resume)
        else:
            run_app(arguments, trainings.train)
    return 1 if trainings.failed else 0


class Trainings(ExitStack):
    """The trainings of one command, shown in MLflow by one process, as a context.

    What needs NumPy is imported after the first config has pinned how NumPy is loaded.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failed = False
        self.trackers: Trackers | None = None
        self.runs: list[str] = []

    def train(self, config: Config) -> None:
        """Train one experiment and print its results."""
        pin_config(config)
        from nnlab.commands.fetching import provide
        from nnlab.runs.config import parse
        from nnlab.runs.execution import Execution
        from nnlab.runs.run import Run

        checked = parse(config)
        provide(checked.experiment.data)
        execution = Execution(checked)
        self._train(checked, execution, lambda: Run.of(checked, "train"))

    def resume(self, store: Path, text: str) -> None:
        """Go on with a run that was interrupted, in its own directory."""
        from nnlab.runs.destination import moved
        from nnlab.runs.past import CONFIG, find
        from nnlab.runs.plain import load

        path = find(store, text)
        logged = load(path / CONFIG)
        config = moved(logged, store)
        pin_config(config)
        from nnlab.commands.console import say
        from nnlab.commands.fetching import provide
        from nnlab.data import fingerprint
        from nnlab.reproduction.environment import environment_differences
        from nnlab.runs.config import parse
        from nnlab.runs.environment import recorded
        from nnlab.runs.execution import Execution
        from nnlab.runs.plugged import made_with
        from nnlab.runs.run import Run

        run = Run.reopen(path)
        try:
            run.past.check_resumable(logged)
            with made_with(recorded(path)):
                checked = parse(config)
            provide(checked.experiment.data)
            with fingerprint.anew():
                execution = Execution(checked)
            for damage in execution.restore(run):
                say(damage, "yellow")
        except UserError:
            run.journal.close()
            raise
        for difference in environment_differences(recorded(path), run.environment.facts):
            say(f"the environment differs (then -> now): {difference}", "yellow")
        say(f"going on at step {execution.step}; {len(run.past.reports)} evaluations are there")
        self._train(checked, execution, lambda: run)

    def _train(self, checked: RunConfig, execution: Execution, begin: Callable[[], Run]) -> None:
        from nnlab.commands.console import console, results, say, uncertainty, with_progress
        from nnlab.commands.tracked import Trackers
        from nnlab.runs.past import TRIAL_STATE

        trackers = self.trackers = self.trackers or self.enter_context(Trackers())

        def follow(run: Run) -> None:
            trackers.follow(run.path, checked)

        run = begin()
        self.runs.append(run.id)
        trackers.best = run.id if len(self.runs) == 1 else None
        with _resumable(run), run:
            follow(run)
            say(f"{run.name}  run {run.id}", "bold")
            if checked.preflight and not run.past.reports:
                say(f"{len(execution.preflight(run).lines)} checks are green (preflight.txt)")
            with execution.recorded(run, follow) as reports:
                for report in with_progress(reports, execution.total):
                    last = report
                execution.keep_weights(run)
            if run.past.start["kind"] == "trial":  # resumed, without its sweep
                state = "FAILED" if last.stop and last.stop.diverged else "COMPLETE"
                run.tag({TRIAL_STATE: state})
        assert last.stop is not None
        console.print(results(last.metrics))
        if len(execution.members) > 1:
            say(uncertainty(execution.seeds, execution.folds))
        diverged = last.stop.diverged
        say(
            f"{'FAILED, diverged: ' * diverged}{last.stop.reason}: "
            f"{last.step} steps in {last.seconds:.2f} s",
            "bold red" if diverged else "",
        )
        if diverged:
            say("`nnlab check` with the same overrides may tell why", "red")
        self.failed |= last.stop.diverged
        execution.heed()


@contextmanager
def _resumable(run: Run) -> Iterator[None]:
    """Say how to go on, if it is interrupted."""
    from nnlab.commands.console import say

    try:
        yield
    except KeyboardInterrupt:
        say(f"to go on: nnlab train --resume {run.id}{store_option(run.path.parents[1])}")
        raise

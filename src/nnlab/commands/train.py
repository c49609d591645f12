"""`nnlab train [OVERRIDES]`: a Hydra application that trains one experiment, or a grid of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nnlab.runs.compose import run_app
from nnlab.runs.plain import Config
from nnlab.runs.runtime import pin_config

if TYPE_CHECKING:
    from nnlab.commands.tracked import Trackers


def run(arguments: Sequence[str]) -> int:
    """Train what the overrides compose."""
    trainings = Trainings()
    try:
        run_app(arguments, trainings.train)
    finally:
        if trainings.trackers:
            trainings.trackers.finish(trainings.only)
    return 1 if trainings.failed else 0


class Trainings:
    """The trainings of one command, shown in MLflow by one process.

    What needs NumPy is imported after the first config has pinned how NumPy is loaded.
    """

    def __init__(self) -> None:
        self.failed = False
        self.trackers: Trackers | None = None
        self.runs: list[str] = []

    @property
    def only(self) -> str | None:
        """The run of the one training, where there was one."""
        return self.runs[0] if len(self.runs) == 1 else None

    def train(self, config: Config) -> None:
        """Train one experiment and print its results."""
        pin_config(config)
        from nnlab.commands.console import console, results, say, uncertainty, with_progress
        from nnlab.commands.tracked import Trackers
        from nnlab.runs.config import parse
        from nnlab.runs.execution import Execution
        from nnlab.runs.run import Run

        checked = parse(config)
        execution = Execution(checked)
        trackers = self.trackers = self.trackers or Trackers()

        def follow(run: Run) -> None:
            trackers.follow(run.path, checked)

        with Run.of(checked, "train") as run:
            follow(run)
            self.runs.append(run.id)
            say(f"{run.name}  run {run.id}", "bold")
            if checked.preflight:
                say(f"{len(execution.preflight(run).lines)} checks are green (preflight.txt)")
            with execution.recorded(run, follow) as reports:
                for report in with_progress(reports, execution.total):
                    last = report
                execution.keep_weights(run)
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

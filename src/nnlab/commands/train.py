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
            trainings.trackers.finish()
    return 1 if trainings.failed else 0


class Trainings:
    """The trainings of one command, shown in MLflow by one process.

    What needs NumPy is imported after the first config has pinned how NumPy is loaded.
    """

    def __init__(self) -> None:
        self.failed = False
        self.trackers: Trackers | None = None

    def train(self, config: Config) -> None:
        """Train one experiment and print its results."""
        pin_config(config)
        from nnlab.commands.console import console, results, say, with_progress
        from nnlab.commands.tracked import Trackers
        from nnlab.runs.config import parse, prepare
        from nnlab.runs.run import Run

        checked = parse(config)
        training = prepare(checked)
        self.trackers = self.trackers or Trackers()
        state = training.start()
        with Run.of(checked, "train") as run:
            self.trackers.follow(run.path, checked)
            say(f"{run.name}  run {run.id}", "bold")
            for report in with_progress(run.record(training.run(state)), training.total):
                last = report
            run.keep_weights(training, state)
        assert last.stop is not None
        console.print(results(last.metrics))
        say(f"{last.stop.reason}: {last.step} steps in {last.seconds:.2f} s")
        self.failed |= last.stop.diverged

"""The card: every check of an experiment, green or red."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from nnlab.training.experiment import Experiment
from nnlab.training.preflight import examples, learning, mathematics, wiring
from nnlab.training.preflight.excerpt import excerpt
from nnlab.training.preflight.line import Line
from nnlab.training.trainer import Training

Check = Callable[[Training], Iterator[Line]]

CHECKS: tuple[Check, ...] = (
    examples.data,
    examples.split,
    examples.leaks,
    examples.labels,
    wiring.batches,
    wiring.evaluation,
    wiring.optimizer,
    wiring.averaging,
    mathematics.initial_weights,
    mathematics.initial_loss,
    mathematics.large_scores,
    mathematics.gradients,
    mathematics.penalty,
    learning.overfits,
    learning.learns,
)


@dataclass(frozen=True)
class Card:
    """The outcome of every check."""

    lines: tuple[Line, ...]

    @property
    def passed(self) -> bool:
        """Are all lines green?"""
        return all(line.passed for line in self.lines)

    @property
    def red(self) -> tuple[Line, ...]:
        """The lines that are not."""
        return tuple(line for line in self.lines if not line.passed)

    def __str__(self) -> str:
        width = max(len(line.name) for line in self.lines)
        rows = [
            f"{'ok ' if line.passed else 'RED'}  {line.name:<{width}}  {line.detail}"
            for line in self.lines
        ]
        done = f"{len(self.lines) - len(self.red)} of {len(self.lines)} checks are green"
        return "\n".join([*rows, done]) + "\n"


def check(experiment: Experiment) -> Card:
    """The card of an experiment; raises `LawError` where its parts do not fit each other.

    Nothing of it is changed: the checks make trainings of their own. Of data that are read a
    window at a time they look at an excerpt.
    """
    lines: list[Line] = []
    if getattr(experiment.data, "window", 0):
        experiment, line = excerpt(experiment)
        lines.append(line)
    return Card((*lines, *(line for one in CHECKS for line in _lines(one, experiment))))


def _lines(one: Check, experiment: Experiment) -> Iterator[Line]:
    """The lines of a check; one that raises is red: it met what it does not expect."""
    training = Training(experiment)
    try:
        with np.errstate(all="ignore"):
            yield from one(training)
    except Exception as error:
        name = one.__name__.replace("_", " ")
        yield Line(name, False, f"{type(error).__name__}: {error}")

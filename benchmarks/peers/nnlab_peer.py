"""nnlab itself: the trainer's own loop, which `nnlab train` runs between two evaluations."""

from collections.abc import Sequence

from benchmarks.peers.cases import Problem
from benchmarks.peers.peer import FIRST

from nnlab.core.arrays import Workspace


class NNLab:
    """The step, the order of batches and its hash, the check for finite values: all of it."""

    def __init__(self, problem: Problem, threads: int) -> None:
        self.training = problem.training
        self.start()

    def start(self) -> None:
        self.state = self.training.start()

    def epoch(self, k: int) -> None:
        training, state = self.training, self.state
        upto = state.step + training.order.steps_per_epoch
        if not training.advance(state, training.oracle, upto):
            raise ArithmeticError(f"the loss is not finite at step {state.step}")

    def first(self) -> Sequence[float]:
        """The loss of each batch at the weights before its step, by network and loss alone."""
        training, state, losses = self.training, self.state, []
        for _ in range(FIRST):
            rows, work = training.order.rows(state.step), Workspace()
            z = training.network.forward(state.theta, training.batch.x[rows], work)[-1]
            losses.append(float(training.loss(z, training.batch.y[rows], work)[0]))
            training.advance(state, training.oracle, state.step + 1)
        return losses

"""The loop over steps: gather a batch, step, average."""

import math
from time import perf_counter

import numpy as np

from nnlab.core.arrays import Array, Hyper, Workspace
from nnlab.core.objective import Batch, Oracle
from nnlab.core.schedules import Factor
from nnlab.training.experiment import Experiment
from nnlab.training.pause import Pause
from nnlab.training.state import TrainingState

SEARCH = 4
"""The random stream of gradient-free steps."""

BUFFER = 4096
"""Numbers in NumPy's own buffer where several models are stepped. With 8192, its default, rows of
about 2,000 numbers go through the buffer, which takes longer than the arithmetic does; one model is
a row alone. No bits depend on it."""

NEVER = Pause()
"""No pause is wanted."""


class Steps:
    """What is stepped: a training, or several in one theta."""

    experiment: Experiment
    scale: Factor
    """The schedule's factor on the learning rate at each step."""
    average_from: int
    average_every: int

    def advance(
        self,
        state: TrainingState,
        oracle: Oracle,
        upto: int,
        deadline: float = math.inf,
        pause: Pause = NEVER,
    ) -> bool:
        """Step from `state` on until step `upto`, the deadline or a pause, asking `oracle`; False
        as soon as the objective is not finite."""
        experiment, work = self.experiment, oracle.work
        optimizer, averaging, buffers = experiment.optimizer, experiment.averaging, state.buffers
        held = self.held(state)
        tries = optimizer.gradient_free or optimizer.full_batch
        with np.errstate(all="ignore"):
            if state.theta.ndim > 1:
                np.setbufsize(BUFFER)  # until this context is left
            while state.step < upto:
                oracle.batch = self._gather(state, work)
                if tries:  # points that are not kept leave the running statistics alone
                    oracle.batch = oracle.batch._replace(buffers=None)
                oracle.seed = (experiment.seed, SEARCH, state.step)
                scale = self.scale(state.step) * held
                value = optimizer.step(state.theta, state.optimizer, oracle, scale)
                if tries and buffers.size:
                    oracle.batch = oracle.batch._replace(buffers=buffers)
                    oracle.value(state.theta)
                state.step += 1
                late = state.step - self.average_from
                if late > 0 and late % self.average_every == 0:
                    averaging.update(state.theta, state.averaging, work)
                    if buffers.size:
                        averaging.update(buffers, state.averaging_buffers, work)
                if not self._finite(value):
                    return False
                if (now := perf_counter()) >= deadline or now >= pause.at:
                    break
        return True

    def _gather(self, state: TrainingState, work: Workspace) -> Batch:
        """The batch of the step that comes next."""
        raise NotImplementedError

    def _finite(self, value: Array) -> bool:
        """Is the objective's value finite?"""
        return math.isfinite(value)

    def held(self, state: TrainingState) -> Hyper:
        """What reports have made of the learning rate."""
        raise NotImplementedError

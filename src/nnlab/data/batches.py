"""The order in which examples are seen, and the batches of inputs in that order."""

from functools import cached_property
from typing import Protocol

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.view import Inputs

ORDER = 1
"""The random stream of batch orders."""


class Order(Protocol):
    """Which examples are in the batch of each step."""

    examples: int
    batch_size: int

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch; the last one holds what is left."""

    def rows(self, step: int) -> Array:
        """The row numbers of the batch of step 0, 1, 2, ..."""


class Batches(Protocol):
    """The inputs of the batch of each step."""

    def take(self, step: int, rows: Array, out: Array) -> Array:
        """Those of a step, whose `rows` the order tells, written to `out` `(m, features)`."""

    def close(self) -> None:
        """Nothing is read any more, until a batch is asked for."""


class Gathered:
    """Batches of inputs that are in memory."""

    def __init__(self, x: Inputs) -> None:
        self.x = x

    def take(self, step: int, rows: Array, out: Array) -> Array:
        return self.x.take(rows, 0, out, "clip")

    def close(self) -> None:
        pass


class BatchOrder:
    """A new random order of n examples for every epoch, a function of (seed, epoch) alone.

    So a resumed run knows the order of the epoch it was in without having saved it.
    """

    def __init__(self, seed: int, examples: int, batch_size: int) -> None:
        self.seed = seed
        self.examples = examples
        self.batch_size = min(batch_size, examples)
        self._epoch = -1
        self._order: Array = np.empty(0, np.intp)

    @cached_property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch; the last one holds what is left."""
        return -(-self.examples // self.batch_size)

    def rows(self, step: int) -> Array:
        """The row numbers of the batch of step 0, 1, 2, ..."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            rng = np.random.default_rng([self.seed, ORDER, epoch])
            self._epoch, self._order = epoch, rng.permutation(self.examples)
        start = position * self.batch_size
        return self._order[start : start + self.batch_size]

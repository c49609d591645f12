"""The order in which examples are seen."""

import numpy as np

from nnlab.core.arrays import Array

ORDER = 1
"""The random stream of batch orders."""


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

    @property
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

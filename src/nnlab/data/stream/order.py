"""The order in which examples of a file are seen: at random within a window, windows at random."""

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.batches import ORDER

BLOCKS = 64
"""A window is gathered from so many places of the file."""


class WindowOrder:
    """A new order of n examples for every epoch, a function of (seed, epoch) alone.

    The blocks, which lie together in the file, are permuted; as many as there is room for in a
    window are gathered, their examples are permuted, and so window after window. Every example is
    there once in an epoch. Nothing of size n is held: an order of 10^7 examples takes as little as
    one of 10^3. A window that has room for all is a permutation of all.
    """

    def __init__(self, seed: int, edges: Array, batch_size: int, window: int) -> None:
        """`edges` `(blocks + 1,)`: block k has the examples `edges[k]` to before `edges[k + 1]`,
        not more than a window has room for."""
        self.seed = seed
        self.edges = edges
        self.examples = int(edges[-1])
        self.batch_size = min(batch_size, self.examples)
        self.window_size = min(window, self.examples)
        self._epoch = -1
        self._blocks = self._firsts = self._starts = np.empty(0, np.intp)
        self._recent: list[tuple[tuple[int, int], Array]] = []

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch; the last one holds what is left."""
        return -(-self.examples // self.batch_size)

    def span(self, step: int) -> tuple[int, int, int]:
        """The epoch of the batch of a step, and its first and last (excluded) place in it."""
        epoch, position = divmod(step, self.steps_per_epoch)
        start = position * self.batch_size
        return epoch, start, min(start + self.batch_size, self.examples)

    def rows(self, step: int) -> Array:
        """The row numbers of the batch of step 0, 1, 2, ..."""
        epoch, start, stop = self.span(step)
        pieces = []
        while start < stop:
            k = self.at(epoch, start)
            first, last = self.starts(epoch)[k : k + 2].tolist()
            upto = min(stop, last)
            pieces.append(self.window(epoch, k)[start - first : upto - first])
            start = upto
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def at(self, epoch: int, place: int) -> int:
        """The window that has a place of the epoch."""
        return int(np.searchsorted(self.starts(epoch), place, "right")) - 1

    def starts(self, epoch: int) -> Array:
        """The first place of each window in an epoch, and then the number of places."""
        if epoch != self._epoch:
            rng = np.random.default_rng([self.seed, ORDER, epoch])
            self._blocks = rng.permutation(len(self.edges) - 1)
            ends = np.cumsum(np.diff(self.edges)[self._blocks])
            firsts = [0]
            while firsts[-1] < len(ends):
                before = ends[firsts[-1] - 1] if firsts[-1] else 0
                room = np.searchsorted(ends, before + self.window_size, "right")
                firsts.append(max(int(room), firsts[-1] + 1))
            self._firsts = np.array(firsts)
            self._starts = np.concatenate([[0], ends[self._firsts[1:] - 1]])
            self._epoch = epoch
        return self._starts

    def window(self, epoch: int, k: int) -> Array:
        """The examples of window k of an epoch, in the order in which they are seen."""
        for key, rows in self._recent:
            if key == (epoch, k):
                return rows
        self.starts(epoch)
        blocks = self._blocks[self._firsts[k] : self._firsts[k + 1]]
        rows = np.concatenate([np.arange(*self.edges[b : b + 2]) for b in blocks])
        rng = np.random.default_rng([self.seed, ORDER, epoch, k + 1])
        rows = rows[rng.permutation(len(rows))]
        self._recent = [*self._recent[-1:], ((epoch, k), rows)]
        return rows

    def twin(self) -> "WindowOrder":
        """The same order, for another thread."""
        return WindowOrder(self.seed, self.edges, self.batch_size, self.window_size)


def edges(rows: Array, groups: Array, window: int) -> Array:
    """Where the blocks of rows `(n,)`, which ascend, begin, and then n: row groups are kept whole.

    A block takes a part of a window, so that a window mixes many places of the file.
    """
    n = len(rows)
    if len(groups):
        return np.unique(np.concatenate([[0], np.searchsorted(rows, groups), [n]]))
    size = -(-min(window, n) // BLOCKS)
    return np.append(np.arange(0, n, size), n)

"""Ranges: what the columns of an array hold, seen in one pass and without holding it."""

from typing import NamedTuple

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.view import Stored, chunks


class Ranges(NamedTuple):
    """For each column `(columns,)`, of the numbers that are there; NaN where none is."""

    low: Array
    mean: Array
    high: Array
    missing: Array
    """How many are not there (NaN)."""


def ranges(x: Array | Stored) -> Ranges:
    """The ranges of x `(n, ...)`, whose rows are read once, a block at a time.

    >>> ranges(np.array([[1.0, np.nan], [4.0, 7.0]])).mean.tolist()
    [2.5, 7.0]
    """
    columns = int(np.prod(x.shape[1:]))
    low, high = np.full((2, columns), np.nan)
    total, missing = np.zeros(columns), np.zeros(columns, np.int64)
    with np.errstate(all="ignore"):
        for chunk in chunks(x):
            rows = chunk.reshape(len(chunk), columns)
            low = np.fmin(low, np.fmin.reduce(rows))
            high = np.fmax(high, np.fmax.reduce(rows))
            total += np.nansum(rows, axis=0, dtype=np.float64)
            missing += (rows != rows).sum(axis=0)
        return Ranges(low, total / (len(x) - missing), high, missing)

"""Sums, maxima and the logarithm of a sum of exponentials, of many rows at once."""

import numpy as np

from nnlab.core.arrays import Array, Workspace

SHORT = 32
"""Rows up to that length are turned into columns: NumPy reduces each row by itself, and many short
ones slowly."""
MANY = 256
"""So many rows are many (measured: fewer are sooner reduced than turned)."""


def log_sum_exp(z: Array, work: Workspace) -> tuple[Array, Array, bool]:
    """The rows' maxima, log sum_c exp(z_c - max_c z_c), both `(...)` for z `(..., C)`; and whether
    each row is known to have its maximum once alone.

    Short rows have the bits of long ones: those of `np.add.reduce` along the row.
    """
    shape, classes = z.shape[:-1], z.shape[-1]
    if classes > SHORT:
        highest = np.maximum.reduce(z, axis=-1)
        p = np.subtract(z, highest[..., None], out=work.get("exp", z.shape, z.dtype))
        return highest, np.log(np.add.reduce(np.exp(p, out=p), axis=-1)), False
    columns = _columns(z, work)
    highest = np.maximum.reduce(columns, axis=0)
    columns -= highest
    alone = int(np.count_nonzero(columns == 0)) == highest.size and bool(np.isfinite(highest).all())
    np.exp(columns, out=columns)
    return highest.reshape(shape), np.log(_pairwise(columns)).reshape(shape), alone


def row_maxima(z: Array, work: Workspace) -> Array:
    """max_c z_c, `(...)` for z `(..., C)`."""
    if not _many_short(z):
        return np.asarray(np.maximum.reduce(z, axis=-1))
    return np.asarray(np.maximum.reduce(_columns(z, work), axis=0).reshape(z.shape[:-1]))


def row_sums(z: Array, work: Workspace) -> Array:
    """sum_c z_c, `(...)` for z `(..., C)`, to the bits of `np.add.reduce` along the row. It may be
    in a work array, valid until the next call."""
    if not _many_short(z):
        return np.asarray(np.add.reduce(z, axis=-1))
    return _pairwise(_columns(z, work)).reshape(z.shape[:-1])


def _many_short(z: Array) -> bool:
    classes: int = z.shape[-1]
    return classes <= SHORT and z.size >= MANY * classes


def _columns(z: Array, work: Workspace) -> Array:
    """The rows of z `(..., C)` as columns `(C, n)`, in a work array."""
    rows = z.reshape(-1, z.shape[-1])
    columns = work.get("columns", rows.shape[::-1], z.dtype)
    np.copyto(columns, rows.T)
    return columns


def _pairwise(columns: Array) -> Array:
    """The sum of up to 128 columns `(C, n)`, which are overwritten, in the order in which NumPy
    adds up a row: eight partial sums, added pair by pair, and then what is left."""
    total: Array = columns[0]
    rest = 1
    if len(columns) >= 8:
        rest = len(columns) // 8 * 8
        partial = columns[:8]
        for k in range(8, rest, 8):
            partial += columns[k : k + 8]
        partial[::2] += partial[1::2]
        partial[::4] += partial[2::4]
        total += columns[4]
    for column in columns[rest:]:
        total += column
    return total

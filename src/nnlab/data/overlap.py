"""Which rows of one part are, byte for byte, in another part, too."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.leaks import Leaks
from nnlab.data.view import ROWS, Stored, chunks


def hashes(x: Array | Stored) -> Array:
    """64 bits of each row's bytes `(n,)`: equal rows have equal ones in this process."""
    found = np.empty(len(x), np.int64)
    k = 0
    for chunk in chunks(x):
        for row in _rows(chunk):
            found[k] = hash(row)
            k += 1
    return found


def leaks(x: Array, y: Array, hashed: Array, train: Array, part: Array) -> Leaks:
    """Of the rows `part`, given the rows `train`; `hashed` is `hashes(x)`.

    Hashes tell which rows may be equal, and their bytes which are.
    """
    held = part[np.isin(hashed[part], hashed[train])]
    if not len(held):
        return Leaks(0, 0)
    kept = train[np.isin(hashed[train], hashed[held])]
    targets: dict[bytes, set[bytes]] = defaultdict(set)
    for row, target in zip(_read(x, kept), _read(y, kept), strict=True):
        targets[row].add(target)
    same = another = 0
    for row, target in zip(_read(x, held), _read(y, held), strict=True):
        if row in targets:
            same += target in targets[row]
            another += target not in targets[row]
    return Leaks(same, another)


def _read(array: Array, rows: Array) -> Iterator[bytes]:
    """The bytes of those rows."""
    for start in range(0, len(rows), ROWS):
        yield from _rows(array[rows[start : start + ROWS]])


def _rows(chunk: Array) -> Iterator[bytes]:
    """The bytes of each row."""
    raw, m = chunk.tobytes(), len(chunk)
    width = len(raw) // m if m else 0
    return (raw[k * width : (k + 1) * width] for k in range(m))

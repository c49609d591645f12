"""CIFAR-10's binary version: records of a label and the pixels of an image, one after the other.

A record is `<1 x label><3072 x pixel>`: 1024 of red, then of green, then of blue, each row by row
of 32 x 32. Krizhevsky 2009, "Learning multiple layers of features from tiny images"; the layout is
described where the data are published.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from nnlab.core.arrays import Array
from nnlab.errors import UserError

CHANNELS, SIDE = 3, 32
RECORD = 1 + CHANNELS * SIDE * SIDE


def read(path: Path, records: int) -> bytes:
    """The bytes of a file, of no more than so many records and one byte."""
    try:
        with path.open("rb") as file:
            return file.read(records * RECORD + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def decode(
    contents: Iterable[tuple[Path, bytes]], files: int, records: int, classes: int
) -> tuple[Array, Array]:
    """Images `(n, 32, 32, 3)` of bytes and labels `(n,)` of so many files with so many records.

    Raises `UserError` where a file has another size, or a label that is none.
    """
    x = np.empty((files, records, SIDE, SIDE, CHANNELS), np.uint8)
    y = np.empty((files, records), np.int64)
    for k, (path, content) in enumerate(contents):
        size, expected = len(content), records * RECORD
        if size != expected:
            raise UserError(
                f"{path} must have {expected:,} bytes, {records:,} records of {RECORD:,}, but has "
                f"{f'{size:,}' if size < expected else 'more'}"
            )
        rows = np.frombuffer(content, np.uint8).reshape(records, RECORD)
        wrong = np.flatnonzero(rows[:, 0] >= classes)
        if len(wrong):
            raise UserError(
                f"{path}: `label < {classes}` must hold, but record {wrong[0]:,} (counted from 0) "
                f"has label={rows[wrong[0], 0]}"
            )
        x[k] = rows[:, 1:].reshape(records, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1)
        y[k] = rows[:, 0]
    x.flags.writeable = y.flags.writeable = False
    return x.reshape(-1, SIDE, SIDE, CHANNELS), y.reshape(-1)

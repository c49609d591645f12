"""A table that is larger than memory: targets are read at once, inputs a window at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nnlab.core.laws import LawError
from nnlab.data.dataset import REST, Dataset
from nnlab.data.fingerprint import look
from nnlab.data.own import Own
from nnlab.data.stream.joined import Joined
from nnlab.data.stream.parquet import ParquetRows
from nnlab.data.stream.records import npy
from nnlab.data.tables import target
from nnlab.data.tables.column import NUMBER
from nnlab.data.tables.columnar import Parquet
from nnlab.data.tables.numpy_file import Npy
from nnlab.data.tables.roles import Roles
from nnlab.data.tables.whole import Piece, check_alike, check_learnable, check_rows
from nnlab.data.view import Stored, chunks


def streamed(pieces: Sequence[Piece], task: str, window: int) -> Dataset:
    """The table in `.npy` or Parquet files, one below the other.

    Raises `LawError` and `UserError` where it is not what it must be. Whether every input is a
    finite number is seen when the fingerprint is made.
    """
    found = look(*(piece.file.path for piece in pieces))
    for piece in pieces:
        if not isinstance(piece.file, Npy | Parquet):
            raise LawError(
                f"{piece.file.path} cannot be read a window at a time; save it as Parquet or .npy, "
                "or choose data.window=0",
                "window",
            )
        if piece.as_category:
            raise LawError(
                "categories need the table in memory: choose data.window=0, or write them as "
                "numbers",
                "as_category",
            )
    inputs = pieces[0].roles.inputs
    main, *others = few = [_few_columns(piece) for piece in pieces]
    check_rows(few)
    to_predict = target.target(main.columns[main.roles.target], task, main.file)
    for other in others:
        check_alike(main, other)
        target.check_present(other.columns[other.roles.target], other.file, other.file.field)
    y = np.concatenate([to_predict.read(piece.file, piece.rows) for piece in few])
    parts = np.concatenate([piece.parts() for piece in few])
    check_learnable(y, parts, to_predict.classes)
    files = [_rows(piece, window) for piece in pieces]
    return Dataset(
        files[0] if len(files) == 1 else Joined(files),
        y,
        to_predict.classes,
        names=inputs,
        kinds=(NUMBER,) * len(inputs),
        parts=parts if (parts != REST).any() else None,
        origin=", ".join(piece.file.origin for piece in pieces),
        files=found,
        own={piece.file.field: Own.of(piece.file.path, found) for piece in pieces},
        reading=f"streamed {[piece.roles for piece in pieces]} {task}",
    )


class _Narrow(Npy):
    """Few columns of a `.npy` file, read without mapping all of it into memory."""

    def batches(self, columns: Sequence[int]) -> Iterator[Any]:
        import pyarrow as pa

        names = [self.names[column] for column in columns]
        first, last = min(columns), max(columns) + 1
        rows = npy(self.path, 1, range(first, last), finite=False)
        for block in chunks(rows):
            yield pa.record_batch(
                [pa.array(np.ascontiguousarray(block[:, k - first])) for k in columns], names
            )


def _few_columns(piece: Piece) -> Piece:
    """The file without its inputs: what is said of it is said of the target and the parts."""
    file = _Narrow(piece.file.path, piece.file.field) if isinstance(piece.file, Npy) else piece.file
    roles = Roles(piece.roles.target, (), piece.roles.split)
    return replace(piece, file=file, roles=roles)


def _rows(piece: Piece, window: int) -> Stored:
    file, inputs = piece.file, piece.roles.inputs
    if isinstance(file, Npy):
        return npy(file.path, window, [file.names.index(name) for name in inputs])
    return ParquetRows(file.path, window, inputs)

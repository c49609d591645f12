"""Rows of one size, one after the other in a file: `.npy` and IDX."""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nnlab.core.arrays import Array
from nnlab.data.formats import idx
from nnlab.data.stream.unchanged import Unchanged, check_finite
from nnlab.data.tables.numpy_file import checked_header
from nnlab.data.view import GAP
from nnlab.errors import UserError

WIDE = 1 << 10
"""A row of so many bytes is worth the time to say where it goes."""
PIECES = 1000
"""So many places are told in one call; Linux takes 1,024."""


class Records:
    """An array in a file, C order, read where its rows are.

    It is not mapped: pages of a mapped file count as memory of the process.
    """

    groups: Array = np.empty(0, np.intp)

    def __init__(
        self,
        path: Path,
        offset: int,
        shape: tuple[int, ...],
        raw: np.dtype[Any],
        window: int,
        columns: Sequence[int] | None = None,
        dtype: DTypeLike | None = None,
        finite: bool = True,
    ) -> None:
        """`columns` are those of a 2-D array that are read, `dtype` is that of the array in memory
        (as it is stored, unless told). Raises `UserError` where the file has another size.

        Whether numbers are `finite` is seen when all are read from the first to the last, as they
        are for a fingerprint: after that the file is what it was.
        """
        self.path = path
        self.raw = raw
        self.window = window
        self.dtype = np.dtype(dtype or raw)
        self.shape = shape if columns is None else (shape[0], len(columns))
        self._inner = shape[1:]
        self._offset = offset
        self._bytes = prod(self._inner) * raw.itemsize
        self._columns = columns if columns is None else _as_slice(columns)
        self._seen = 0 if finite else shape[0]
        self._file = Unchanged(path)
        if self._file.size != offset + shape[0] * self._bytes:
            raise UserError(
                f"{path} is cut or damaged: its header promises {shape[0] * self._bytes:,} bytes "
                f"of data, and {self._file.size - offset:,} are there"
            )

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int, stop: int) -> Array:
        x = np.empty((stop - start, *self._inner), self.raw)
        self._file.read(self._offset + start * self._bytes, x)
        if self._columns is not None:
            x = x[:, self._columns]
        if start <= self._seen < stop:
            check_finite(self.path, x, start)
            self._seen = stop
        return x


class WideRecords(Records):
    """Rows of many bytes, of which the columns from one to another are read: each row goes from the
    file to its place, and what lies between two of them nowhere."""

    def pick(self, rows: Array, out: Array, places: Array) -> None:
        columns = self._columns if isinstance(self._columns, slice) else slice(None)
        first, last, _ = columns.indices(self._inner[0])
        unit = self._bytes // self._inner[0]
        width = (last - first) * unit
        begins = (self._offset + first * unit + rows * self._bytes).tolist()
        starts = (places * width).tolist()
        into, nowhere = out.reshape(-1).view(np.uint8).data, memoryview(bytearray(GAP))
        k = 0
        while k < len(begins):
            pieces: list[memoryview] = []
            at = begins[k]
            while k < len(begins) and len(pieces) < PIECES and 0 <= begins[k] - at <= GAP:
                if begins[k] > at:
                    pieces.append(nowhere[: begins[k] - at])
                pieces.append(into[starts[k] : starts[k] + width])
                at = begins[k] + width
                k += 1
            self._file.read_pieces(at - sum(map(len, pieces)), pieces)
        self._file.check()


def npy(
    path: Path, window: int, columns: Sequence[int] | None = None, finite: bool = True
) -> Records:
    """Columns of the 2-D array of numbers in a `.npy` file; in memory they are float64.

    Raises `LawError` where it is none, `UserError` where its columns come first (Fortran order).
    """
    with path.open("rb") as file:
        shape, raw = checked_header(file, path.stat().st_size, str(path))
        offset = file.tell()
        file.seek(0)
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0}
        fortran = read.get(version, np.lib.format.read_array_header_2_0)(file)[1]
    if raw.kind not in "biuf":
        raise UserError(f"{path} holds texts, and data.window reads numbers alone")
    if fortran and len(shape) > 1 and min(shape) > 1:
        raise UserError(
            f"{path} is stored column by column (Fortran order), but data.window reads rows; save "
            "numpy.ascontiguousarray(x), or read it into memory by data.window=0"
        )
    kept = list(range(shape[1])) if columns is None else list(columns)
    wide = len(kept) * raw.itemsize >= WIDE and kept == list(range(kept[0], kept[-1] + 1))
    kind = WideRecords if wide else Records
    return kind(path, offset, shape, raw, window, columns, np.float64, finite)


def idx_records(path: Path, window: int, shape: tuple[int, ...] | None = None) -> Records:
    """The array of an IDX file, of that shape if one is told.

    Raises `UserError` where it is none or another, and where it is compressed.
    """
    if path.suffix == ".gz":
        raise UserError(
            f"{path} is compressed, and cannot be read from any place but its beginning; unpack it "
            f"beside it (gunzip --keep {path}), or read it into memory by data.window=0"
        )
    with path.open("rb") as file:
        header = idx.read_header(path, file)
    if shape is not None and header.shape != shape:
        raise UserError(f"{path} must have the shape {shape}, but has {header.shape}")
    return Records(path, header.length, header.shape, np.dtype(header.dtype), window)


def _as_slice(columns: Sequence[int]) -> slice | Array:
    """The columns as a slice where they are one without gaps: then nothing is copied."""
    first, last = columns[0], columns[-1] + 1
    if list(columns) == list(range(first, last)):
        return slice(first, last)
    return np.array(columns)

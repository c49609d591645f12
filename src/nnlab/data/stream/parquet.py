"""Row groups of a Parquet file."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.stream.unchanged import Unchanged, check_finite
from nnlab.errors import UserError, first_line

REMEMBERED = 2
"""So many row groups stay in memory: one of the reader that is ahead, one of an evaluation."""
BLOCK = 1 << 20
"""So many bytes are turned from columns into rows at a time: they stay in the cache."""


class ParquetRows:
    """Columns of numbers `(n, features)` of a Parquet file, read by row groups.

    Raises `UserError` for a column that is not of numbers or booleans, and for a row group that is
    larger than the window.
    """

    dtype = np.dtype(np.float64)

    def __init__(self, path: Path, window: int, columns: Sequence[str]) -> None:
        self.path = path
        self.window = window
        self.columns = list(columns)
        self._unchanged = Unchanged(path)
        self._file = self._opened()
        self.raw = self._type()
        metadata = self._file.metadata
        sizes = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
        if max(sizes, default=0) > window:
            raise UserError(
                f"{path} has row groups of {max(sizes):,} rows, and data.window={window} has no "
                f"room for one; take data.window={max(sizes)}, or write smaller ones "
                "(row_group_size=...)"
            )
        self._ends = np.cumsum(sizes, dtype=np.intp)
        self.groups: Array = self._ends - sizes
        self.shape = (int(self._ends[-1]) if sizes else 0, len(columns))
        self._lock = Lock()
        self._last: OrderedDict[int, Array] = OrderedDict()

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int, stop: int) -> Array:
        x = np.empty((stop - start, len(self.columns)), self.raw)
        done = start
        while done < stop:
            k = int(np.searchsorted(self._ends, done, "right"))
            group, first = self._group(k), int(self.groups[k])
            upto = min(stop, int(self._ends[k]))
            x[done - start : upto - start] = group[done - first : upto - first]
            done = upto
        return x

    def _group(self, k: int) -> Array:
        """A row group as rows; the last ones are remembered."""
        with self._lock:
            group = self._last.get(k)
            if group is None:
                while len(self._last) >= REMEMBERED:
                    self._last.popitem(last=False)
                group = self._last[k] = self._read(k)
            self._last.move_to_end(k)
            return group

    def _read(self, k: int) -> Array:
        import pyarrow as pa

        first, rows = int(self.groups[k]), int(self._ends[k] - self.groups[k])
        group = np.empty((rows, len(self.columns)), self.raw)
        size, done = max(1, BLOCK // (group[:1].nbytes or 1)), 0
        try:
            for batch in self._file.iter_batches(
                1 << 16, row_groups=[k], columns=self.columns, use_threads=False
            ):
                batch.validate(full=True)
                columns = batch.select(self.columns).columns
                arrays = [column.to_numpy(zero_copy_only=False) for column in columns]
                for start in range(0, batch.num_rows, size):
                    out = group[done : done + min(size, batch.num_rows - start)]
                    for column, values in enumerate(arrays):
                        out[:, column] = values[start : start + len(out)]
                    done += len(out)
        except (pa.ArrowException, OSError, ValueError, TypeError) as error:
            self._unchanged.check()
            raise UserError(f"{self.path} cannot be read: {first_line(error)}") from error
        self._unchanged.check()
        if done != rows:
            raise UserError(f"{self.path} is damaged: row group {k + 1} has {done:,} rows")
        check_finite(self.path, group, first)
        return group

    def _opened(self) -> Any:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile

        try:
            return ParquetFile(self.path, page_checksum_verification=True, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{self.path} cannot be read: {first_line(error)}") from error

    def _type(self) -> np.dtype[Any]:
        """Of the numbers as they are read: float32 where that holds each of them."""
        from pyarrow import types

        schema = self._file.schema_arrow
        small = True
        for name in self.columns:
            of = schema.field(name).type
            number = types.is_integer(of) or types.is_floating(of) or types.is_boolean(of)
            if not number:
                raise UserError(
                    f"{self.path}: column {name} holds values of type {of}, and data.window reads "
                    f"numbers alone; leave it out with data.ignore=[{name}], write it as numbers, "
                    "or read it into memory by data.window=0"
                )
            small &= types.is_boolean(of) or of.bit_width <= (32 if types.is_floating(of) else 16)
        return np.dtype(np.float32 if small else np.float64)

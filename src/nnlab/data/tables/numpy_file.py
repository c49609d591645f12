"""NumPy's own files, without pickle: the header is compared with what is there before a byte of
the array is read."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError
from nnlab.data.tables.file import BATCH, TableFile
from nnlab.errors import first_line

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class Npy(TableFile):
    """A 2-D array in a `.npy` file as a table; its columns are named 0, 1, ..."""

    def __init__(self, path: Path, field: str) -> None:
        super().__init__(path, field)
        with path.open("rb") as file:
            shape, _ = checked_header(file, path.stat().st_size, str(path), field)
        if len(shape) != 2:
            raise LawError(
                f"{path} holds an array of shape {shape}; a table is 2-D, rows by columns (inputs "
                "of another shape and their targets can be arrays x and y of a .npz file)",
                field,
            )
        self.names = tuple(map(str, range(shape[1])))
        self.usual_target = self.names[-1] if self.names else ""

    def batches(self, columns: Sequence[int]) -> Iterator[Any]:
        import pyarrow as pa

        array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        names = [self.names[column] for column in columns]
        for start in range(0, len(array), BATCH):
            rows = np.asarray(array[start : start + BATCH])
            yield pa.record_batch([pa.array(native(rows[:, column])) for column in columns], names)


def native(values: Array) -> Array:
    """The same values one after the other, in the byte order of this machine."""
    return np.ascontiguousarray(values, values.dtype.newbyteorder("="))


def checked_header(
    file: IO[bytes], size: int, what: str, field: str = "path"
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of the array whose file of `size` bytes begins here.

    Raises `LawError` for `field` unless it is an array of numbers, booleans or texts that is there
    as a whole.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"version {version} of the format is for names in Unicode")
        shape, _, dtype = HEADERS[version](file)
    except Exception as error:  # of a damaged header ast and tokenize raise what they like
        raise LawError(f"{what} is no array of NumPy's: {first_line(error)}", field) from error
    if dtype.kind not in "biufU":
        kind = "Python objects, and those are never unpickled" if dtype.hasobject else str(dtype)
        raise LawError(f"{what} holds {kind}; save numbers, booleans or texts", field)
    promised = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or promised != size - file.tell():
        raise LawError(
            f"{what} is cut or damaged: its header promises {promised:,} bytes of data, and "
            f"{size - file.tell():,} are there",
            field,
        )
    return shape, dtype

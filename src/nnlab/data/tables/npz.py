"""Inputs and targets as arrays of a `.npz` file, without pickle."""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError
from nnlab.data.memory import fits
from nnlab.data.tables.file import BATCH, TableFile, listed
from nnlab.data.tables.numpy_file import checked_header, native
from nnlab.data.tables.text import ENOUGH, EXPANSION
from nnlab.errors import first_line
from nnlab.names import nearest


class Npz(TableFile):
    """The arrays of a `.npz` file as a table: the target's column, named as its array, and those of
    2-D inputs, named 0, 1, ... Inputs with more axes are `images`.

    The target is the array `target`, y unless it is told; the inputs are x, or the only other one.
    """

    def __init__(self, path: Path, field: str, target: str = "") -> None:
        super().__init__(path, field)
        of_y = target or "y"
        try:
            with zipfile.ZipFile(path) as archive:
                of_x = self._inputs(archive, of_y)
                x, y = (
                    _array(archive, name, f"{path}, array {name}", field) for name in (of_x, of_y)
                )
        except LawError:
            raise
        except Exception as one:  # a damaged archive makes zipfile and zlib raise what they like
            raise LawError(f"{path} is cut or damaged: {first_line(one)}", field) from one
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        if y.ndim != 1 or x.ndim < 2 or len(x) != len(y):
            raise LawError(
                f"{path}: inputs (n, ...) and targets (n,) must be of one length, but got {of_x} "
                f"{x.shape} and {of_y} {y.shape}",
                field,
            )
        if x.ndim > 2:
            _check_images(x, f"{path}, array {of_x}", field)
        self._y, self._x = y, x
        self.has_images = x.ndim > 2
        columns = range(x.shape[1]) if x.ndim == 2 else ()
        self.names = (*map(str, columns), of_y)
        self.usual_target = of_y

    def images(self) -> Array:
        return self._x

    def batches(self, columns: Sequence[int]) -> Iterator[Any]:
        import pyarrow as pa

        names = [self.names[column] for column in columns]
        last = len(self.names) - 1
        for start in range(0, len(self._y), BATCH):
            rows = slice(start, start + BATCH)
            yield pa.record_batch(
                [
                    pa.array(native(self._y[rows] if k == last else self._x[rows, k]))
                    for k in columns
                ],
                names,
            )

    def _inputs(self, archive: zipfile.ZipFile, of_y: str) -> str:
        """The name of the array of the inputs."""
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if of_y not in names:
            raise LawError(
                f"{self.path} has no array {of_y}{nearest(of_y, names)}; it has {listed(names)}",
                "target",
            )
        others = [name for name in names if name != of_y]
        if "x" not in others and len(others) != 1:
            raise LawError(
                f"{self.path} should hold the inputs as an array named x, but beside {of_y} it has "
                f"{listed(others) or 'nothing'}",
                self.field,
            )
        return "x" if "x" in others else others[0]


def _array(archive: zipfile.ZipFile, name: str, what: str, field: str) -> Array:
    """An array of the archive; what it will take is known before it is read."""
    members = archive.namelist()
    info = archive.getinfo(f"{name}.npy" if f"{name}.npy" in members else name)
    if info.file_size > max(EXPANSION * info.compress_size, ENOUGH):
        raise LawError(
            f"{what}: {info.compress_size:,} bytes expand to {info.file_size:,}; if that is right, "
            "save it uncompressed, by numpy.savez",
            field,
        )
    with archive.open(info) as file:
        shape, dtype = checked_header(file, info.file_size, what, field)
        fits(shape, dtype, what, field, "take a part of it")
    with archive.open(info) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _check_images(x: Array, what: str, field: str) -> None:
    """Raise `LawError` unless they are images `(n, h, w)` or `(n, h, w, c)` of bytes or floats."""
    if x.ndim > 4 or not (x.dtype == np.uint8 or x.dtype.kind == "f"):
        raise LawError(
            f"{what} of shape {x.shape} and type {x.dtype}: images are (n, height, width) or "
            "(n, height, width, channels), bytes (uint8) or floats",
            field,
        )
    for start in range(0, len(x), BATCH):
        block = x[start : start + BATCH]
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            row = start + int(
                np.flatnonzero(~np.isfinite(block).all(axis=tuple(range(1, x.ndim))))[0]
            )
            raise LawError(f"{what}: image {row + 1} has a value that is not finite", field)

"""IDX: arrays as MNIST is published, a header and then the numbers.

Two zero bytes, a byte for the type, one for the number of dimensions, four bytes (the highest
first) for the size of each, then the numbers, the highest byte of each first. LeCun, Cortes &
Burges, "The MNIST database of handwritten digits", 1998.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.formats.gzipped import RATIO, read_exactly
from nnlab.errors import UserError

DIMENSIONS = 8
"""More of them make a file suspect; MNIST has three."""
TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


class Header(NamedTuple):
    """What comes before the numbers."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]

    @property
    def length(self) -> int:
        """Its bytes."""
        return 4 + 4 * len(self.shape)

    @property
    def size(self) -> int:
        """The bytes of the numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


def read(path: Path, shape: tuple[int, ...] | None = None) -> Array:
    """The array in an IDX file, gzip compressed (`.gz`) or not, read-only.

    A file that is not compressed is mapped, not read. With `shape`, another one is refused before
    any number is read. Raises `UserError` where the file is not what its header says.
    """
    try:
        with _opened(path) as file:
            header = read_header(path, file)
            if shape is not None and header.shape != shape:
                raise UserError(f"{path} must have the shape {shape}, but has {header.shape}")
            available = _at_most(path) - header.length
            if header.size > available:
                raise UserError(
                    f"{path} is cut, or its header is wrong: {header.shape} of "
                    f"{header.dtype.name} takes {header.size:,} bytes, but there are at most "
                    f"{available:,}"
                )
            if path.suffix == ".gz":
                content = read_exactly(path, file, header.size, f"the shape {header.shape}")
                array = np.frombuffer(content, header.dtype).reshape(header.shape)
            elif header.size < available:
                raise UserError(
                    f"{path} goes on after the {header.size:,} bytes that the shape "
                    f"{header.shape} takes"
                )
            else:
                mapped = np.memmap(path, header.dtype, "r", header.length, header.shape)
                array = mapped.view(np.ndarray)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    array.flags.writeable = False
    return array


def read_header(path: Path, file: BinaryIO) -> Header:
    """The header at the beginning of a file; raises `UserError` if it is none."""
    try:
        magic = file.read(4)
        kind, dimensions = magic[2:3], magic[3:4]
        if len(magic) < 4 or magic[:2] != b"\0\0" or kind[0] not in TYPES or not dimensions[0]:
            raise UserError(
                f"{path} is not an IDX file: it begins with the bytes {magic.hex(' ') or 'of none'}"
            )
        sizes = file.read(4 * dimensions[0])
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is cut or not gzip: {error}") from error
    if len(sizes) < 4 * dimensions[0]:
        raise UserError(f"{path} is cut: it ends within the header")
    shape = struct.unpack(f">{dimensions[0]}I", sizes)
    if not all(shape) or len(shape) > DIMENSIONS:
        raise UserError(
            f"{path}: `1 to {DIMENSIONS} dimensions of 1 or more` must hold, but got shape={shape}"
        )
    return Header(np.dtype(TYPES[kind[0]]), shape)


def _opened(path: Path) -> BinaryIO:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _at_most(path: Path) -> int:
    """The bytes that there can be in the file, uncompressed."""
    size = path.stat().st_size
    return size * RATIO if path.suffix == ".gz" else size

"""Weights as a file of named arrays, and as a hash that says whether two runs are equal."""

import io
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nnlab.core.arrays import Array, State
from nnlab.core.model import Network
from nnlab.errors import UserError, first_line
from nnlab.runs import atomic

Weights = tuple[Array, Array]
"""theta `(P,)` and the running statistics `(B,)`."""
_HEADER = 1024
"""Bytes before an array's own; NumPy writes 128."""


def save(path: Path, network: Network, raw: Weights, averaged: Weights) -> None:
    """Write the raw arrays, and the averaged ones as `averaged/NAME`, to an `.npz` file."""
    arrays = {
        prefix + name: array
        for prefix, (theta, buffers) in (("", raw), ("averaged/", averaged))
        for layout, vector in ((network.layout, theta), (network.buffers, buffers))
        for name, array in layout.views(vector).items()
    }
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    atomic.write(path, content.getbuffer())


def arrays(path: Path, expected: Mapping[str, tuple[int, ...]], dtype: DTypeLike) -> State:
    """The arrays in a file that `save` is said to have written; it may be anybody's.

    Raises `UserError` unless it holds arrays of just the expected names, of that dtype and of the
    expected shapes, uncompressed. That is known before any of them is read; nothing is unpickled.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {one.filename.removesuffix(".npy"): one for one in archive.infolist()}
            _check_names(members, expected, len(archive.infolist()))
            size = path.stat().st_size
            for name, shape in expected.items():
                needed = prod(shape) * np.dtype(dtype).itemsize
                _check_stored(members[name], needed, size)
            return {
                name: _array(archive, members[name], shape, np.dtype(dtype))
                for name, shape in expected.items()
            }
    except Exception as error:  # a damaged archive makes zipfile and NumPy raise what they like
        raise UserError(f"{path.name} is not as it was written: {first_line(error)}") from error


def _check_names(
    members: Mapping[str, object], expected: Mapping[str, object], entries: int
) -> None:
    missing = [name for name in expected if name not in members]
    if missing:
        raise ValueError(f"it has no array {missing[0]}")
    others = [name for name in members if name not in expected]
    if others:
        raise ValueError(f"it has an array {others[0]!r:.80}, which is none of the network's")
    if entries > len(members):
        raise ValueError("an array is there twice")


def _check_stored(info: zipfile.ZipInfo, needed: int, size: int) -> None:
    """Raise unless the member can be that many bytes and a header, and is there as it is."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise ValueError(f"{info.filename!r:.80} is compressed or encrypted, and is never read so")
    there = info.file_size == info.compress_size <= size
    if not there or not needed < info.file_size <= needed + _HEADER:
        raise ValueError(
            f"{info.filename!r:.80} has {info.file_size:,} bytes, the network's array {needed:,}"
        )


def _array(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Array:
    with archive.open(info) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{info.filename} is in another version of NumPy's format")
        found = np.lib.format.read_array_header_1_0(file, max_header_size=_HEADER)
        if found != (shape, False, dtype):
            raise ValueError(
                f"{info.filename} is an array {found[0]} of {found[2]}, and the network's is "
                f"{shape} of {dtype}"
            )
        return np.frombuffer(file.read(), dtype).reshape(shape)


def digest(*vectors: Array) -> str:
    """SHA-256 of the vectors' dtypes and bytes; empty ones do not count."""
    hashed = sha256()
    for vector in vectors:
        if vector.size:
            hashed.update(vector.dtype.str.encode() + np.ascontiguousarray(vector).tobytes())
    return hashed.hexdigest()

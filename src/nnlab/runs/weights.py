"""Weights as a file of named arrays, and as a hash that says whether two runs are equal."""

import io
from hashlib import sha256
from pathlib import Path

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.model import Network
from nnlab.runs import atomic

Weights = tuple[Array, Array]
"""theta `(P,)` and the running statistics `(B,)`."""


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


def digest(*vectors: Array) -> str:
    """SHA-256 of the vectors' dtypes and bytes; empty ones do not count."""
    hashed = sha256()
    for vector in vectors:
        if vector.size:
            hashed.update(vector.dtype.str.encode() + np.ascontiguousarray(vector).tobytes())
    return hashed.hexdigest()

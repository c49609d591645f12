"""Weights as a file of named arrays, and as a hash that says whether two runs are equal."""

from hashlib import sha256
from pathlib import Path

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.layout import Layout


def save(path: Path, layout: Layout, theta: Array, averaged: Array) -> None:
    """Write the raw arrays, and the averaged ones as `averaged/NAME`, to an `.npz` file."""
    arrays = layout.views(theta)
    arrays |= {f"averaged/{name}": array for name, array in layout.views(averaged).items()}
    with path.open("xb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def digest(theta: Array) -> str:
    """SHA-256 of theta's dtype and bytes."""
    return sha256(theta.dtype.str.encode() + np.ascontiguousarray(theta).tobytes()).hexdigest()

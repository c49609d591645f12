"""An excerpt of what is stored, in memory, that is read as if it were a file."""

from typing import Any

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.view import Stored, scattered


class Held:
    """Some rows of what is stored: whatever reads them takes the ways that a file takes."""

    groups: Array = np.empty(0, np.intp)

    def __init__(self, of: Stored, rows: Array, window: int) -> None:
        self._x = scattered(of, rows)
        self.dtype: np.dtype[Any] = of.dtype
        self.raw: np.dtype[Any] = of.raw
        self.window = window
        self.shape = self._x.shape

    def __len__(self) -> int:
        return len(self._x)

    def read(self, start: int, stop: int) -> Array:
        return self._x[start:stop].copy()

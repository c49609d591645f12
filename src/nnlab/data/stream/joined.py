"""Several files as one: rows of the first, then of the second, ..."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.view import Stored


class Joined:
    """What is stored in several places, one below the other: of one width and type."""

    def __init__(self, parts: Sequence[Stored]) -> None:
        self.parts = tuple(parts)
        self._ends = np.cumsum([len(part) for part in parts])
        self.shape = (int(self._ends[-1]), *parts[0].shape[1:])
        self.dtype: np.dtype[Any] = parts[0].dtype
        self.raw: np.dtype[Any] = np.result_type(*(part.raw for part in parts))
        self.window = parts[0].window
        starts = self._ends - [len(part) for part in parts]
        groups = [
            start + (part.groups if len(part.groups) else np.zeros(1, np.intp))
            for start, part in zip(starts, parts, strict=True)
        ]
        grouped = any(len(part.groups) for part in parts)
        self.groups: Array = np.concatenate(groups) if grouped else np.empty(0, np.intp)

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int, stop: int) -> Array:
        first = int(np.searchsorted(self._ends, start, "right"))
        pieces = []
        for part, end in zip(self.parts[first:], self._ends[first:].tolist(), strict=True):
            begin = end - len(part)
            if begin >= stop:
                break
            pieces.append(part.read(max(start - begin, 0), min(stop, end) - begin))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

"""What a file that holds a table is to the rest: names, batches of rows, and places in it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nnlab.core.arrays import Array

BATCH = 1 << 16
"""So many rows are read at a time, at most."""
SHOWN = 20
"""So many names are listed in a message."""


class TableFile:
    """A table in a file. To know its columns does not need its rows, which are read in batches."""

    names: tuple[str, ...]
    """The columns, in their order."""
    usual_target = ""
    """The column that is to be predicted unless another is named; empty where that must be told."""
    has_images = False
    """Are there inputs with more axes than a table has?"""
    is_text = False
    """Is every value written as text, so that what it is must be inferred?"""

    def __init__(self, path: Path, field: str) -> None:
        """`field` is what names the file: errors about what it holds are about that."""
        self.path = path
        self.field = field

    @property
    def origin(self) -> str:
        """The file and what was recognised in reading it, for people."""
        return str(self.path)

    def batches(self, columns: Sequence[int]) -> Iterator[Any]:
        """The rows of those columns in order, as `pyarrow.RecordBatch`es of `BATCH` at most.

        Values that are missing are null. Raises `LawError` where the file cannot be read.
        """
        raise NotImplementedError

    def images(self) -> Array:
        """Those inputs, `(n, height, width)` or `(n, height, width, channels)`."""
        raise NotImplementedError

    def place(self, row: int) -> str:
        """Where row 0, 1, ... is to be found, for a message; lines and rows are counted from 1."""
        return f"row {row + 1}"


def at(file: TableFile, row: int, column: str) -> str:
    """A cell, for the beginning of a message."""
    return f"{file.path}, {file.place(row)}, column {column}"


def listed(names: Sequence[str]) -> str:
    """Names for a message: the first ones, and how many more there are."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def quoted(text: str) -> str:
    """A value for a message."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")

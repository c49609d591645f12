"""A file that must stay what it is for as long as it is read."""

import os
from pathlib import Path

import numpy as np

from nnlab.core.arrays import Array
from nnlab.errors import UserError, first_line


class Unchanged:
    """A file as it was found, open to be read in any order and by any thread.

    What was found is measured and divided before the first step: what comes later must be the same.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from error
        self._found = self._state()

    @property
    def size(self) -> int:
        """Its bytes."""
        return self._found[0]

    def read(self, offset: int, out: Array) -> Array:
        """Fill `out`, an array without gaps, with the bytes from `offset` on.

        Raises `UserError` where there are fewer, where reading fails, and where the file was
        changed since it was found.
        """
        self.read_pieces(offset, [out.reshape(-1).view(np.uint8).data])
        self.check()
        return out

    def read_pieces(self, offset: int, pieces: list[memoryview]) -> None:
        """Fill the pieces, one after the other, with the bytes from `offset` on.

        Raises `UserError` as `read` does, but does not look whether the file was changed.
        """
        wanted = sum(map(len, pieces))
        try:
            while got := os.preadv(self._file.fileno(), pieces, offset):
                if got == wanted:
                    return
                offset, wanted = offset + got, wanted - got
                while got >= len(pieces[0]):
                    got -= len(pieces.pop(0))
                pieces[0] = pieces[0][got:]
        except OSError as error:
            raise UserError(f"{self.path} cannot be read: {first_line(error)}") from error
        if wanted:
            raise UserError(f"{self.path} was cut while it was read; begin anew")

    def check(self) -> None:
        """Raise `UserError` where the file was changed since it was found."""
        if self._state() != self._found:
            raise UserError(
                f"{self.path} was changed while it was read; train anew on what it is now"
            )

    def close(self) -> None:
        """Nothing is read any more."""
        self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def _state(self) -> tuple[int, int]:
        state = os.fstat(self._file.fileno())
        return state.st_size, state.st_mtime_ns


def check_finite(path: Path, x: Array, start: int) -> None:
    """Raise `UserError` at a number of the rows `start`, ... that is missing or infinite."""
    if x.dtype.kind != "f":
        return
    with np.errstate(all="ignore"):
        if np.isfinite(x.sum()) or np.isfinite(x).all():  # the sum is quick, but may overflow
            return
    k, column = np.argwhere(~np.isfinite(x.reshape(len(x), -1)))[0].tolist()
    raise UserError(
        f"{path}, row {start + k + 1}, input {column + 1}: every number must be there and finite "
        f"where data.window is used, but got {x.reshape(len(x), -1)[k, column]}; mend the file, "
        "or read it into memory by data.window=0"
    )

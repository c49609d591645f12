"""The bytes of a text file, checked as they are read: UTF-8, plain or by gzip, and bounded."""

import codecs
import gzip
import zlib
from io import RawIOBase
from pathlib import Path
from typing import IO, cast

from nnlab.core.laws import LawError

MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""What UTF-16 and UTF-32 begin with."""
CURE = "save it as UTF-8"
EXPANSION, ENOUGH = 100, 1 << 28
"""A file that gzip expands to more than 256 MiB must not grow more than a hundredfold."""


class Text(RawIOBase):
    """A text file, read from the beginning to its end once.

    Raises `LawError` for `field` at bytes that are not UTF-8, at NUL bytes, at compressed data that
    are cut or damaged, and at those that expand beyond all measure.
    """

    def __init__(self, path: Path, field: str) -> None:
        self.path = path
        self.field = field
        self._compressed = is_compressed(path)
        self._size = path.stat().st_size
        self._stored = path.open("rb")
        self._file: IO[bytes] = self._stored
        if self._compressed:
            self._file = cast(IO[bytes], gzip.GzipFile(fileobj=self._stored))
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._lines = self._read = 0

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        self._stored.close()
        super().close()

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size` of them; none at the end."""
        try:
            piece = self._file.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise self._refused(f"the compressed data are cut or damaged: {error}") from error
        first, self._read = self._read == 0, self._read + len(piece)
        if first and piece.startswith(MARKS):
            raise self._refused(f"this is UTF-16 or UTF-32 text; {CURE}")
        if self._compressed and self._read > max(EXPANSION * self._size, ENOUGH):
            raise self._refused(
                f"its {self._size:,} bytes expand to more than {self._read:,}; if that is right, "
                "decompress it first"
            )
        if (nul := piece.find(b"\0")) >= 0:
            line = self._lines + 1 + piece[:nul].count(b"\n")
            raise self._refused(f"line {line} has a NUL byte: no text, or UTF-16; {CURE}")
        kept = self._decoder.getstate()[0]
        try:
            self._decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            before = (kept + piece)[: error.start]
            wrong = (kept + piece)[error.start]
            line = self._lines + 1 + before.count(b"\n")
            raise self._refused(f"line {line} has the byte {wrong:#x}, not UTF-8; {CURE}") from None
        self._lines += piece.count(b"\n")
        return piece

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def _refused(self, why: str) -> LawError:
        return LawError(f"{self.path}: {why}", self.field)


def is_compressed(path: Path) -> bool:
    """Does the name say that gzip compressed it?"""
    return path.suffix.lower() == ".gz"

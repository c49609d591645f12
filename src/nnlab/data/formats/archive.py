"""Files within a `.tar.gz`: read by name into memory, never unpacked to where the archive says."""

import gzip
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from nnlab.errors import UserError

REST = 1 << 20
"""The bytes that an archive may hold besides the files that are asked for."""


def read_members(archive: Path, names: Sequence[str], limit: int) -> dict[str, bytes]:
    """The content of the files that have these names in it, of at most `limit` bytes each.

    The archive is read once, as far as the last of them, and no further than so many files of
    that size take. Raises `UserError` where one is missing or larger, or the archive is damaged.
    """
    found: dict[str, bytes] = {}
    try:
        with gzip.open(archive) as file:
            bounded = _Bounded(archive, file, len(names) * limit + REST)
            with tarfile.open(fileobj=bounded, mode="r|") as tar:  # type: ignore[call-overload]
                for member in tar:
                    if member.name not in names or not member.isreg():
                        continue
                    if member.size > limit:
                        raise UserError(
                            f"{archive / member.name} must have at most {limit:,} bytes, "
                            f"but has {member.size:,}"
                        )
                    content = tar.extractfile(member)
                    assert content is not None
                    found[member.name] = content.read()
                    if len(found) == len(names):
                        return found
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as error:
        raise UserError(f"{archive} is cut or not a .tar.gz: {error}") from error
    missing = [name for name in names if name not in found]
    raise UserError(f"{archive} has no {', '.join(missing)}")


class _Bounded:
    """A file that is not read beyond a number of bytes: compressed ones may stand for very many."""

    def __init__(self, path: Path, file: BinaryIO | gzip.GzipFile, left: int) -> None:
        self.path = path
        self.file = file
        self.left = left

    def read(self, size: int) -> bytes:
        piece = self.file.read(min(size, self.left + 1))
        self.left -= len(piece)
        if self.left < 0:
            raise UserError(f"{self.path} holds more than the files it is published with")
        return piece

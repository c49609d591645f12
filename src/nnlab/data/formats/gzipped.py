"""Reading what gzip compressed: as much as is wanted and no more."""

import gzip
import zlib
from pathlib import Path
from typing import BinaryIO

from nnlab.errors import UserError

RATIO = 1032
"""No byte of deflate can stand for more bytes (zlib, Technical Details, "maximum compression")."""
PIECE = 1 << 20


def read_exactly(path: Path, file: BinaryIO, size: int, what: str) -> bytearray:
    """`size` bytes, after which the file must end.

    They are read piece by piece, so what a header promises takes no memory before it is there.
    Raises `UserError` where there are fewer or more.
    """
    content = bytearray()
    try:
        while len(content) < size:
            piece = file.read(min(PIECE, size - len(content)))
            if not piece:
                raise UserError(
                    f"{path} is cut: {what} takes {size:,} bytes, but there are {len(content):,}"
                )
            content += piece
        if file.read(1):
            raise UserError(f"{path} goes on after the {size:,} bytes that {what} takes")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is cut or damaged: gzip says {error}") from error
    return content

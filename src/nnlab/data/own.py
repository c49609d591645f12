"""The user's own files that data are read from: what is recorded of them, to know them again."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from nnlab.data import fingerprint
from nnlab.data.fingerprint import File, look

CHUNK = 1 << 20
"""Bytes that are read at a time."""


@dataclass(frozen=True)
class Own:
    """A file of the user's own, or a folder and the files of it that are read.

    A file's SHA-256 is that of its bytes, as `sha256sum` tells it. A folder's is that of the lines
    that `sha256sum` writes of its files, by their names in it, sorted:

        find -L . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum
    """

    path: Path
    files: tuple[File, ...]
    """As they were looked at before they were read."""
    folder: bool

    @classmethod
    def of(cls, path: Path, files: Sequence[File]) -> "Own":
        """What is at that path, of all the files that were read."""
        path = path.absolute()  # whatever the working directory is later
        whole = str(path)
        inside = whole.rstrip(os.sep) + os.sep
        mine = [one for one in files if one.path == whole or one.path.startswith(inside)]
        return cls(path, tuple(dict.fromkeys(mine)), whole not in {one.path for one in mine})

    @property
    def bytes(self) -> int:
        """Of all its files."""
        return sum(one.size for one in self.files)

    @cached_property
    def sha256(self) -> str:
        """Of the content, remembered as the fingerprints of data sets are.

        Raises `OSError` where a file cannot be read, or is another one than was looked at.
        """
        if self.bytes < fingerprint.WORTH:
            return self._digest()
        return fingerprint.remembered(self.files, f"bytes of {self.path}", self._digest)

    @property
    def plain(self) -> dict[str, Any]:
        """What is recorded of it: its name, bytes and SHA-256, and of a folder how many files. The
        SHA-256 is None where the content has changed since it was looked at."""
        try:
            found: str | None = self.sha256
        except OSError:
            found = None
        counted = {"files": len(self.files)} if self.folder else {}
        name = Path(os.path.normpath(self.path)).name
        return {"name": name, **counted, "bytes": self.bytes, "sha256": found}

    def _digest(self) -> str:
        if not self.folder:
            return _digest(self.files[0])
        named = sorted(
            (Path(one.path).relative_to(self.path).as_posix(), one) for one in self.files
        )
        lines = sha256()
        for name, file in named:
            lines.update(_line(name, _digest(file)).encode("utf-8", "surrogateescape"))
        return lines.hexdigest()


def _digest(file: File) -> str:
    """SHA-256 of a regular file's bytes; raises `OSError` unless it is as it was looked at. Nothing
    else is opened: it could wait for ever, or do something."""
    path, hashed, left = Path(file.path), sha256(), file.size
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path} is not a regular file")
    if left:  # a file without content is not read: those of /proc have some all the same
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as opened:
            while left > 0 and (chunk := opened.read(min(CHUNK, left))):
                hashed.update(chunk)
                left -= len(chunk)
    (now,) = look(path)
    if left or now[:4] != file[:4]:
        raise OSError(f"{path} was changed while it was read")
    return hashed.hexdigest()


def _line(name: str, digest: str) -> str:
    """A line of `sha256sum`, which marks a name with a backslash or a line's end in it."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n"

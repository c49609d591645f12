"""A run's `uncommitted.diff`: which files it changes, and whether this user may trust it.

It is code, and what a tracker holds may be somebody else's: it is applied only with consent.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnlab.errors import UserError
from nnlab.reproduction.repository import GitError, Repository

DIFF = "uncommitted.diff"
LARGEST = 256 * 2**20
"""Bytes of binary files that a diff may unpack to."""
_UNTRACKED = "# untracked: "
_BINARY = re.compile(rb"^(?:literal|delta) (\d{1,30})$", re.MULTILINE)


@dataclass(frozen=True)
class Change:
    """One file that a diff changes, and by how many lines; None for a binary one."""

    name: str
    added: int | None
    removed: int | None

    def __str__(self) -> str:
        lines = "binary" if self.added is None else f"+{self.added} -{self.removed}"
        return f"{printable(self.name)} ({lines})"


@dataclass(frozen=True)
class Uncommitted:
    """What the code that ran had that its commit has not."""

    patch: bytes
    untracked: tuple[str, ...]
    """Files of which only the name was recorded."""

    @classmethod
    def parse(cls, text: str) -> "Uncommitted":
        """What `uncommitted.diff` says: a diff, then the names of untracked files."""
        lines = text.split("\n")
        end = len(lines) - (lines[-1] == "")
        begin = end
        while begin and lines[begin - 1].startswith(_UNTRACKED):
            begin -= 1
        names = (line.removeprefix(_UNTRACKED) for line in lines[begin:end])
        patch = "".join(f"{line}\n" for line in lines[:begin]) if begin < end else text
        return cls(patch.encode(errors="surrogateescape"), tuple(printable(name) for name in names))

    def changes(self, repository: Repository) -> tuple[Change, ...]:
        """The files it changes; nothing is applied. Raises `UserError` for a diff that cannot be
        read, unpacks to more than `LARGEST`, or names what is not in the tree."""
        if not self.patch.strip():
            return ()
        size = sum(int(number) for number in _BINARY.findall(self.patch))
        if size > LARGEST:
            raise UserError(
                f"an {DIFF} may unpack to {LARGEST:,} bytes at most, but this one says {size:,}"
            )
        try:
            said = repository.git("apply", "--numstat", "-z", "-", given=self.patch)
        except GitError as error:
            raise UserError(f"the run's {DIFF} cannot be read: git says: {error}") from error
        rows = (row.split("\t", 2) for row in said.decode(errors="replace").split("\0") if row)
        changes = tuple(Change(name, _number(more), _number(less)) for more, less, name in rows)
        for change in changes:
            _check_inside(change.name)
        return changes


def check_consent(text: str, changes: Sequence[Change], own: Path, *, trusted: bool) -> None:
    """Raise `UserError` unless the user said so or `own`, in the user's own store, is the same."""
    if trusted or (own.is_file() and own.stat().st_uid == os.getuid() and _same(own, text)):
        return
    names = "".join(f"\n  {change}" for change in changes)
    raise UserError(
        f"the run's code had uncommitted changes, and the tracker's {DIFF} is code that would be "
        f"executed here; read it (an artifact of the run), then say --trust-diff; it "
        f"changes{names}"
    )


def printable(text: str) -> str:
    """The text on one line, without what a terminal would heed."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _same(own: Path, text: str) -> bool:
    return own.read_bytes() == text.encode(errors="surrogateescape")


def _check_inside(name: str) -> None:
    parts = name.split("/")
    outside = {"", ".", ".."} & set(parts) or "\\" in name or not name.isprintable()
    if outside or any(part.casefold().rstrip(". ") == ".git" for part in parts):
        raise UserError(
            f"an {DIFF} may change files inside the tree only, but this one names {name!r}"
        )


def _number(text: str) -> int | None:
    return None if text == "-" else int(text)

"""Where the user's data are looked for: in few folders, and in each only so far."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nnlab.errors import UserError

LOOKED_AT = 100_000
"""So many files and folders are looked at in one folder."""
DEEP, NEAR = 32, 3
"""So many folders below the one that the user names, and below those that nobody named."""


@dataclass(frozen=True)
class Place:
    """A folder and what is in it, however deep, or a file."""

    path: Path
    depth: int
    named: bool
    """Did the user name it?"""

    def __str__(self) -> str:
        return f"{self.path}" if self.named else f"{self.path} ({self.depth} folders deep)"

    @property
    def is_folder(self) -> bool:
        return self.path.is_dir()

    @cached_property
    def inside(self) -> list[os.DirEntry[str]]:
        """What is in it, the nearest first, at most `LOOKED_AT`.

        Folders that are hidden, or are links (which may lead back), are not gone into.
        """
        found: list[os.DirEntry[str]] = []
        level = [self.path] if self.is_folder else []
        for _ in range(self.depth + 1):
            below = []
            for folder in level:
                for entry in _entries(folder):
                    if len(found) == LOOKED_AT:
                        return found
                    found.append(entry)
                    if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                        below.append(Path(entry.path))
            level = below
        return found

    @property
    def cut(self) -> str:
        """A remark where not all that is in it was looked at."""
        if len(self.inside) < LOOKED_AT:
            return ""
        return f"of {self.path} the nearest {LOOKED_AT:,} files and folders alone were looked at"


def check_there(named: Sequence[Path]) -> None:
    """Raise `UserError` where the user names what is not there, be it needed or not."""
    for path in named:
        if "\0" in str(path) or not path.exists():
            raise UserError(f"--data names a file or a folder, but {path} does not exist")


def places(named: Sequence[Path], home: Path) -> list[Place]:
    """Where to look, in this order: what the user names, the working directory, the data home.

    Raises `UserError` where the user names what is not there.
    """
    check_there(named)
    near = [path for path in (Path.cwd(), home) if path.is_dir()]
    return [Place(path, DEEP, True) for path in named] + [Place(path, NEAR, False) for path in near]


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from sorted(entries, key=lambda entry: entry.name)
    except OSError:  # not ours to read
        return

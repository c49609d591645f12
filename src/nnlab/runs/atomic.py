"""Files that are there whole or not at all, whenever the process or the machine stops."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ASIDE = ".new"
"""How the name of a file ends that is still being written."""


def write(path: Path, content: bytes | memoryview) -> None:
    """Write the file aside, sync it, rename it, sync its folder: it replaces the one before."""
    _replace(path, content, os.fsync)
    sync_folder(path.parent)


def write_soon(path: Path, content: bytes | memoryview) -> None:
    """The same without a sync, for what can be made again or is synced by `sync` later: whatever
    becomes of the process it is whole or not there; a power cut may leave it empty."""
    _replace(path, content, lambda descriptor: None)


def sync(path: Path) -> None:
    """Return when a file that was written is on disk, with its name; of a folder, its names."""
    if not path.is_dir():
        sync_file(path)
    sync_folder(path if path.is_dir() else path.parent)


def sync_file(path: Path) -> None:
    """Return when what was written to the file is on disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _replace(path: Path, content: bytes | memoryview, safe: Callable[[int], None]) -> None:
    with replacing(path) as new, new.open("wb") as file:
        file.write(content)
        file.flush()
        safe(file.fileno())


@contextmanager
def replacing(path: Path, mark: str = "") -> Iterator[Path]:
    """The file to write aside, which takes the place of `path` in the end; whatever is raised, the
    one before stays. The `mark` in its name tells apart what several processes write at once."""
    new = path.with_name(f"{path.name}{mark}{ASIDE}")
    try:
        yield new
        new.replace(path)
    except BaseException:  # what a full disk has of it would only take room
        new.unlink(missing_ok=True)
        raise


def sync_folder(path: Path) -> None:
    """Return when the names in the folder are on disk, where the file system can tell."""
    descriptor = os.open(path, os.O_RDONLY)
    with suppress(OSError):
        os.fsync(descriptor)
    os.close(descriptor)

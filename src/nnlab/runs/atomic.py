"""Files that are there whole or not at all, whenever the process or the machine stops."""

import os
from contextlib import suppress
from pathlib import Path

ASIDE = ".new"
"""How the name of a file ends that is still being written."""


def write(path: Path, content: bytes | memoryview) -> None:
    """Write the file aside, sync it, rename it, sync its folder: it replaces the one before."""
    new = path.with_name(f"{path.name}{ASIDE}")
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:  # what a full disk has of it would only take room
        new.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Return when the names in the folder are on disk, where the file system can tell."""
    descriptor = os.open(path, os.O_RDONLY)
    with suppress(OSError):
        os.fsync(descriptor)
    os.close(descriptor)

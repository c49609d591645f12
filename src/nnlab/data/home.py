"""The data home: the folder that files of data sets are looked for in, and fetched to."""

import os
from collections.abc import Mapping
from pathlib import Path

from nnlab.data.catalogue import File, Published
from nnlab.errors import UserError

VARIABLE = "NNLAB_DATA"


def home() -> Path:
    """`$NNLAB_DATA`, or else the folder of nnlab where the platform keeps what can be had again."""
    if told := os.environ.get(VARIABLE):
        return Path(told).expanduser()
    import pooch

    return Path(pooch.os_cache("nnlab"))


def find(published: Published) -> Mapping[str, tuple[Path, ...]]:
    """Where its files are, by name: each as it is published, or else all that it holds.

    In each folder, what is not compressed comes first. A file that is nowhere has no entry.
    """
    root = home()
    found: dict[str, tuple[Path, ...]] = {}
    for file in published.files:
        for folder in published.folders:
            for names in (file.holds, (file.name,)):
                paths = tuple(root / folder / name for name in names)
                if file.name not in found and all(path.is_file() for path in paths):
                    found[file.name] = paths
    return found


def missing(published: Published) -> list[File]:
    """The files of it that are nowhere."""
    found = find(published)
    return [file for file in published.files if file.name not in found]


def require(name: str, published: Published) -> Mapping[str, tuple[Path, ...]]:
    """Where all its files are; raises `UserError` with what to do, if one is missing."""
    if lacking := missing(published):
        raise UserError(
            f"{name} is not here: `nnlab data fetch {name}` fetches it\n"
            f"{by_hand(published, lacking)}"
        )
    return find(published)


def by_hand(published: Published, files: list[File]) -> str:
    """Where to put which files, for a machine without a network."""
    root, folder = home(), published.folders[0]
    lines = [f"or put by hand into {root / folder}"]
    lines += [f"  {file.name} ({file.size:,} bytes) from {file.urls[0]}" for file in files]
    lines.append(f"or let ${VARIABLE}, now {root}, name a folder that has them in {folder}/")
    return "\n".join(lines)

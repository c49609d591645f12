"""CIFAR-10: small colour photographs, from its binary version."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from nnlab.data import catalogue
from nnlab.data.catalogue import BATCHES, Published
from nnlab.data.dataset import REST, TEST, Dataset
from nnlab.data.formats import cifar
from nnlab.data.formats.archive import read_members
from nnlab.data.home import require
from nnlab.data.sources.named import Facts, Named
from nnlab.data.sources.once import once
from nnlab.errors import UserError

RECORDS = 10_000
"""In each of the six files, the last of which is for testing."""
CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
FOLDER = "cifar-10-batches-bin"
"""Of the files within the archive."""


@dataclass(frozen=True)
class CIFAR10(Named):
    """60,000 photographs, 32x32 pixels in colour, ten classes; 10,000 are for testing.

    Krizhevsky 2009, "Learning multiple layers of features from tiny images".
    """

    scale: str = "unit"
    test: float = 0.0

    name: ClassVar[str] = "cifar10"
    facts: ClassVar[Facts] = Facts(6 * RECORDS, (32, 32, 3), 10)
    published: ClassVar[Published] = catalogue.CIFAR10

    def load(self) -> Dataset:
        (paths,) = require(self.name, self.published).values()
        if len(paths) > 1:
            _check_names(paths[0].with_name("batches.meta.txt"))
        return once(self, paths, lambda: _read(paths))


def _read(paths: tuple[Path, ...]) -> Dataset:
    """The data set in the six files, or in the archive of them."""
    if len(paths) > 1:
        contents = ((path, cifar.read(path, RECORDS)) for path in paths)
    else:
        (archive,) = paths
        names = [f"{FOLDER}/{name}" for name in BATCHES]
        members = read_members(archive, names, RECORDS * cifar.RECORD)
        contents = ((archive / name, members.pop(name)) for name in names)
    x, y = cifar.decode(contents, len(BATCHES), RECORDS, len(CLASSES))
    parts = np.repeat(np.array([REST, TEST], np.int8), [5 * RECORDS, RECORDS])
    return Dataset(x, y, CLASSES, parts=parts, origin=str(paths[0].parent))


def _check_names(meta: Path) -> None:
    """Raise `UserError` where the file of the classes' names is there and has other names."""
    if not meta.is_file():
        return
    with meta.open("rb") as file:
        names = tuple(file.read(1000).decode("ascii", "replace").split())
    if names != CLASSES:
        raise UserError(f"{meta} must name {', '.join(CLASSES)}, but names {', '.join(names)}")

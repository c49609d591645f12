"""The first hundred training images of MNIST: what fits on a page of a tutorial."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data import catalogue
from nnlab.data.catalogue import IMAGES, LABELS, TEST_IMAGES, TEST_LABELS, File, Published
from nnlab.data.dataset import REST, TEST, Dataset
from nnlab.data.home import home, require
from nnlab.data.sources.mnist import TESTING, TRAINING, read_part
from nnlab.data.sources.named import Facts, Named
from nnlab.errors import UserError

TRAINED, TESTED, PIXELS = 100, 10, 28 * 28
TABLES = {"mnist_train_100.csv": TRAINED, "mnist_test_10.csv": TESTED}
FOLDERS = ("mnist_100", *catalogue.MNIST.folders)


@dataclass(frozen=True)
class MNIST100(Named):
    """110 of MNIST: the first 100 training images and the first 10 test images.

    From MNIST's own files, or from the two tables of rows `label,784 pixels` that tutorials use
    (Rashid 2016, "Make your own neural network"): both hold the same.
    """

    scale: str = "unit"
    test: float = 0.0

    name: ClassVar[str] = "mnist_100"
    facts: ClassVar[Facts] = Facts(TRAINED + TESTED, (28, 28), 10)
    published: ClassVar[Published] = catalogue.MNIST

    def load(self) -> Dataset:
        if tables := find_tables():
            parts = [read_table(path, rows) for path, rows in tables.items()]
            origin = ", ".join(map(str, tables))
        else:
            found = require(self.name, self.published)
            images, labels, test_images, test_labels = (
                found[f"{name}.gz"][0] for name in (IMAGES, LABELS, TEST_IMAGES, TEST_LABELS)
            )
            x, y = read_part(images, labels, TRAINING, 10)
            test_x, test_y = read_part(test_images, test_labels, TESTING, 10)
            parts = [(x[:TRAINED], y[:TRAINED]), (test_x[:TESTED], test_y[:TESTED])]
            origin = str(images.parent)
        x, y = (np.concatenate([part[k] for part in parts]) for k in range(2))
        part = np.repeat(np.array([REST, TEST], np.int8), [TRAINED, TESTED])
        return Dataset(x, y, tuple("0123456789"), parts=part, origin=origin)

    @classmethod
    def files(cls) -> list[Path]:
        return list(find_tables()) or super().files()

    @classmethod
    def missing(cls) -> list[File]:
        return [] if find_tables() else super().missing()


def find_tables() -> dict[Path, int]:
    """The two tables and how many rows they have; empty unless both are there."""
    for folder in FOLDERS:
        paths = {home() / folder / name: rows for name, rows in TABLES.items()}
        if all(path.is_file() for path in paths):
            return paths
    return {}


def read_table(path: Path, rows: int) -> tuple[Array, Array]:
    """Images `(rows, 28, 28)` and labels `(rows,)`; raises `UserError` naming the line."""
    limit = rows * (PIXELS + 1) * 6
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    lines = content.splitlines()
    if len(content) > limit or len(lines) != rows:
        raise UserError(f"{path} must have {rows} lines of label,{PIXELS} pixels, but has others")
    table = np.empty((rows, PIXELS + 1), np.uint8)
    for k, line in enumerate(lines):
        numbers = line.split(b",")
        if len(numbers) != PIXELS + 1:
            raise UserError(
                f"{path}, line {k + 1} must have {PIXELS + 1} numbers, but has {len(numbers)}"
            )
        for column, number in enumerate(numbers):
            text, most = number.strip(), 255 if column else 9
            if not text.isdigit() or len(text) > 3 or int(text) > most:
                raise UserError(
                    f"{path}, line {k + 1}, column {column + 1} must be a whole number of 0 to "
                    f"{most}, but is {number[:20].decode('ascii', 'replace')!r}"
                )
            table[k, column] = int(text)
    return table[:, 1:].reshape(rows, 28, 28), table[:, 0].astype(np.int64)

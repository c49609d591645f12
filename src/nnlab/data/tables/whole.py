"""Files as one table: that of the training, and those of validation and testing beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError
from nnlab.data.dataset import PARTS, REST
from nnlab.data.memory import PREPARED, fits
from nnlab.data.tables.column import CATEGORY, EMPTY, Column
from nnlab.data.tables.features import Feature, encode, stray
from nnlab.data.tables.file import TableFile, at, quoted
from nnlab.data.tables.roles import Roles
from nnlab.data.tables.survey import survey
from nnlab.names import nearest

FEWEST = 3
"""Examples that there are at least: one for each part."""


@dataclass(frozen=True)
class Piece:
    """The rows of one file, and the part that they are."""

    file: TableFile
    roles: Roles
    part: int = REST
    as_category: tuple[str, ...] = ()

    @cached_property
    def columns(self) -> dict[str, Column]:
        """What the columns that are read hold, by name."""
        names = self.file.names
        found = survey(self.file, [names.index(one) for one in self.roles.all], self.as_category)
        return {one.name: one for one in found}

    @property
    def rows(self) -> int:
        return self.columns[self.roles.target].rows

    @property
    def inputs(self) -> list[Column]:
        return [self.columns[name] for name in self.roles.inputs]

    def parts(self) -> Array:
        """The part of each row `(rows,)`; raises `LawError` where a column names another."""
        if not self.roles.split:
            return np.full(self.rows, self.part, np.int8)
        words = [
            word
            for batch in self.file.batches([self.file.names.index(self.roles.split)])
            for word in batch.column(0).to_pylist()
        ]
        for row, word in enumerate(words):
            if word not in PARTS:
                shown = "nothing" if word is None else quoted(str(word))
                raise LawError(
                    f"{at(self.file, row, self.roles.split)}: a part must be one of "
                    f"{', '.join(PARTS)}, but got {shown}{nearest(word, PARTS)}",
                    "split_column",
                )
        return np.array([PARTS[word] for word in words], np.int8)


def check_rows(pieces: Sequence[Piece]) -> None:
    """Raise `LawError` where a file has no rows, or all have too few."""
    for piece in pieces:
        if not piece.rows:
            raise LawError(
                f"{piece.file.path} has no rows, only names of columns", piece.file.field
            )
    if (rows := sum(piece.rows for piece in pieces)) < FEWEST:
        raise LawError(
            f"{pieces[0].file.path} has {rows} rows; training, validation and test take at least "
            f"{FEWEST}",
            "path",
        )


def check_alike(main: Piece, other: Piece) -> None:
    """Raise `LawError` unless the columns of another file hold what those of the first do."""
    for name in (main.roles.target, *main.roles.inputs):
        here, there = main.columns[name], other.columns[name]
        if there.kind in (here.kind, EMPTY) or here.kind == CATEGORY:
            continue  # a value that a category does not have is found where it is read
        if there.stray:
            raise LawError(stray(there, other.file), other.file.field)
        raise LawError(
            f"{other.file.path}: column {name} holds values of kind {there.kind}, but "
            f"{here.kind} in {main.file.path}",
            other.file.field,
        )


def read_inputs(pieces: Sequence[Piece], features: Sequence[Feature]) -> Array:
    """The inputs of all files, one below the other: `(n, features)`, or images as they are."""
    if any(piece.file.has_images for piece in pieces):
        return _read_images([piece.file for piece in pieces])
    shape = (sum(piece.rows for piece in pieces), sum(len(one.names) for one in features))
    cure = "choose data.categories=ordinal, or leave columns out with data.ignore"
    fits(shape, np.float64, str(pieces[0].file.path), "path", cure, PREPARED)
    x = np.empty(shape)
    start = 0
    for piece in pieces:
        encode(piece.file, features, x[start : start + piece.rows])
        start += piece.rows
    return x


def _read_images(files: Sequence[TableFile]) -> Array:
    first, *_ = images = [file.images() if file.has_images else np.empty(0) for file in files]
    for file, one in zip(files, images, strict=True):
        if not one.shape[1:] == first.shape[1:] != ():
            raise LawError(
                f"{file.path} and {files[0].path} do not hold images of one shape", file.field
            )
    return first if len(images) == 1 else np.concatenate(images)


def check_learnable(y: Array, parts: Array, classes: Sequence[str]) -> None:
    """Raise `LawError` unless there are training examples, of every class."""
    if not (parts == REST).any():
        raise LawError("no row is for training: the parts must name one train", "split_column")
    for label, name in enumerate(classes):
        if not (y[parts == REST] == label).any():
            raise LawError(
                f"the class {name} has examples for testing or validation, but none for training",
                "split_column",
            )

"""Your own table, in a file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError, law, one_of
from nnlab.data.dataset import REST, TEST, VALIDATION, Dataset
from nnlab.data.preparation.imputation import METHODS, Imputation
from nnlab.data.preparation.scaling import Affine, standardized
from nnlab.data.preparation.step import Step
from nnlab.data.sources.once import once
from nnlab.data.sources.source import Source
from nnlab.data.stream.table import streamed
from nnlab.data.tables import features, target
from nnlab.data.tables.column import Column
from nnlab.data.tables.file import TableFile
from nnlab.data.tables.opening import opened
from nnlab.data.tables.roles import check_same, roles
from nnlab.data.tables.separator import AUTO, SEPARATORS
from nnlab.data.tables.survey import survey
from nnlab.data.tables.whole import (
    Piece,
    check_alike,
    check_learnable,
    check_rows,
    read_inputs,
)

NA_VALUES = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None")
ENCODINGS = ("one_hot", "ordinal")


@dataclass(frozen=True)
class Table(Source):
    """A CSV, TSV, Parquet, Arrow (Feather), .npy or .npz file; its ending says which."""

    path: str = ""
    target: str | int = ""
    """The column that is to be predicted; unless it is told, of .npy the last, of .npz y."""
    task: str = "auto"
    """classification, regression, or auto: texts, booleans and few whole numbers are labels."""
    ignore: tuple[str | int, ...] = ()
    """Columns that are left out."""
    categories: str = "one_hot"
    """one_hot: a feature 0 or 1 for each value; ordinal: one feature 0, 1, 2, ..."""
    as_category: tuple[str | int, ...] = ()
    """Columns whose numbers are categories."""
    missing: str = "refuse"
    """refuse, or what stands for a missing number: mean, median or most_frequent of the training
    part. A category that is missing is then a value of its own."""
    na_values: tuple[str, ...] = NA_VALUES
    """What a text file has where a value is missing."""
    separator: str = AUTO
    """What is between the values of a text file: comma, semicolon, tab or bar; auto: what cuts its
    first 20 rows most alike."""
    header: bool = True
    """Does the first line of a text file name the columns? Otherwise they are 0, 1, ..."""
    split_column: str | int = ""
    """A column that says train, validation or test."""
    validation_path: str = ""
    """A file of its own for validation; needs validation=given."""
    test_path: str = ""
    """A file of its own for testing; needs data.test=0."""
    standardize_target: bool = True
    """Train a regression on (y - mean) / deviation of the training part."""
    window: int = 0
    """So many examples of Parquet or .npy are shuffled together, read from disk in the background;
    0: all in memory."""

    def __post_init__(self) -> None:
        super().__post_init__()
        law("path names a file", self.path.strip(), path=repr(self.path))
        one_of(target.TASKS, task=self.task)
        one_of(ENCODINGS, categories=self.categories)
        one_of((AUTO, *SEPARATORS), separator=self.separator)
        one_of(("refuse", *METHODS), missing=self.missing)
        law("window >= 0", self.window >= 0, window=self.window)
        if self.window and self.missing != "refuse":
            raise LawError(
                "missing values need the table in memory: choose data.window=0, or "
                "data.missing=refuse",
                "missing",
            )
        if self.split_column != "" and (self.validation_path or self.test_path):
            raise LawError(
                "parts are named by a column or are files of their own, not both", "split_column"
            )

    def columns(self) -> list[Column]:
        """What every column of the file holds, for people: nothing of it is refused."""
        file = self._opened(self.path)
        return survey(file, range(len(file.names)), _names(self.as_category))

    def load(self) -> Dataset:
        """Raises `LawError` with file, line and column where the table is not what it must be."""
        if self.window:
            return streamed(self._pieces(), self.task, self.window)
        return once(self, self.own.values(), self._read)

    @property
    def own(self) -> dict[str, Path]:
        named = {
            "path": self.path,
            "validation_path": self.validation_path,
            "test_path": self.test_path,
        }
        return {field: Path(path) for field, path in named.items() if path}

    def _read(self) -> Dataset:
        main, *others = pieces = self._pieces()
        check_rows(pieces)
        to_predict = target.target(main.columns[main.roles.target], self.task, main.file)
        for column in main.inputs:
            features.check(column, main.file)
        for other in others:
            check_alike(main, other)
            target.check_present(other.columns[main.roles.target], other.file, other.file.field)
            for column in other.inputs:
                features.check_numbers(column, other.file)
        if self.missing == "refuse":
            for piece in pieces:
                features.check_missing(piece.inputs, piece.file)
        lacking = {one.name for piece in pieces for one in piece.inputs if one.missing}
        one_hot = self.categories == "one_hot"
        made = [features.feature(one, one_hot, one.name in lacking) for one in main.inputs]
        y = np.concatenate([to_predict.read(piece.file, piece.rows) for piece in pieces])
        parts = np.concatenate([piece.parts() for piece in pieces])
        check_learnable(y, parts, to_predict.classes)
        return Dataset(
            read_inputs(pieces, made),
            y,
            to_predict.classes,
            names=tuple(name for one in made for name in one.names),
            kinds=tuple(kind for one in made for kind in one.kinds),
            parts=parts if (parts != REST).any() else None,
            origin=", ".join(piece.file.origin for piece in pieces),
        )

    def repairs(self, dataset: Dataset) -> list[Step]:
        return [] if self.missing == "refuse" else [Imputation(self.missing, dataset.names)]

    def target_scaler(self, train: Array) -> Affine | None:
        return standardized(train) if self.standardize_target and train.ndim == 2 else None

    def _pieces(self) -> list[Piece]:
        """The training file, then those beside it."""
        ignore, as_category = _names(self.ignore), _names(self.as_category)
        file = self._opened(self.path)
        wanted = roles(file, str(self.target), str(self.split_column), ignore)
        for name in as_category:
            law("as_category names inputs", name in wanted.inputs, as_category=name)
        pieces = [Piece(file, wanted, REST, as_category)]
        beside = (
            ("validation_path", self.validation_path, VALIDATION),
            ("test_path", self.test_path, TEST),
        )
        for field, path, part in beside:
            if path:
                other = self._opened(path, field)
                check_same(file, wanted, other, ignore)
                pieces.append(Piece(other, wanted, part, as_category))
        return pieces

    def _opened(self, path: str, field: str = "path") -> TableFile:
        text = self.header, self.separator, self.na_values
        return opened(Path(path), field, *text, str(self.target))


def _names(columns: tuple[str | int, ...]) -> tuple[str, ...]:
    return tuple(map(str, columns))

"""The columns that are inputs: what must hold of them, and how they become numbers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError
from nnlab.data.tables import numbers as text
from nnlab.data.tables.column import (
    BOOLEAN,
    CATEGORY,
    DATE,
    DISTINCT,
    EMPTY,
    MIXED,
    NUMBER,
    Column,
    plain_values,
    truths,
)
from nnlab.data.tables.file import TableFile, at, quoted

MISSING = "(missing)"
"""What a category that is missing is called."""
NAMES = 10
"""A category of so many rows and more, each of another value, names the rows."""
FEW = 100
"""A category with more values than this, and more than half as many as rows, names the rows."""


@dataclass(frozen=True)
class Feature:
    """How a column becomes features: one, or one for each value of a category."""

    column: Column
    values: tuple[str, ...] = ()
    """Of a category, in the order of the features or of the numbers."""
    one_hot: bool = False
    missing: bool = False
    """Is a category that is missing a value of its own, the last?"""

    @property
    def names(self) -> tuple[str, ...]:
        if not self.one_hot:
            return (self.column.name,)
        return tuple(f"{self.column.name}={value}" for value in (*self.values, *self._missing))

    @property
    def kinds(self) -> tuple[str, ...]:
        kind = CATEGORY if self.column.kind == CATEGORY else NUMBER
        return (kind,) * len(self.names)

    @property
    def _missing(self) -> tuple[str, ...]:
        """The name of what is missing, unlike those of all values."""
        name = MISSING
        while name in self.values:
            name = f"({name})"
        return (name,) if self.missing else ()


def check(column: Column, file: TableFile) -> None:
    """Raise `LawError` unless the column can be an input, or has missing values alone."""
    name = column.name
    ignore = f"leave it out with data.ignore=[{name}]"
    if column.kind == EMPTY:
        raise LawError(f"{file.path}: column {name} has no value in any row; {ignore}", "ignore")
    if column.kind == DATE:
        raise LawError(
            f"{file.path}: column {name} holds dates or times; make numbers of them (days since, "
            f"hour, weekday), or {ignore}",
            "ignore",
        )
    if column.kind == MIXED:
        assert column.stray is not None
        raise LawError(f"{stray(column, file)}, or {ignore}", file.field)
    if column.kind not in (NUMBER, BOOLEAN, CATEGORY):
        raise LawError(
            f"{file.path}: column {name} holds values of type {column.kind}; {ignore}", "ignore"
        )
    if column.kind == CATEGORY:
        many = f"more than {DISTINCT:,}" if column.counts is None else f"{len(column.counts):,}"
        if _names_rows(column):
            raise LawError(
                f"{file.path}: column {name} has {many} different texts in {column.rows:,} rows: "
                f"too many for a category; {ignore}",
                "ignore",
            )
    check_numbers(column, file)


def _names_rows(column: Column) -> bool:
    """Has a category so many values that it tells rows apart, not kinds of them?"""
    if column.counts is None:
        return True
    different = len(column.counts)
    return different > max(FEW, column.present / 2) or NAMES <= different == column.present


def check_numbers(column: Column, file: TableFile) -> None:
    """Raise `LawError` at a number that is infinite or not exact as a float64."""
    for found, law in ((column.infinite, "finite"), (column.wide, "exact as a float64")):
        if found:
            raise LawError(
                f"{at(file, found.row, column.name)}: {found.value} is not {law}; mend it, or "
                f"leave the column out with data.ignore=[{column.name}]",
                file.field,
            )


def stray(column: Column, file: TableFile) -> str:
    """What is said of a text among numbers."""
    assert column.stray is not None
    row, value = column.stray
    meant = (
        "write numbers with a decimal point and without marks between thousands"
        if re.match(text.LOCAL, value)
        else f"mend it, or name it as missing with data.na_values, or read texts with "
        f"data.as_category=[{column.name}]"
    )
    return (
        f"{at(file, row, column.name)}: {quoted(value)} is not a number, though most of its "
        f"column are; {meant}"
    )


def check_missing(columns: Sequence[Column], file: TableFile) -> None:
    """Raise `LawError` where values are missing: what should stand for them is to be chosen."""
    lacking = [one for one in columns if one.missing]
    if lacking:
        shown = ", ".join(
            f"{one.name} in {one.missing:,} (first {file.place(one.blanks[0])})"
            for one in lacking[:FEW]
        )
        raise LawError(
            f"{file.path} has rows without a value: {shown}; fill them with "
            "data.missing=mean (or median, most_frequent), or leave columns out with "
            f"data.ignore=[{','.join(one.name for one in lacking)}]",
            "missing",
        )


def feature(column: Column, one_hot: bool, missing: bool) -> Feature:
    """How the column becomes features; `missing` says whether a category may be missing."""
    if column.kind != CATEGORY:
        return Feature(column)
    return Feature(column, tuple(map(str, column.counts or ())), one_hot, missing)


def encode(file: TableFile, features: Sequence[Feature], x: Array) -> None:
    """Write the inputs to x `(rows, features)`: NaN where a number is missing.

    Raises `LawError` where a value is none of a category's.
    """
    start = 0
    for batch in file.batches([file.names.index(one.column.name) for one in features]):
        block = x[start : start + batch.num_rows]
        first = 0
        for one, values in zip(features, batch.columns, strict=True):
            part = block[:, first : first + len(one.names)]
            if one.column.kind == CATEGORY:
                _encode_category(file, one, values, part, start)
            else:
                part[:, 0] = number_values(file, one.column, values)
            first += len(one.names)
        start += batch.num_rows


def number_values(file: TableFile, column: Column, values: Any) -> Array:
    """Numbers, or 0 and 1 of booleans, as float64 `(n,)`: NaN where they are missing."""
    if not file.is_text:
        return text.floats(plain_values(values, False))
    if column.kind == BOOLEAN:
        return np.where(text.present(values), truths(values)[0], np.nan)
    return text.numbers(values)[0]


def codes(file: TableFile, column: str, values: Any, known: Sequence[str], start: int) -> Array:
    """The number of each text `(n,)` among the known ones, -1 where it is missing.

    Raises `LawError` at a text that is not known.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    values = plain_values(values, True)
    found = pc.fill_null(pc.index_in(values, pa.array(known, pa.string())), -1)
    numbers = np.asarray(found.to_numpy(zero_copy_only=False), np.int64)
    strange = np.flatnonzero((numbers < 0) & text.present(values))
    if len(strange):
        row = int(strange[0])
        raise LawError(
            f"{at(file, start + row, column)}: {quoted(str(values[row]))} is not one of the values "
            f"that are known from the training file: {', '.join(known[:20])}",
            file.field,
        )
    return numbers


def _encode_category(file: TableFile, one: Feature, values: Any, part: Array, start: int) -> None:
    numbers = codes(file, one.column.name, values, one.values, start)
    numbers[numbers < 0] = len(one.values)
    if one.one_hot:
        part[...] = 0
        part[np.arange(len(numbers)), numbers] = 1
    else:
        part[:, 0] = numbers

"""The column that is to be predicted: what must hold of it, how it becomes labels or numbers."""

from dataclasses import dataclass

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError
from nnlab.data.tables.column import BOOLEAN, CATEGORY, DISTINCT, MIXED, NUMBER, Column
from nnlab.data.tables.features import FEW, codes, number_values, stray
from nnlab.data.tables.file import TableFile, at

TASKS = ("auto", "classification", "regression")
CLASSES = 20
"""Whole numbers of at most so many values, each there twice, are taken for labels."""


@dataclass(frozen=True)
class Target:
    """What is to be predicted: labels where there are classes, a number otherwise."""

    column: Column
    classes: tuple[str, ...] = ()

    def read(self, file: TableFile, rows: int) -> Array:
        """Labels `(rows,)` or numbers `(rows, 1)`; raises `LawError` at an unknown class."""
        name = self.column.name
        y = np.empty(rows, np.int64 if self.classes else np.float64)
        start = 0
        for batch in file.batches([file.names.index(name)]):
            part = y[start : start + batch.num_rows]
            if not self.classes:
                part[:] = number_values(file, self.column, batch.column(0))
            elif self.column.kind == CATEGORY:
                part[:] = codes(file, name, batch.column(0), self.classes, start)
            else:
                numbers = number_values(file, self.column, batch.column(0))
                part[:] = self._labels(file, numbers, start)
            start += batch.num_rows
        return y if self.classes else y[:, None]

    def _labels(self, file: TableFile, numbers: Array, start: int) -> Array:
        values = self.column.counts or {}
        known = np.array(
            [one == "true" for one in values] if self.column.kind == BOOLEAN else list(values),
            np.float64,
        )
        labels = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
        strange = np.flatnonzero(known[labels] != numbers)
        if len(strange):
            row = int(strange[0])
            raise LawError(
                f"{at(file, start + row, self.column.name)}: {named(float(numbers[row]))} is a "
                f"class that the training file does not have: {', '.join(self.classes[:20])}",
                file.field,
            )
        return labels


def target(column: Column, task: str, file: TableFile) -> Target:
    """What the column says is to be predicted. Raises `LawError` where it cannot be."""
    check_present(column, file, "target")
    name, kind = column.name, column.kind
    if kind == MIXED:
        raise LawError(stray(column, file), "target")
    if kind not in (NUMBER, BOOLEAN, CATEGORY):
        raise LawError(
            f"{file.path}: column {name} holds {kind} values and cannot be predicted", "target"
        )
    for found, law in ((column.infinite, "finite"), (column.wide, "exact as a float64")):
        if found:
            raise LawError(f"{at(file, found.row, name)}: {found.value} is not {law}", "target")
    if column.counts is not None and len(column.counts) == 1:
        only = next(iter(column.counts))
        shown = named(only) if isinstance(only, float) else only
        raise LawError(
            f"{file.path}: column {name} is {shown} in every row: there is nothing to predict",
            "target",
        )
    if task == "auto":
        task = "classification" if _is_label(column) else "regression"
    if task == "regression":
        if kind == CATEGORY:
            raise LawError(
                f"a regression needs numbers, but column {name} of {file.path} holds texts; "
                "choose data.task=classification",
                "task",
            )
        return Target(column)
    if column.counts is None or len(column.counts) > max(FEW, column.rows / 2):
        many = f"more than {DISTINCT:,}" if column.counts is None else f"{len(column.counts):,}"
        raise LawError(
            f"{file.path}: column {name} has {many} different values in {column.rows:,} rows: "
            "too many for classes; is it the right column?",
            "target",
        )
    return Target(
        column, tuple(named(one) if isinstance(one, float) else one for one in column.counts)
    )


def check_present(column: Column, file: TableFile, field: str) -> None:
    """Raise `LawError` for `field` where a target is missing."""
    if column.missing:
        more = "" if column.missing <= len(column.blanks) else ", ..."
        places = ", ".join(file.place(row) for row in column.blanks)
        raise LawError(
            f"{file.path}: column {column.name}, the target, has no value in {column.missing:,} "
            f"rows ({places}{more}); such rows teach nothing: take them out",
            field,
        )


def named(number: float) -> str:
    """The name of a class that is a number: whole ones without a point."""
    return str(int(number)) if number.is_integer() else repr(number)


def _is_label(column: Column) -> bool:
    if column.kind != NUMBER:
        return True
    counts = column.counts
    return (
        column.whole and counts is not None and len(counts) <= CLASSES and min(counts.values()) >= 2
    )

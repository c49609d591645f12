"""Quotation marks that do not quote: what lies between two of them is lost without a word."""

import csv
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path

import numpy as np

from nnlab.core.laws import LawError
from nnlab.data.tables.separator import is_number
from nnlab.data.tables.text import Text

BLOCK = 1 << 22
"""Bytes that are looked at together."""
FEWEST = 3
"""Fewer lines within a quotation are a text, whatever they look like."""


def check_quotations(path: Path, field: str, separator: str, header: bool) -> None:
    """Raise `LawError` unless the file is text whose quotations are all closed, and none of them
    holds rows of the table.

    A text may have any number of lines. Where most lines within one have as many values as the
    table has columns, and numbers where its first row has them, it is none: two stray marks made
    it. Of a table without numbers that cannot be told.
    """
    marks, across = _marks(path, field)
    if marks % 2:
        _check_closed(path, field, separator)
    if across:
        _check_rows(path, field, separator, header)


def _marks(path: Path, field: str) -> tuple[int, bool]:
    """How many quotation marks there are, and whether a line ends after an odd number of them: else
    none has several lines."""
    marks, across = 0, False
    with Text(path, field) as text:
        while piece := text.read(BLOCK):
            content = np.frombuffer(piece, np.uint8)
            found = np.flatnonzero(content == ord('"'))
            if marks % 2 or len(found):
                ends = np.flatnonzero((content == ord("\n")) | (content == ord("\r")))
                across |= bool(((marks + np.searchsorted(found, ends)) % 2).any())
            marks += len(found)
    return marks, across


def _check_closed(path: Path, field: str, separator: str) -> None:
    """Raise `LawError` where a quotation swallows the rest of the file."""
    before = 0
    with Text(path, field) as text:
        wrapped = TextIOWrapper(text, "utf-8-sig", newline="")  # type: ignore[type-var]
        reader = csv.reader(wrapped, delimiter=separator, strict=True)
        try:
            for _ in reader:
                before = reader.line_num
        except csv.Error as error:
            if "end of data" in str(error):
                raise LawError(
                    f'{path}, line {before + 1}: a quotation mark " is opened and never closed',
                    field,
                ) from None


def _check_rows(path: Path, field: str, separator: str, header: bool) -> None:
    """Raise `LawError` where a quotation holds rows of the table."""
    numbers: list[bool] = []
    """Where the first row has numbers."""
    named, before = header, 0
    for lines, values in _rows(path, field, separator):
        if values and named:
            named = False
        elif values and not numbers:
            numbers = [is_number(one.strip()) for one in values]
        if numbers and _are_rows(lines[1:-1], separator, numbers):
            raise LawError(
                f"{path}, lines {before + 1} to {before + len(lines)}: a quotation begins in the "
                f"first of them and ends in the last, and those within read as rows; take the "
                'quotation marks " out, or, if it is a text, save the table as Parquet',
                field,
            )
        before += len(lines)


def _rows(path: Path, field: str, separator: str) -> Iterator[tuple[list[str], list[str]]]:
    """The lines and the values of each row, or of a blank line. They end at a value that is too
    long to be read, of which there are lines alone."""
    lines: list[str] = []
    with Text(path, field) as text:
        wrapped = TextIOWrapper(text, "utf-8-sig", newline="")  # type: ignore[type-var]

        def read() -> Iterator[str]:
            for line in wrapped:
                lines.append(line)
                yield line

        try:
            for values in csv.reader(read(), delimiter=separator):
                yield lines, values
                lines.clear()
        except csv.Error:
            yield lines, []


def _are_rows(lines: Sequence[str], separator: str, numbers: Sequence[bool]) -> bool:
    """Are most of the lines, and these not too few, rows with numbers where there should be?"""
    if len(lines) < FEWEST or not any(numbers):
        return False
    rows = 0
    for line in lines:
        values = line.split(separator)
        rows += len(values) == len(numbers) and all(
            is_number(value.strip())
            for value, number in zip(values, numbers, strict=True)
            if number
        )
    return 2 * rows > len(lines)

"""Tables as text, values separated by commas, tabs, semicolons or bars: CSV and TSV.

Read by pyarrow, in one thread, so that the same file is the same table everywhere.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

from nnlab.core.laws import LawError
from nnlab.data.tables.file import BATCH, TableFile, listed, quoted
from nnlab.data.tables.quotations import check_quotations
from nnlab.data.tables.separator import AUTO, LOOKED_AT, SEPARATORS, separator_of
from nnlab.data.tables.text import Text, is_compressed
from nnlab.errors import first_line

BLOCK = 1 << 22
"""Bytes that are parsed at a time: no row is longer."""
RECORDS = 1 << 16
"""So many lines may be one row."""


class Delimited(TableFile):
    """A table of text; the first line names the columns, unless `header` says otherwise."""

    is_text = True

    def __init__(
        self,
        path: Path,
        field: str,
        header: bool = True,
        separator: str = AUTO,
        na_values: Sequence[str] = (),
    ) -> None:
        """`separator` is one of `SEPARATORS`, or `AUTO`."""
        super().__init__(path, field)
        self.header = header
        self.na_values = list(na_values)
        self._checked = False
        usual = "tab" if ".tsv" in path.suffixes[-2:] else "comma"
        tried = (usual, *SEPARATORS) if separator == AUTO else (separator,)
        beginnings = {one: self._beginning(SEPARATORS[one]) for one in dict.fromkeys(tried)}
        self._said = separator_of({one: rows for one, (_, rows) in beginnings.items()})
        self.separator = SEPARATORS[self._said]
        self._blank, (names, *_) = beginnings[self._said]
        if header:
            self.names = tuple(name.strip() for name in names)
            self._check_names()
        else:
            self.names = tuple(map(str, range(len(names))))

    @property
    def origin(self) -> str:
        return f"{self.path} ({self._said}s between the values)"

    def batches(self, columns: Sequence[int]) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.compute as pc
        from pyarrow import csv as arrow

        chosen = [str(column) for column in columns]
        skipped = self._blank + self.header
        ragged: list[Any] = []

        def refuse(row: Any) -> str:
            ragged.append(row)
            return "error"

        if not self._checked:
            check_quotations(self.path, self.field, self.separator, self.header)
            self._checked = True
        try:
            # Arrow reads ahead in a thread, which must not call Python nor find its file closed
            file = pa.OSFile(str(self.path))
            reader = arrow.open_csv(
                pa.CompressedInputStream(file, "gzip") if is_compressed(self.path) else file,
                arrow.ReadOptions(
                    use_threads=False,
                    block_size=BLOCK,
                    column_names=[str(k) for k in range(len(self.names))],
                    skip_rows_after_names=skipped,
                ),
                arrow.ParseOptions(
                    delimiter=self.separator, newlines_in_values=True, invalid_row_handler=refuse
                ),
                arrow.ConvertOptions(
                    include_columns=chosen,
                    column_types=dict.fromkeys(chosen, pa.string()),
                    strings_can_be_null=True,
                    null_values=self.na_values,
                ),
            )
            na = pa.array(self.na_values, pa.string())
            for batch in reader:
                for start in range(0, batch.num_rows, BATCH):
                    rows = batch.slice(start, BATCH)
                    yield pa.record_batch(
                        [_trimmed(pc, column, na) for column in rows.columns], chosen
                    )
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error, ragged, skipped) from error

    def place(self, row: int) -> str:
        with Text(self.path, self.field) as text:
            try:
                first, last = next(islice(self._lines(text), row, None), (0, 0))
            except csv.Error:
                first = 0
        if not first:
            return super().place(row)
        return f"line {first}" if first == last else f"lines {first} to {last}"

    def _lines(self, text: Text) -> Iterator[tuple[int, int]]:
        """The first and the last line of each row, counted from 1."""
        wrapped = TextIOWrapper(text, "utf-8-sig", newline="")  # type: ignore[type-var]
        reader = csv.reader(wrapped, delimiter=self.separator)
        before, named = 0, self.header
        for values in reader:
            if values and named:
                named = False
            elif values:
                yield before + 1, reader.line_num
            before = reader.line_num

    def _beginning(self, separator: str) -> tuple[int, list[list[str]]]:
        """How many lines are blank before the first row, and the values of the first rows."""
        rows: list[list[str]] = []
        blank = 0
        with Text(self.path, self.field) as text:
            wrapped = TextIOWrapper(text, "utf-8-sig", newline="")  # type: ignore[type-var]
            lines = islice(iter(lambda: wrapped.readline(BLOCK), ""), RECORDS)
            with suppress(csv.Error):
                for values in csv.reader(lines, delimiter=separator):
                    if values:
                        rows.append(values)
                    blank += not rows
                    if len(rows) == LOOKED_AT:
                        break
                if not rows:
                    raise LawError(f"{self.path} is empty", self.field)
        return blank, rows or [[""]]

    def _check_names(self) -> None:
        if all(_is_number(name) for name in self.names):
            raise LawError(
                f"the first line of {self.path} holds numbers, not the names of columns; for a "
                "table without names choose data.header=false, and name columns by 0, 1, ...",
                "header",
            )
        twice = [name for name, times in Counter(self.names).items() if times > 1]
        if twice:
            where = [str(k + 1) for k, name in enumerate(self.names) if name == twice[0]]
            raise LawError(
                f"{self.path}: columns {' and '.join(where)} are both named {quoted(twice[0])}; "
                "rename one",
                self.field,
            )

    def _unreadable(self, error: Exception, ragged: list[Any], skipped: int) -> LawError:
        if ragged and ragged[0].number:
            row = ragged[0]
            return LawError(
                f"{self.path}, {self.place(row.number - skipped - 1)}: {row.actual_columns} "
                f"values, but there are {row.expected_columns} columns ({listed(self.names)}); "
                f"it reads {quoted(row.text)}",
                self.field,
            )
        if "straddling" in str(error) or "block" in str(error):
            return LawError(
                f"{self.path} has a row of more than {BLOCK:,} bytes; is a quotation mark "
                "never closed?",
                self.field,
            )
        return LawError(f"{self.path} cannot be read: {first_line(error)}", self.field)


def _trimmed(pc: Any, column: Any, na: Any) -> Any:
    """Without spaces around the values, and what is then a missing value as such."""
    trimmed = pc.utf8_trim_whitespace(column)
    if trimmed.nbytes == column.nbytes:
        return trimmed
    return pc.if_else(pc.is_in(trimmed, na), None, trimmed)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

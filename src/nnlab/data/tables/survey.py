"""Reading the columns of a file once, to know what they hold."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.tables import numbers as text
from nnlab.data.tables.column import (
    BOOLEAN,
    CATEGORY,
    DATE,
    DISTINCT,
    EMPTY,
    MIXED,
    NUMBER,
    REMEMBERED,
    Column,
    Found,
    kind_of,
    plain_values,
    truths,
)
from nnlab.data.tables.file import TableFile

ISO_8601 = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9:]{2,5})?)?$"
)
"""A date, or a date and a time."""


def survey(
    file: TableFile, columns: Sequence[int], as_categories: Sequence[str] = ()
) -> list[Column]:
    """What those columns of a file hold. Raises `LawError` where it cannot be read."""
    of_text, of_types = (_TextSurvey, _TypedSurvey)
    surveys = [
        (of_text if file.is_text else of_types)(file.names[k], file.names[k] in as_categories)
        for k in columns
    ]
    for batch in file.batches(columns):
        for one, values in zip(surveys, batch.columns, strict=True):
            one.add(values)
    return [one.result() for one in surveys]


class _Survey:
    """What is known of a column so far."""

    def __init__(self, name: str, as_category: bool) -> None:
        self.name = name
        self.as_category = as_category
        self.rows = self.missing = 0
        self.blanks: list[int] = []
        self.counts: dict[Any, int] | None = {}
        self.bounds = (np.inf, -np.inf)
        self.infinite: Found | None = None
        self.wide: Found | None = None

    def _count(self, values: Any) -> None:
        import pyarrow.compute as pc

        if self.counts is None:
            return
        found = pc.value_counts(values)
        if len(found) > DISTINCT + 1:
            self.counts = None
            return
        for value, times in zip(
            found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True
        ):
            if value is not None and value == value:
                self.counts[value] = self.counts.get(value, 0) + times
        if len(self.counts) > DISTINCT:
            self.counts = None

    def _count_as(self, reading: Callable[[str], Any]) -> None:
        """Count together what reads as the same value: 1, 1.0 and 1e0 are one number."""
        texts, self.counts = self.counts or {}, None if self.counts is None else {}
        for one, times in texts.items():
            if self.counts is not None and (value := reading(one)) == value:
                self.counts[value] = self.counts.get(value, 0) + times

    def _miss(self, missing: Array) -> None:
        self.missing += int(missing.sum())
        if len(self.blanks) < REMEMBERED:
            self.blanks += (self.rows + np.flatnonzero(missing)[:REMEMBERED]).tolist()

    def _measure(self, numbers: Array) -> None:
        infinite = np.flatnonzero(np.isinf(numbers))
        if len(infinite) and self.infinite is None:
            self.infinite = Found(self.rows + int(infinite[0]), str(numbers[infinite[0]]))
        if not np.isnan(numbers).all():
            low, high = self.bounds
            self.bounds = min(low, float(np.nanmin(numbers))), max(high, float(np.nanmax(numbers)))

    def _first_wide(self, values: Any, rows: Array) -> Found | None:
        """The first integer in those rows that is beyond what float64 numbers count exactly."""
        return next(
            (
                Found(self.rows + int(row), str(values[int(row)]))
                for row in rows
                if _beyond(str(values[int(row)]))
            ),
            None,
        )

    def _column(self, kind: str, stray: Found | None = None) -> Column:
        numbers = kind in (NUMBER, MIXED)
        known = numbers and self.bounds[0] <= self.bounds[1]
        low, high = self.bounds if known else (np.nan, np.nan)
        return Column(
            self.name,
            kind,
            self.rows,
            self.missing,
            tuple(self.blanks[:REMEMBERED]),
            None
            if self.counts is None
            else {one: self.counts[one] for one in _sorted(self.counts)},
            low,
            high,
            stray,
            self.infinite if numbers else None,
            self.wide if numbers else None,
        )


class _TextSurvey(_Survey):
    """Of a column of texts: what it holds is what nearly all of them say."""

    def __init__(self, name: str, as_category: bool) -> None:
        super().__init__(name, as_category)
        self.texts = self.local = self.booleans = self.dates = 0
        self.stray: Found | None = None

    def add(self, values: Any) -> None:
        numbers, strange = text.numbers(values)
        there = text.present(values)
        self._count(values)
        self._miss(~there if self.as_category else np.isnan(numbers) & ~strange)
        self._measure(numbers)
        self._widths(values, numbers)
        if strange.any():
            first = int(np.flatnonzero(strange)[0])
            self.stray = self.stray or Found(self.rows + first, str(values[first]))
            self.texts += int(strange.sum())
            self.local += int(text.matches(values, text.LOCAL).sum())
            self.booleans += int(truths(values)[1].sum())
            self.dates += int(_dates(values))
        self.rows += len(values)

    def result(self) -> Column:
        there = self.rows - self.missing
        plain = there - self.texts
        if not there:
            return self._column(EMPTY)
        if self.as_category:
            return self._column(CATEGORY)
        if not self.texts:
            self._count_as(float)
            return self._column(NUMBER)
        if self.booleans == there:
            self._count_as(str.lower)
            return self._column(BOOLEAN)
        if self.dates == there:
            return self._column(DATE)
        if plain + self.local > there / 2:
            return self._column(MIXED, self.stray)
        return self._column(CATEGORY)

    def _widths(self, values: Any, numbers: Array) -> None:
        if self.wide is None and (np.abs(numbers) >= text.EXACT).any():
            integers = np.flatnonzero(text.matches(values, text.INTEGER))
            self.wide = self._first_wide(values, integers[np.abs(numbers[integers]) >= text.EXACT])


class _TypedSurvey(_Survey):
    """Of a column that has a type: that says what it holds."""

    type: Any = None

    def add(self, values: Any) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        self.type = values.type
        plain = plain_values(values, self.as_category)
        kind = self._kind(plain.type)
        missing = ~text.present(plain)
        if kind == NUMBER:
            numbers = text.floats(plain)
            missing = np.isnan(numbers)
            self._measure(numbers)
            if pa.types.is_integer(plain.type):
                self._widths(plain, numbers)
            self._count(pc.cast(plain, pa.float64(), safe=False))
        elif kind in (CATEGORY, BOOLEAN):
            self._count(plain)
        self._miss(missing)
        self.rows += len(values)

    def result(self) -> Column:
        if self.rows == self.missing:
            return self._column(EMPTY)
        if (kind := self._kind(self.type)) == BOOLEAN and self.counts is not None:
            self.counts = {str(value).lower(): times for value, times in self.counts.items()}
        return self._column(kind)

    def _kind(self, type_: Any) -> str:
        kind = kind_of(type_)
        known = kind in (NUMBER, BOOLEAN, DATE)
        return CATEGORY if self.as_category and known else kind

    def _widths(self, values: Any, numbers: Array) -> None:
        if self.wide is None:
            self.wide = self._first_wide(values, np.flatnonzero(np.abs(numbers) >= text.EXACT))


def _beyond(integer: str) -> bool:
    digits = integer.lstrip("+-0")  # Python refuses to read thousands of them
    return len(digits) > len(str(text.EXACT)) or int(digits or "0") > text.EXACT


def _dates(texts: Any) -> int:
    """How many texts are dates or times as ISO 8601 writes them."""
    return int(text.matches(texts, ISO_8601).sum())


def _sorted(values: Mapping[Any, int]) -> list[Any]:
    """In order: texts that are numbers, all of them, by their numbers."""
    try:
        numbers = {one: float(one) for one in values}
    except ValueError:
        return sorted(values)
    if not all(number == number for number in numbers.values()):
        return sorted(values)
    return sorted(values, key=lambda one: (numbers[one], str(one)))

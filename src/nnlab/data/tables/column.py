"""What a column of a table holds, found by reading it once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.tables import numbers as text

NUMBER, BOOLEAN, CATEGORY, DATE, MIXED, EMPTY = (
    "number",
    "boolean",
    "category",
    "date",
    "mixed",
    "empty",
)
"""What a column may hold: mixed are numbers with some texts among them, empty is nothing at all.
Of a file with types it may be another one, named as the file does."""
DISTINCT = 1000
"""So many values of a column are told apart."""
REMEMBERED = 5
"""So many places of missing values are remembered."""


class Found(NamedTuple):
    """A value that was found, and in which row."""

    row: int
    value: str


@dataclass(frozen=True)
class Column:
    """What a column holds."""

    name: str
    kind: str
    rows: int
    missing: int = 0
    blanks: tuple[int, ...] = ()
    """The first rows where a value is missing."""
    counts: Mapping[Any, int] | None = None
    """How often each value is there, in order; None where they are more than `DISTINCT`."""
    low: float = np.nan
    high: float = np.nan
    """The least and the greatest number."""
    stray: Found | None = None
    """The first text among numbers."""
    infinite: Found | None = None
    wide: Found | None = None
    """The first integer that is no float64 number."""

    @property
    def present(self) -> int:
        """How many values there are."""
        return self.rows - self.missing

    @property
    def whole(self) -> bool:
        """Are all its values whole numbers? Known of those with few values."""
        return bool(self.counts) and all(
            isinstance(value, float) and value.is_integer() for value in self.counts or ()
        )


def plain_values(values: Any, as_category: bool) -> Any:
    """Values without an encoding as a dictionary, and as text where they are to be categories."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    wanted = as_category and kind_of(values.type) in (NUMBER, BOOLEAN, DATE)
    if wanted or pa.types.is_large_string(values.type):
        return pc.cast(values, pa.string())
    return values


def kind_of(type_: Any) -> str:
    """What values of one of Arrow's types are."""
    from pyarrow import types

    if types.is_dictionary(type_):
        return kind_of(type_.value_type)
    if types.is_string(type_) or types.is_large_string(type_):
        return CATEGORY
    if types.is_integer(type_) or types.is_floating(type_) or types.is_decimal(type_):
        return NUMBER
    if types.is_boolean(type_):
        return BOOLEAN
    return DATE if types.is_temporal(type_) else str(type_)


def truths(texts: Any) -> tuple[Array, Array]:
    """Which texts `(n,)` say true, and which say true or false, in any case: bool."""
    true = text.matches(texts, "^(?i:true)$")
    return true, true | text.matches(texts, "^(?i:false)$")

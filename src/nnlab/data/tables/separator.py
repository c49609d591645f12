"""What stands between the values of a text, told by its first rows."""

import re
from collections.abc import Mapping, Sequence

from nnlab.data.tables.numbers import LOCAL, NUMBER

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
AUTO = "auto"
"""The separator is to be told by the rows."""
LOOKED_AT = 20
"""So many rows tell the separator."""


def separator_of(beginnings: Mapping[str, Sequence[Sequence[str]]]) -> str:
    """The separator that cuts the first rows most alike, given what each one makes of them.

    Where two cut them alike (`0,5;1,25`), more of its values are numbers, perhaps with a decimal
    comma; then it makes more values; then it comes first.
    """
    return max(beginnings, key=lambda one: _likeness(beginnings[one]))


def _likeness(rows: Sequence[Sequence[str]]) -> tuple[int, float, int]:
    """Rows as long as the first, the fraction of their values that are numbers, their length."""
    length = len(rows[0])
    if length < 2:
        return 0, 0.0, length
    alike = [row for row in rows if len(row) == length]
    numbers = sum(is_number(value.strip()) for row in alike for value in row)
    return len(alike), numbers / (length * len(alike)), length


def is_number(value: str) -> bool:
    """Does the text say a number, perhaps with a decimal comma or marks between thousands?"""
    return bool(re.match(NUMBER, value) or re.match(LOCAL, value))

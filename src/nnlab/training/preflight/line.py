"""One line of the card."""

from typing import NamedTuple


class Line(NamedTuple):
    """What was checked, whether it holds, and the numbers that say so."""

    name: str
    passed: bool
    detail: str

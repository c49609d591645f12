"""Laws: what must hold of an argument, said with the law, the value and its name."""

from collections.abc import Collection
from typing import Any

from nnlab.names import nearest

LONGEST = 200
"""Characters of a value in a message."""


class LawError(ValueError):
    """A law does not hold. `field` names the argument it is about.

    The message reads "`law` must hold, but got field=value"; whoever knows where the value came
    from (a config key) appends that.
    """

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def law(text: str, holds: Any, **value: Any) -> None:
    """Raise `LawError` unless `holds` (an array must hold everywhere).

    >>> law("0 <= decay < 1", 0 <= 0.5 < 1, decay=0.5)
    >>> law("0 <= decay < 1", 0 <= 1.5 < 1, decay=1.5)
    Traceback (most recent call last):
        ...
    nnlab.core.laws.LawError: `0 <= decay < 1` must hold, but got decay=1.5
    """
    if not (holds.all() if hasattr(holds, "all") else holds):
        ((field, got),) = value.items()
        raise LawError(f"`{text}` must hold, but got {field}={shortened(str(got))}", field)


def shortened(text: str) -> str:
    """The text, without its middle where it is long: messages are read by people.

    >>> shortened(1000 * "[")
    '[[[[[[[[[[[[[[[[[[[[ ... (960 more characters) ... [[[[[[[[[[[[[[[[[[[['
    """
    if len(text) <= LONGEST:
        return text
    k = LONGEST // 10
    return f"{text[:k]} ... ({len(text) - 2 * k:,} more characters) ... {text[-k:]}"


def one_of(known: Collection[str], **value: Any) -> None:
    """Raise `LawError` unless the value is one of the known names; suggest the nearest."""
    ((field, got),) = value.items()
    if got not in known:
        raise LawError(
            f"{field} must be one of {', '.join(sorted(known))}, "
            f"but got {field}={shortened(str(got))}{nearest(got, known)}",
            field,
        )

"""Names that people mistype."""

from collections.abc import Collection
from difflib import get_close_matches
from typing import Any


def nearest(name: Any, known: Collection[str]) -> str:
    """A suggestion, " (did you mean X?)", or nothing when no known name is near."""
    close = get_close_matches(str(name), sorted(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""

"""Numbers in text: what is one, and what was meant to be one."""

from typing import Any

import numpy as np

from nnlab.core.arrays import Array

NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?(?i:inf|infinity|nan)$"
LOCAL = r"^[+-]?[0-9]{1,3}([.,' ][0-9]{3})+([.,][0-9]+)?$|^[+-]?[0-9]+,[0-9]+$"
"""With a decimal comma, or with marks between thousands."""
INTEGER = r"^[+-]?[0-9]+$"
EXACT = 2**53
"""All integers up to this one are float64 numbers."""


def numbers(texts: Any) -> tuple[Array, Array]:
    """The numbers that texts `(n,)` say, NaN where they say none, and where that is, though there
    is a text: float64 and bool `(n,)`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return floats(pc.cast(texts, pa.float64())), np.zeros(len(texts), bool)
    except pa.ArrowInvalid:
        good = matches(texts, NUMBER)
        plain = pc.replace_substring(
            pc.if_else(pa.array(good), texts, None), "+", "", max_replacements=1
        )
        # "1e+5" has lost a sign that it does not need
        return floats(pc.cast(plain, pa.float64())), ~good & present(texts)


def floats(values: Any) -> Array:
    """Arrow's numbers or booleans `(n,)` as float64, NaN where they are missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    cast = pc.cast(values, pa.float64(), safe=False)
    return np.asarray(cast.to_numpy(zero_copy_only=False), np.float64)


def matches(texts: Any, pattern: str) -> Array:
    """Which texts `(n,)` match: bool; one that is missing does not."""
    import pyarrow.compute as pc

    found = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
    return np.asarray(found.to_numpy(zero_copy_only=False), bool)


def present(values: Any) -> Array:
    """Which values `(n,)` are there: bool."""
    return np.asarray(values.is_valid().to_numpy(zero_copy_only=False), bool)

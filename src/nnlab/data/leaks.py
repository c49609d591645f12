"""Leaks: examples that a model is judged by though it has been trained on the same ones.

Imports no NumPy: what is told of a run is read without it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Leaks(NamedTuple):
    """How many examples of a part have an input that is, byte for byte, in the training part."""

    same: int
    """With the same target as there."""
    another: int
    """With another target than each of those."""

    @property
    def inputs(self) -> int:
        """Both."""
        return self.same + self.another


def told(leaks: Mapping[str, Leaks] | None) -> str:
    """The leaks into each part, in words; None where they were not looked for."""
    if leaks is None:
        return "not looked for: the inputs are read from disk as they are needed"
    if not any(found.inputs for found in leaks.values()):
        return f"no input of {' or '.join(leaks)} is in the training part"
    words = []
    for part, (same, another) in leaks.items():
        with_another = f" ({another:,} with another target)" if another else ""
        words.append(f"{same + another:,} of {part}{with_another}")
    return f"in the training part, too, are {' and '.join(words)}"


def leaks_of(description: Mapping[str, Any]) -> dict[str, Leaks] | None:
    """The leaks that are told; None where they were not looked for."""
    found = description.get("leaks")
    if found is None:
        return None
    return {part: Leaks(one["same_target"], one["another_target"]) for part, one in found.items()}

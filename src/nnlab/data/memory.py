"""What fits into memory: asked before it is taken."""

import os
from contextlib import suppress
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from nnlab.core.laws import LawError

PREPARED = 2.5
"""So many times floats are in memory: as they were read, prepared in float64, and in float32."""


def fits(
    shape: tuple[int, ...],
    dtype: DTypeLike,
    what: str,
    field: str,
    cure: str,
    times: float = 1,
) -> None:
    """Raise `LawError` for `field` unless an array of that shape, or so many times that, fits the
    memory that is available."""
    size = " x ".join(f"{one:,}" for one in shape)
    held = size if times == 1 else f"{size}, held {times:g} times: as read and as prepared"
    needed = times * prod(shape) * np.dtype(dtype).itemsize
    refuse_more(needed, f"{what} would take", held, field, cure)


def refuse_more(needed: float, takes: str, held: str, field: str, cure: str) -> None:
    """Raise `LawError` for `field` where more bytes are needed than are available; the message
    begins with `takes`, and says in brackets what is `held`."""
    there = available()
    if needed > there:
        raise LawError(
            f"{takes} {needed / 1e9:,.1f} GB in memory ({held}), and of this machine's "
            f"{_of_machine() / 1e9:,.1f} GB {there / 1e9:,.1f} GB are available; {cure}",
            field,
        )


def available() -> int:
    """The bytes that can be had without swapping; the machine's memory where nothing tells."""
    told = unused()
    return _of_machine() if told is None else told


def unused() -> int | None:
    """What the system says can be had without swapping, in bytes; None where it does not say."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        return 1024 * int(line.split()[1])
    return None


def _of_machine() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

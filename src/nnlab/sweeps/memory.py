"""How many more trials fit into the machine's memory, by what those before them took."""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from resource import getpagesize

from nnlab.data.memory import unused as available

_RESERVE = 0.05
"""The part of what is free that is left alone."""


class Memory:
    """What trials are known to need. Where the system does not tell what is free, all fit."""

    def __init__(self) -> None:
        self.peak = 0
        """The most that a trial has had, in bytes; 0 before the first one has ended."""

    def saw(self, peak: int) -> None:
        """Take in what a trial had at its most."""
        self.peak = max(self.peak, peak)

    def room(self, running: Collection[int], most: int) -> int:
        """How many more trials fit beside those processes, at most that many.

        Each that runs is expected to grow to the peak seen so far. One always fits where none
        runs, and before anything is known all do.
        """
        free = available()
        if not self.peak or free is None:
            return most
        growing = sum(max(0, self.peak - resident(pid)) for pid in running)
        fitting = int(max(0.0, (1 - _RESERVE) * free - growing) // self.peak)
        return min(most, max(fitting, 0 if running else 1))


def resident(pid: int) -> int:
    """Bytes of memory that a process has now; 0 if it is gone."""
    with suppress(OSError, ValueError, IndexError):
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * getpagesize()
    return 0

"""Signals that ask a process to end: the first lets a training finish its step.

The second one insists, and so does the clock where a step takes too long.
"""

import math
import signal
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any, Self

from nnlab.training.pause import Pause

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 1.0
"""Seconds that a step is given to come to its end."""


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to end; `safe` says that it came to a safe point before."""

    def __init__(self, number: int, *, safe: bool = False) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number
        self.safe = safe


_heard: list[int] = []
"""The signals that came. What they raise may be lost: a library may swallow it, and Python itself
drops it in a callback."""


def heed() -> None:
    """From now on a signal that asks this process to end raises `Interrupted`, unless whoever
    started the process had it ignored."""
    _heard.clear()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def ignore() -> None:
    """From now on such signals do nothing."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def check() -> None:
    """Raise `Interrupted` if a signal came whose own was lost."""
    if _heard:
        raise Interrupted(_heard[0])


class Halt:
    """A context in which the first signal asks trainings to pause. The second one, or a step that
    takes longer than `PATIENCE`, raises at once. It may be entered again within itself."""

    def __init__(self, pauses: Iterable[Pause] = ()) -> None:
        self.number = 0
        """The signal that came, or 0."""
        self._pauses = list(pauses)
        self._before: dict[int, Any] = {}
        self._depth = 0

    def watch(self, pauses: Iterable[Pause]) -> None:
        """Ask these as well."""
        self._pauses += pauses

    def check(self) -> None:
        """Raise `Interrupted` if a signal came: this is a safe point."""
        if self.number:
            signal.setitimer(signal.ITIMER_REAL, 0)  # what is kept now is not to be cut short
            raise Interrupted(self.number, safe=True)

    def __enter__(self) -> Self:
        self._depth += 1
        if self._depth > 1:
            return self
        for number in SIGNALS:
            if signal.getsignal(number) is _interrupt:  # else signals are not ours to heed
                self._before[number] = signal.signal(number, self._hear)
        if self._before:
            self.number = _heard[0] if _heard else 0
            self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._insist)
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth:
            return
        if self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, before in self._before.items():
            signal.signal(number, before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            raise _torn(number)
        self.number = number
        for pause in self._pauses:
            pause.at = -math.inf
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    def _insist(self, number: int, frame: FrameType | None) -> None:
        raise _torn(self.number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _heard.append(number)
    raise _torn(number)


def _torn(number: int) -> Interrupted:
    """The interrupt of whatever is going on. From now on what is half done and thrown away, such
    as an archive being written, does not complain of it on the terminal."""
    sys.unraisablehook = lambda _: None
    return Interrupted(number)

"""The background reader: a thread that reads the windows to come, and never more than one ahead."""

import weakref
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Event, Thread
from typing import NamedTuple

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.stream.order import WindowOrder
from nnlab.data.view import Stored, View, scattered

BUFFERS = 2
"""Windows in memory: the one in use and the next."""
PATIENCE = 1.0
"""Seconds that a reader which is told to end is waited for."""


class Window(NamedTuple):
    """A window that was read."""

    epoch: int
    start: int
    """Its first place in the epoch."""
    rows: Array
    """As they are stored `(size, ...)`, in the order in which they are seen."""


class Reader:
    """Windows from one on, in their order, for ever, as a context of one thread.

    It reads into `BUFFERS` arrays that go round: there is no other place, so it cannot run ahead.
    What goes wrong in the thread is raised by `next`.
    """

    def __init__(self, x: View, order: WindowOrder, epoch: int, k: int) -> None:
        assert not isinstance(x.of, np.ndarray)
        self._free: SimpleQueue[Array | None] = SimpleQueue()
        self._ready: SimpleQueue[Window | BaseException] = SimpleQueue()
        self._stop = Event()
        shape = (order.window_size, *x.of.shape[1:])
        for _ in range(BUFFERS):
            self._free.put(np.empty(shape, x.of.raw))
        work = (x.of, x.rows, order.twin(), epoch, k, self._free, self._ready, self._stop)
        self._thread = Thread(target=_read, args=work, daemon=True, name="nnlab reader")
        self._thread.start()
        # a training that nobody holds any more takes its reader with it
        self._end = weakref.finalize(self, _end, self._free, self._stop)
        self._end.atexit = False
        self.window: Window | None = None

    def next(self) -> Window:
        """The next window; the one before is given back, and must not be used any more."""
        if self.window is not None:
            self._free.put(self.window.rows.base)
            self.window = None
        got = self._ready.get()
        if isinstance(got, BaseException):
            self._ready.put(got)
            raise got
        self.window = got
        return got

    def close(self) -> None:
        """End the thread."""
        self._end()
        self._thread.join(PATIENCE)


def _end(free: SimpleQueue[Array | None], stop: Event) -> None:
    stop.set()
    free.put(None)


def _read(
    of: Stored,
    rows: Array,
    order: WindowOrder,
    epoch: int,
    k: int,
    free: SimpleQueue[Array | None],
    ready: SimpleQueue[Window | BaseException],
    stop: Event,
) -> None:
    try:
        for at, number, start in _windows(order, epoch, k):
            buffer = free.get()
            if buffer is None or stop.is_set():
                return
            wanted = rows[order.window(at, number)]
            ready.put(Window(at, start, scattered(of, wanted, buffer[: len(wanted)])))
    except BaseException as error:  # it is raised where windows are waited for
        ready.put(error)


def _windows(order: WindowOrder, epoch: int, k: int) -> Iterator[tuple[int, int, int]]:
    """The epoch, number and first place of each window from one on."""
    while True:
        starts = order.starts(epoch)[:-1].tolist()
        for number in range(k, len(starts)):
            yield epoch, number, starts[number]
        epoch, k = epoch + 1, 0

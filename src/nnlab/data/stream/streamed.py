"""Batches of inputs that are read from disk while others are trained on."""

from nnlab.core.arrays import Array
from nnlab.data.stream.order import WindowOrder
from nnlab.data.stream.reader import Reader, Window
from nnlab.data.view import View


class Streamed:
    """The inputs of the batches of an order, prepared as the batch is put together.

    Steps may be asked for in any order; one after the other they cost no waiting, for the window
    that comes next is read in the background.
    """

    def __init__(self, x: View, order: WindowOrder) -> None:
        self.x = x
        self.order = order
        self._reader: Reader | None = None
        self._following = (-1, -1)
        """The epoch and first place of the window that the reader gives next."""

    def take(self, step: int, rows: Array, out: Array) -> Array:
        """The inputs of the batch of a step, written to `out` `(m, features)`.

        Raises `UserError` where the file cannot be read or was changed.
        """
        epoch, first, stop = self.order.span(step)
        start = first
        while start < stop:
            window = self._window(epoch, start)
            upto = min(stop, window.start + len(window.rows))
            part = window.rows[start - window.start : upto - window.start]
            self.x.prepare(part, out[start - first : upto - first])
            start = upto
        return out

    def close(self) -> None:
        """Nothing is read any more, until a batch is asked for."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _window(self, epoch: int, place: int) -> Window:
        """The window that has a place of an epoch."""
        window = self._reader.window if self._reader else None
        if window and epoch == window.epoch and 0 <= place - window.start < len(window.rows):
            return window
        if self._reader is None or self._following != (epoch, place):
            self.close()
            self._reader = Reader(self.x, self.order, epoch, self.order.at(epoch, place))
        window = self._reader.next()
        end = window.start + len(window.rows)
        last = end == self.order.examples
        self._following = (epoch + 1, 0) if last else (epoch, end)
        return window

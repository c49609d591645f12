"""Inputs that are not (all) in memory as they are used: rows, prepared as they are read."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike

from nnlab.core.arrays import Array, Workspace

ROWS = 4096
"""So many rows are prepared at a time."""
PIECE = 1 << 20
"""So many bytes of a file are read at a time, unless a row is larger: they stay in the cache."""
TILE = 1 << 18
"""So many bytes are prepared at a time where that is cheap: they stay in the cache."""
GAP = 1 << 16
"""So many bytes that nobody asked for are rather read than skipped."""


class Stored(Protocol):
    """An array on disk `(n, ...)`, read a piece at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array; the rows come first."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the array that it is when it is in memory."""

    @property
    def raw(self) -> np.dtype[Any]:
        """Of what is read; every number of it is one of `dtype`."""

    @property
    def window(self) -> int:
        """So many rows are in memory together and shuffled, while a training reads as many more."""

    @property
    def groups(self) -> Array:
        """The first row of each piece that is read as a whole `(k,)`; empty where any rows are."""

    def __len__(self) -> int:
        """The number of rows."""

    def read(self, start: int, stop: int) -> Array:
        """The rows from `start` to before `stop`, an array of the caller's own; threads may ask at
        the same time. Raises `UserError` where the file is no longer what it was."""


@runtime_checkable
class Selective(Stored, Protocol):
    """An array on disk of which single rows can be read into place."""

    def pick(self, rows: Array, out: Array, places: Array) -> None:
        """Read `rows`, which ascend, into `out[places]`, an array without gaps."""


class Transform(Protocol):
    """A prepared row for each row: a fitted step of the preparation.

    It computes in the dtype of the x it gets, and does not change x.
    """

    @property
    def cheap(self) -> bool:
        """Is it hardly more work than reading? Then bytes in memory stay bytes until a batch."""

    @property
    def arrays(self) -> dict[str, Array]:
        """What was fitted, by name."""

    def __call__(self, x: Array) -> Array:
        """Rows `(m, ...)` prepared: `(m, ...)` of another shape perhaps. A row's result does not
        depend on the other rows."""


@runtime_checkable
class InPlace(Transform, Protocol):
    """A transform that keeps the shape and needs no room for a result."""

    def over(self, x: Array) -> None:
        """What a call gives, written over x."""


class View:
    """Rows of an array, each prepared when it is read.

    Of an array it has what trainings ask: `len(x)`, `x.shape`, `x[rows]`, `x.take(...)`,
    `x.astype(dtype)`. Every input is a row `(features,)`.
    """

    def __init__(
        self,
        of: Array | Stored,
        rows: Array,
        transforms: Sequence[Transform] = (),
        arithmetic: DTypeLike = np.float64,
        dtype: DTypeLike | None = None,
    ) -> None:
        """`arithmetic` is the dtype that is computed in, `dtype` that of the result (the same,
        unless told)."""
        self.of = of
        self.rows = rows
        self.transforms = tuple(transforms)
        self.arithmetic = np.dtype(arithmetic)
        self.dtype = np.dtype(dtype or arithmetic)
        self._work = Workspace()
        self.inner = self._prepared(_rows_of(of, rows[:1], self._work)).shape[1:]
        """The shape of one input before it is made a row."""
        self.shape = (len(rows), int(np.prod(self.inner)))
        self.ndim = 2

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> Array:
        """The rows of a slice, an array of row numbers or a mask, or one row."""
        if isinstance(key, int | np.integer):
            return np.asarray(self[np.array([key])][0])
        rows = self.rows[key]
        out = np.empty((len(rows), self.shape[1]), self.dtype)
        for start in range(0, len(rows), ROWS):
            part = slice(start, start + ROWS)
            self.prepare(_rows_of(self.of, rows[part], self._work), out[part])
        return out

    def take(self, rows: Array, axis: int, out: Array, mode: str = "clip") -> Array:
        """`x[rows]`, written to `out`."""
        return self.prepare(_rows_of(self.of, self.rows.take(rows), self._work), out)

    def prepare(self, raw: Array, out: Array) -> Array:
        """Rows as they are stored `(m, ...)`, prepared and written to `out` `(m, features)`."""
        cheap = all(transform.cheap for transform in self.transforms)
        size = max(1, TILE // (raw[:1].nbytes or 1)) if cheap else max(1, len(raw))
        for start in range(0, len(raw), size):
            part = slice(start, start + size)
            if self._in_place is not None and out.flags.c_contiguous:
                x = out[part].reshape(raw[part].shape)
                np.copyto(x, raw[part], casting="unsafe")
                for transform in self._in_place:
                    transform.over(x)
            else:
                x = self._prepared(raw[part])
                out[part] = x.reshape(len(x), -1)
        return out

    @cached_property
    def _in_place(self) -> list[InPlace] | None:
        """Its transforms, where all of them can be done in the array that is asked for."""
        found = [one for one in self.transforms if isinstance(one, InPlace)]
        possible = len(found) == len(self.transforms) and self.arithmetic == self.dtype
        return found if possible else None

    def astype(self, dtype: DTypeLike) -> "View":
        """The same with results of that dtype."""
        return View(self.of, self.rows, self.transforms, self.arithmetic, dtype)

    def then(self, transform: Transform) -> "View":
        """The same, with one more step."""
        return View(self.of, self.rows, (*self.transforms, transform), self.arithmetic)

    def choose(self, rows: Array) -> "View":
        """Those of its rows, prepared alike."""
        return View(self.of, self.rows[rows], self.transforms, self.arithmetic, self.dtype)

    def ahead(self, size: int, work: Workspace) -> Iterator[Array]:
        """All its rows, prepared, `size` at a time, each valid until the next; of a file the next
        ones are read meanwhile."""
        starts = range(0, len(self), size)
        raws = self._raw(starts) if self.in_memory else self._raw_ahead(starts)
        for raw in raws:
            yield self.prepare(raw, work.get("x", (len(raw), self.shape[1]), self.dtype))

    def _raw(self, starts: range) -> Iterator[Array]:
        for start in starts:
            yield _rows_of(self.of, self.rows[start : start + starts.step], self._work)

    def _raw_ahead(self, starts: range) -> Iterator[Array]:
        from concurrent.futures import ThreadPoolExecutor

        works = Workspace(), Workspace()

        def read(k: int) -> Array:
            rows = self.rows[starts[k] : starts[k] + starts.step]
            return _rows_of(self.of, rows, works[k % 2])

        with ThreadPoolExecutor(1, "nnlab reader") as thread:
            coming = thread.submit(read, 0)
            for k in range(len(starts)):
                raw = coming.result()
                if k + 1 < len(starts):
                    coming = thread.submit(read, k + 1)
                yield raw

    def blocks(self) -> Iterator[Array]:
        """All its rows in the shape `inner`, up to `ROWS` at a time: what steps are fitted to."""
        for start in range(0, len(self), ROWS):
            rows = self.rows[start : start + ROWS]
            raw = _rows_of(self.of, rows, self._work)
            x = self._prepared(raw)
            yield x.copy() if np.may_share_memory(x, raw) else x

    @property
    def in_memory(self) -> bool:
        """Is it an array that is prepared, not a file?"""
        return isinstance(self.of, np.ndarray)

    def _prepared(self, raw: Array) -> Array:
        x = raw.astype(self.arithmetic, copy=False)
        for transform in self.transforms:
            x = transform(x)
        return x


Inputs: TypeAlias = Array | View
"""What a part has for x."""


def chunks(x: Array | Stored | View) -> Iterator[Array]:
    """x, up to `ROWS` rows at a time."""
    for start in range(0, len(x), ROWS):
        if isinstance(x, np.ndarray | View):
            yield np.asarray(x[start : start + ROWS])
        else:
            yield x.read(start, min(start + ROWS, len(x))).astype(x.dtype, copy=False)


def _rows_of(of: Array | Stored, rows: Array, work: Workspace) -> Array:
    """Those rows as they are stored; valid until the next call."""
    if isinstance(of, np.ndarray):
        out = work.get("raw", (len(rows), *of.shape[1:]), of.dtype)
        return of.take(rows, 0, out, "clip")
    return scattered(of, rows, work.get("raw", (len(rows), *of.shape[1:]), of.raw))


def scattered(of: Stored, rows: Array, out: Array | None = None) -> Array:
    """Those rows as they are stored, in `out` if there is one.

    The file is read from its lowest to its highest row, up to `PIECE` bytes at a time.
    """
    width = max(1, of.dtype.itemsize * int(np.prod(of.shape[1:])))
    order = np.argsort(rows)
    ordered = rows[order]
    if isinstance(of, Selective):
        if out is None:
            out = np.empty((len(rows), *of.shape[1:]), of.raw)
        of.pick(ordered, out, order)
        return out
    size = max(1, min(ROWS, PIECE // width))
    breaks = np.flatnonzero(np.diff(ordered) > max(1, GAP // width)) + 1
    k = 0
    for stop in (*breaks.tolist(), len(order)):
        while k < stop:
            first = int(ordered[k])
            last = k + int(np.searchsorted(ordered[k:stop], first + size))
            piece = of.read(first, int(ordered[last - 1]) + 1)
            if out is None:
                out = np.empty((len(rows), *piece.shape[1:]), piece.dtype)
            out[order[k:last]] = piece[ordered[k:last] - first]
            k = last
    return of.read(0, 0) if out is None else out

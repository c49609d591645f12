"""The background reader: what it hands over, how far ahead it is, how it ends and fails."""

import gc
import threading
import time

import numpy as np
import pytest

from nnlab.data.preparation.scaling import Affine
from nnlab.data.stream.order import WindowOrder, edges
from nnlab.data.stream.reader import BUFFERS, Reader
from nnlab.data.stream.streamed import Streamed
from nnlab.data.view import View
from nnlab.errors import UserError

X = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
ROWS = np.flatnonzero(np.random.default_rng(1).random(1000) < 0.7)


class OnDisk:
    """An array read as a file is; it counts what it was asked for."""

    shape, dtype, raw, groups = X.shape, X.dtype, X.dtype, np.empty(0, np.intp)

    def __init__(self, window=100, fails_at=None):
        self.window = window
        self.fails_at = fails_at
        self.rows = 0
        self.threads = set()

    def __len__(self):
        return len(X)

    def read(self, start, stop):
        self.threads.add(threading.current_thread().name)
        self.rows += stop - start
        if self.fails_at is not None and self.rows > self.fails_at:
            raise UserError("the disk is broken")
        return X[start:stop].copy()


def made(stored, batch_size=32, transforms=()):
    view = View(stored, ROWS, transforms, np.float32)
    order = WindowOrder(0, edges(ROWS, stored.groups, stored.window), batch_size, stored.window)
    return view, order


def readers():
    return [one for one in threading.enumerate() if one.name == "nnlab reader"]


def batch(streamed, step):
    _, start, stop = streamed.order.span(step)
    rows = streamed.order.rows(step)
    return streamed.take(step, rows, np.empty((stop - start, 3), np.float32))


@pytest.fixture(autouse=True)
def rows_alone(monkeypatch):
    """What lies between two rows is not read, though it is less than a page here."""
    monkeypatch.setattr("nnlab.data.view.GAP", 0)


@pytest.fixture(autouse=True)
def no_reader_is_left():
    yield
    gc.collect()
    deadline = time.monotonic() + 5
    while readers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not readers()


@pytest.mark.parametrize("window", [7, 100, 400, 5000])
def test_batches_are_the_rows_of_the_order(window):
    scale = Affine(np.array([1.0, 2, 3]), np.array([2.0, 4, 8]))
    view, order = made(OnDisk(window), 32, [scale])
    streamed = Streamed(view, order)
    for step in range(3 * order.steps_per_epoch):
        expected = (X[ROWS][order.rows(step)] - np.float32([1, 2, 3])) / np.float32([2, 4, 8])
        np.testing.assert_array_equal(batch(streamed, step), expected)
    streamed.close()


def test_steps_may_be_asked_for_in_any_order():
    streamed = Streamed(*made(OnDisk()))
    rng = np.random.default_rng(0)
    for step in rng.integers(3 * streamed.order.steps_per_epoch, size=40):
        expected = X[ROWS][streamed.order.rows(step)]
        np.testing.assert_array_equal(batch(streamed, step), expected)
        assert len(readers()) == 1
    streamed.close()


def test_it_reads_in_one_thread_of_its_own_from_window_to_window():
    stored = OnDisk()
    streamed = Streamed(*made(stored))
    stored.threads.clear()
    stored.rows = 0
    batch(streamed, 0)
    reader = streamed._reader
    for step in range(1, 3 * streamed.order.steps_per_epoch):
        batch(streamed, step)
        assert streamed._reader is reader
    assert stored.threads == {"nnlab reader"}
    assert stored.rows < 1.2 * (3 * len(X) + 200)  # once an epoch, and the windows ahead
    streamed.close()


def test_it_is_never_further_ahead_than_its_buffers():
    stored = OnDisk(window=100)
    view, order = made(stored)
    stored.rows = 0
    reader = Reader(view, order, 0, 0)
    most = [0]
    read = stored.read
    stored.read = lambda start, stop: (most.__setitem__(0, most[0] + 1), read(start, stop))[1]
    for k in range(4):
        window = reader.next()
        settled(lambda: stored.rows)
        seen = order.starts(0)[k + BUFFERS]
        assert stored.rows <= 1.7 * seen, f"{stored.rows} rows were read for {seen} at window {k}"
        np.testing.assert_array_equal(window.rows, X[ROWS][order.window(0, k)])
    reader.close()


def settled(value):
    """Wait until it does not change any more."""
    before = None
    while before != (before := value()):
        time.sleep(0.05)


def test_two_windows_are_all_that_is_held():
    reader = Reader(*made(OnDisk()), 0, 0)
    bases = {id(reader.next().rows.base) for _ in range(30)}
    assert len(bases) == BUFFERS
    reader.close()


def test_what_goes_wrong_in_the_thread_is_raised_where_it_is_waited_for():
    stored = OnDisk()
    view, order = made(stored)
    stored.rows, stored.fails_at = 0, 500
    streamed = Streamed(view, order)
    with pytest.raises(UserError, match="the disk is broken"):
        for step in range(order.steps_per_epoch):
            batch(streamed, step)
    with pytest.raises(UserError, match="the disk is broken"):
        batch(streamed, step)
    stored.fails_at = None  # it is mended
    np.testing.assert_array_equal(batch(streamed, step), X[ROWS][order.rows(step)])
    streamed.close()


def test_it_ends_when_it_is_closed_and_begins_again():
    streamed = Streamed(*made(OnDisk()))
    for step in (0, 5, 1):
        batch(streamed, step)
        assert len(readers()) == 1
        streamed.close()
        streamed.close()
        assert not readers()


def test_it_ends_with_those_who_hold_it():
    streamed = Streamed(*made(OnDisk()))
    batch(streamed, 0)
    assert readers()
    del streamed  # the fixture waits for its end


def test_a_slow_disk_is_waited_for():
    stored = OnDisk()
    view, order = made(stored)
    read = stored.read

    def slow(start, stop):
        time.sleep(0.002)
        return read(start, stop)

    stored.read = slow
    streamed = Streamed(view, order)
    for step in range(8):
        np.testing.assert_array_equal(batch(streamed, step), X[ROWS][order.rows(step)])
    streamed.close()

"""The journal of a run: what was measured, on disk before anyone is told of it.

A file of lines, each a JSON object `{"crc":"xxxxxxxx","n":0,"time":1763683200000,"type":...}`:
`crc` is the CRC-32 of the rest of the line (from `"n"` to before the newline), `n` counts from 0,
`time` is in milliseconds since 1970 and never decreases. Floats are written with the digits that
give the same bits back; NaN and infinities as the texts "NaN", "Infinity", "-Infinity".

Records are written in groups: a thread writes all that has come since its last write and syncs
it, while the next group gathers. A last line without its newline is a torn write and is dropped
on reading; damage anywhere else is an error with its position.
"""

import fcntl
import json
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from zlib import crc32

Record = Mapping[str, Any]
Item = TypeVar("Item")

_HEAD = len('{"crc":"xxxxxxxx",')


class JournalError(Exception):
    """A journal that cannot be read as it was written, or cannot be written."""


class Journal:
    """A new journal, open for writing by this process alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("xb", buffering=0)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._queue: SimpleQueue[Any] = (
            SimpleQueue()
        )  # (time, text), a lock to release, None: the end
        self._closed = False
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()

    def append(self, kind: str, /, **fields: Any) -> None:
        """Add a record; it is on disk soon after, at the latest when `sync` returns.

        An interrupt at any instant leaves the journal whole, with the record or without it: what
        is handed to the thread goes through a queue whose `put` cannot be interrupted. (A lock
        taken in Python may stay held for ever when an interrupt comes just after it was taken.)
        """
        text = _json({"type": kind, **fields})
        self._raise_error()
        if self._closed:
            raise JournalError(f"{self.path} is closed")
        self._queue.put((time.time_ns() // 1_000_000, text))

    def sync(self) -> None:
        """Return when every record appended so far is on disk."""
        if not self._closed:
            done = threading.Lock()
            done.acquire()
            self._queue.put(done)
            done.acquire()  # the thread releases it
        self._raise_error()

    def close(self) -> None:
        """Write what waits, and end."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._file.close()
        self._raise_error()

    def _write(self) -> None:
        """The thread: number what has come, write it in one go, say that it is on disk."""
        n = latest = 0
        going = True
        while going:
            lines, waiting = [], []
            for item in _all_of(self._queue):
                if item is None:
                    going = False
                elif isinstance(item, tuple):
                    latest = max(latest, item[0])
                    lines.append(_line(f'"n":{n},"time":{latest},{item[1]}'))
                    n += 1
                else:
                    waiting.append(item)
            if lines and self._error is None:
                try:
                    _write_all(self._file.fileno(), b"".join(lines))
                    os.fsync(self._file.fileno())
                except OSError as error:
                    self._error = error
            for done in waiting:
                done.release()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise JournalError(f"{self.path} cannot be written: {self._error}") from self._error


class JournalReader:
    """Reads a journal, also while it grows: each `poll` gives the records that have come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._next = 0

    def poll(self) -> list[Record]:
        """The complete records since the last poll; raises `JournalError` on damage."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return []
        records: list[Record] = []
        for line in text.split(b"\n")[:-1]:  # what follows the last newline is torn, or to come
            record = decode(line)
            if record is None or record.get("n") != self._next:
                if records:  # good ones first; the next poll begins at the damage
                    break
                raise JournalError(
                    f"{self.path} is damaged at byte {self._offset}: "
                    f"record {self._next} was expected there"
                )
            records.append(record)
            self._offset += len(line) + 1
            self._next += 1
        return records


def being_written(path: Path) -> bool:
    """Does a living process have the journal open for writing?"""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def read(path: Path) -> list[Record]:
    """All records of a journal; a torn last line is dropped, other damage is an error."""
    reader = JournalReader(path)
    records = reader.poll()
    return records + reader.poll()  # the second raises where damage ended the first


def encode(record: Record) -> bytes:
    """A record as its line, without the newline."""
    return _line(_json(record))[:-1]


def decode(line: bytes) -> Record | None:
    """The record in a line without its newline, or None if it is not what was written."""
    body = line[_HEAD:]
    if line[:_HEAD] != b'{"crc":"%08x",' % crc32(body):
        return None
    record: Record = json.loads(b"{" + body)
    return record


def number(value: float | str) -> float:
    """A metric as it was before it was written: the texts of NaN and infinities are numbers."""
    return float(value)


def _plain(value: Any) -> Any:
    """`value` in JSON's types; non-finite floats become texts."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _json(record: Record) -> str:
    """A record as JSON, without the brace that begins it."""
    return json.dumps(_plain(record), separators=(",", ":"), allow_nan=False)[1:]


def _line(text: str) -> bytes:
    body = text.encode()
    return b'{"crc":"%08x",%b\n' % (crc32(body), body)


def _all_of(queue: SimpleQueue[Item]) -> Iterator[Item]:
    """The next item, once there is one, and those that are there already."""
    yield queue.get()
    with suppress(Empty):
        while True:
            yield queue.get_nowait()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]

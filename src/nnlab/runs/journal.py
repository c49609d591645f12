"""The journal of a run: what was measured, on disk before anyone is told of it.

A file of lines (docs/journal.md has the format), each a JSON object
`{"crc":"xxxxxxxx","n":0,"time":1763683200000,"type":...}`: `crc` is the CRC-32 of the rest of the
line (from `"n"` to before the newline), `n` counts from 0, `time` is in milliseconds since 1970 and
never decreases. Floats are written with the digits that give the same bits back; NaN and infinities
as the texts "NaN", "Infinity", "-Infinity".

Records are written in groups: a thread writes all that has come since its last write and syncs
it, while the next group gathers. A last line without its newline is a torn write and is dropped
on reading; damage anywhere else is an error with its position.
"""

import atexit
import fcntl
import json
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any, NamedTuple, Self, TypeVar
from zlib import crc32

from nnlab.runs.atomic import sync

Record = Mapping[str, Any]
Item = TypeVar("Item")

HEAD = len('{"crc":"xxxxxxxx",')
LONGEST = 1_000_000
"""Bytes of a line in a journal that may be anybody's; a report of a hundred metrics has 5,000."""


class JournalError(Exception):
    """A journal that cannot be read as it was written, or cannot be written."""


class LockedError(JournalError):
    """A journal that another process is writing."""


class Journal:
    """A journal, open for writing by this process alone; `Journal(path)` begins a new one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.past: list[Record] = []
        """The records that were there before."""
        self._file = path.open("xb", buffering=0)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._begin((path.parent, path.parent.parent))  # or a power cut may take the file's name

    @classmethod
    def reopen(cls, path: Path) -> Self:
        """Go on with a journal that was left, after its last whole record.

        Raises `LockedError` if a living process writes it, `JournalError` if it is damaged.
        """
        journal = cls.__new__(cls)
        journal.path = path
        journal._file = path.open("r+b", buffering=0)
        try:
            lock(journal._file, path)
            if not os.fstat(journal._file.fileno()).st_nlink:  # while we waited for the lock
                raise JournalError(f"{path} was removed")
            reader = JournalReader(path)
            journal.past = reader.rest()
            journal._file.truncate(reader.offset)
            journal._file.seek(reader.offset)
        except BaseException:
            journal._file.close()
            raise
        journal._begin()
        return journal

    def _begin(self, names: tuple[Path, ...] = ()) -> None:
        """Start the thread; `names` are the folders whose names have to be on disk as well."""
        self._names = names
        # of _Text, paths, locks to release, and None: the end
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._closed = False
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # whatever ends the process but a kill

    def append(self, kind: str, /, **fields: Any) -> None:
        """Add a record; it is on disk soon after, at the latest when `sync` returns.

        An interrupt at any instant leaves the journal whole, with the record or without it: what
        is handed to the thread goes through a queue whose `put` cannot be interrupted. (A lock
        taken in Python may stay held for ever when an interrupt comes just after it was taken.)
        """
        self._raise_error()
        self._put(_Text(_now(), _json({"type": kind, **fields})))

    def rest_on(self, *paths: Path) -> None:
        """Write what is appended from now on once these are on disk: files that were written, with
        their names, and the names in folders."""
        self._queue.put(paths)

    def sync(self) -> None:
        """Return when every record appended so far is on disk."""
        if not self._closed:
            done = threading.Lock()
            done.acquire()
            self._queue.put(done)
            done.acquire()  # the thread releases it
        self._raise_error()

    def conclude(self, kind: str, /, **fields: Any) -> None:
        """Add the last record and close. It is tried also where an earlier one failed: on a full
        disk a short line may still fit."""
        self._put(_Text(_now(), _json({"type": kind, **fields}), last=True))
        self.close()

    def close(self) -> None:
        """Write what waits, and end."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._file.close()
        atexit.unregister(self.close)  # not before: a signal may have cut the wait short
        self._raise_error()

    def _put(self, text: "_Text") -> None:
        if self._closed:
            raise JournalError(f"{self.path} is closed")
        self._queue.put(text)

    def _write(self) -> None:
        """The thread: number what has come, write it in one go, say that it is on disk."""
        n, latest = len(self.past), self.past[-1]["time"] if self.past else 0
        size, going = self._file.tell(), True
        lines: list[bytes] = []

        def write() -> None:
            nonlocal n, size
            if lines:
                whole = self._write_lines(b"".join(lines), size)
                n += whole.count(b"\n")
                size += len(whole)
                lines.clear()
                # after the record, not before: a process that dies at once leaves it behind
                self._sync_paths(self._names)
                self._names = ()

        while going:
            waiting = []
            for item in _all_of(self._queue):
                if item is None:
                    going = False
                elif isinstance(item, tuple) and not isinstance(item, _Text):
                    write()
                    self._sync_paths(item)
                elif not isinstance(item, _Text):
                    waiting.append(item)
                elif self._error is None or item.last:
                    latest = max(latest, item.time)
                    lines.append(_line(f'"n":{n + len(lines)},"time":{latest},{item.text}'))
            write()
            for done in waiting:
                done.release()

    def _sync_paths(self, paths: tuple[Path, ...]) -> None:
        try:
            for path in paths:
                sync(path)
        except OSError as error:
            self._error = self._error or error

    def _write_lines(self, data: bytes, size: int) -> bytes:
        """Write and sync `data` at the end, where the file has that size; the whole lines that
        were written. After an error nothing else stays."""
        descriptor = self._file.fileno()
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
        except OSError as error:
            self._error = self._error or error
            written = os.fstat(descriptor).st_size - size
            data = data[: data.rfind(b"\n", 0, max(written, 0)) + 1]
            with suppress(OSError):
                os.ftruncate(descriptor, size + len(data))
                os.lseek(descriptor, 0, os.SEEK_END)
        return data

    def _raise_error(self) -> None:
        if self._error is not None:
            raise JournalError(f"{self.path} cannot be written: {self._error}") from self._error


class _Text(NamedTuple):
    """A record on its way to the file."""

    time: int
    text: str
    last: bool = False


class JournalReader:
    """Reads a journal, also while it grows: each `poll` gives the records that have come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        """Bytes read: the end of the last whole record."""
        self._next = 0

    def poll(self) -> list[Record]:
        """The complete records since the last poll; raises `JournalError` on damage."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                text = file.read()
        except FileNotFoundError:
            return []
        records: list[Record] = []
        for line in text.split(b"\n")[:-1]:  # what follows the last newline is torn, or to come
            record = decode(line)
            if record is None or record.get("n") != self._next:
                if records:  # good ones first; the next poll begins at the damage
                    break
                raise _damaged(self.path, self.offset, self._next)
            records.append(record)
            self.offset += len(line) + 1
            self._next += 1
        return records

    def rest(self) -> list[Record]:
        """All that is there; raises `JournalError` on damage, also behind good records."""
        return self.poll() + self.poll()  # the second raises where damage ended the first

    def sync(self) -> None:
        """Return when all that was read is on disk, should its writer not have got so far."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())


def being_written(path: Path) -> bool:
    """Does a living process hold the file's lock, a journal's being that of its writer?"""
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
    return JournalReader(path).rest()


def each(path: Path) -> Iterator[Record]:
    """The same of a journal that may be anybody's, one at a time; a line of more than `LONGEST`
    bytes is damage."""
    at = 0
    with path.open("rb") as file:
        for n in count():
            line = file.readline(LONGEST + 1)
            if len(line) <= LONGEST and not line.endswith(b"\n"):
                return
            record = decode(line[:-1])
            if len(line) > LONGEST or record is None or record.get("n") != n:
                raise _damaged(path, at, n)
            yield record
            at += len(line)


def ends(path: Path) -> tuple[Record, Record] | None:
    """The first record and the last whole one, however long the journal is; None where either
    is not what was written."""
    try:
        with path.open("rb") as file:
            first = file.readline()
            size, length = file.seek(0, os.SEEK_END), 4096
            while True:
                file.seek(max(0, size - length))
                tail = file.read(length)
                lines = tail.split(b"\n")[:-1]  # without what is torn
                if len(lines) > 1 or length >= size:
                    break
                length *= 8
    except OSError:
        return None
    last = lines[-1] if lines else b""
    records = decode(first.removesuffix(b"\n")), decode(last)
    return None if records[0] is None or records[1] is None else (records[0], records[1])


def encode(record: Record) -> bytes:
    """A record as its line, without the newline."""
    return _line(_json(record))[:-1]


def decode(line: bytes) -> Record | None:
    """The record in a line without its newline, or None if it is not what was written."""
    body = line[HEAD:]
    if line[:HEAD] != b'{"crc":"%08x",' % crc32(body):
        return None
    try:
        record: Record = json.loads(b"{" + body)
    except (ValueError, RecursionError):  # somebody's, who has computed its checksum
        return None
    return record


def number(value: float | str) -> float:
    """A metric as it was before it was written: the texts of NaN and infinities are numbers."""
    return float(value)


def same(then: float | None, now: float | None) -> bool:
    """Are both there with the same value? NaN is as NaN was. (SQLite keeps no sign of zero.)"""
    if then is None or now is None:
        return False
    return then == now or (math.isnan(then) and math.isnan(now))


def in_json(value: Any) -> Any:
    """`value` in JSON's types; non-finite floats become texts."""
    if isinstance(value, Mapping):
        return {key: in_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [in_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _json(record: Record) -> str:
    """A record as JSON, without the brace that begins it."""
    return json.dumps(in_json(record), separators=(",", ":"), allow_nan=False)[1:]


def _line(text: str) -> bytes:
    body = text.encode()
    return b'{"crc":"%08x",%b\n' % (crc32(body), body)


def _damaged(path: Path, at: int, n: int) -> JournalError:
    return JournalError(f"{path} is damaged at byte {at}: record {n} was expected there")


def _now() -> int:
    return time.time_ns() // 1_000_000


def lock(file: IO[bytes], path: Path) -> None:
    """Lock the file as its writer does; raises `LockedError` if a living process writes it."""
    # who only looks whether it is locked holds it for an instant
    for pause in (0.01, 0.05, 0.25, None):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if pause:
            time.sleep(pause)
    raise LockedError(f"{path} is being written by another process")


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

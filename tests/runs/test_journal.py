import errno
import gc
import json
import math
import os
import re
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nnlab.runs import journal as module
from nnlab.runs.journal import (
    Journal,
    JournalError,
    JournalReader,
    being_written,
    decode,
    each,
    encode,
    number,
    read,
)

TEXTS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def line(number, **fields):
    """A line as the module's docstring says it."""
    body = json.dumps({"n": number, "time": 5, "type": "report", **fields}, separators=(",", ":"))
    return b'{"crc":"%08x",%b\n' % (crc32(body[1:].encode()), body[1:].encode())


def written(path, *lines):
    path.write_bytes(b"".join(lines))
    return path


LINES = [line(0, metrics={"a": 0.1}), line(1, text="é\r\n"), line(2, step=-3)]


def bits(value):
    return struct.pack("<d", value)


# records


@settings(deadline=None)
@given(st.floats())
@example(-0.0)
@example(5e-324)
@example(sys.float_info.max)
@example(math.nan)
@example(-math.inf)
def test_a_float_comes_back_with_the_same_bits(value):
    record = decode(encode({"n": 0, "x": [value], "y": {"z": value}}))
    assert set(record) - {"crc"} == {"n", "x", "y"}
    for got in (number(record["x"][0]), number(record["y"]["z"])):
        assert bits(got) == bits(value) or (math.isnan(got) and math.isnan(value))


texts = st.text(max_size=8)
leaves = st.none() | st.booleans() | st.integers() | texts | st.floats(allow_nan=False)
values = leaves | st.lists(leaves, max_size=3) | st.dictionaries(texts, leaves, max_size=3)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(texts.filter(lambda key: key not in ("n", "crc")), values, max_size=4))
@example({"text": "\r\n\x85\u2028\ud800\0"})
def test_a_record_is_one_line_and_comes_back(record):
    encoded = encode({"n": 0, **record})
    assert len(encoded.splitlines()) == 1

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        if isinstance(value, float) and math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return value

    got = dict(decode(encoded))
    assert got.pop("crc", None) in (None, encoded[8:16].decode())
    assert got == plain({"n": 0, **record})


def test_a_line_is_as_documented():
    record = {"n": 7, "time": 5, "type": "report", "metrics": {"loss": 0.1, "bad": math.nan}}
    assert encode(record) + b"\n" == line(7, metrics={"loss": 0.1, "bad": "NaN"})
    for text, value in TEXTS.items():
        assert encode({"n": 0, "x": value}).endswith(b',"n":0,"x":"%b"}' % text.encode())


def test_texts_of_non_finite_numbers_are_numbers():
    for text, value in TEXTS.items():
        assert bits(number(text)) == bits(value)
    assert number(2.5) == 2.5


# reading


def test_a_journal_of_documented_lines_is_read(tmp_path):
    records = read(written(tmp_path / "journal", *LINES))
    assert [record["n"] for record in records] == [0, 1, 2]
    assert records[0]["metrics"] == {"a": 0.1}
    assert records[1]["text"] == "é\r\n"
    assert records[2]["step"] == -3


def test_a_journal_that_is_not_there_has_no_records(tmp_path):
    assert read(tmp_path / "none") == []
    assert read(written(tmp_path / "empty")) == []


def test_a_last_line_torn_at_any_byte_is_dropped(tmp_path):
    path = tmp_path / "journal"
    for kept in range(len(LINES[-1])):
        records = read(written(path, *LINES[:-1], LINES[-1][:kept]))
        assert [record["n"] for record in records] == [0, 1]


def test_a_changed_byte_is_never_read_as_if_nothing_were(tmp_path):
    path, whole = tmp_path / "journal", b"".join(LINES)
    for position, byte in enumerate(whole):
        for other in {byte ^ 1, byte ^ 0x80, *b"\n\r"} - {byte}:
            written(path, whole[:position], bytes([other]), whole[position + 1 :])
            if position == len(whole) - 1:  # a last line without its newline
                assert len(read(path)) == 2
            else:
                with pytest.raises(JournalError):
                    read(path)


DAMAGES = {  # what is in the file: the byte at which the error says that it is damaged
    "the first line is missing": (LINES[1:], 0),
    "a line is missing": ([LINES[0], LINES[2]], len(LINES[0])),
    "a line is there twice": ([LINES[0], LINES[0], LINES[1]], len(LINES[0])),
    "two lines changed places": ([LINES[0], LINES[2], LINES[1]], len(LINES[0])),
    "an empty line": ([LINES[0], b"\n", LINES[1]], len(LINES[0])),
    "a line of another file": ([LINES[0], b'{"n":1}\n'], len(LINES[0])),
    "a torn line in the middle": ([LINES[0], LINES[1][:-9], LINES[2]], len(LINES[0])),
    "no number": ([line(0), line(None)], len(line(0))),
    "zeros": ([LINES[0], bytes(100), b"\n"], len(LINES[0])),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_an_error_with_its_position(tmp_path, damage):
    lines, position = DAMAGES[damage]
    path = written(tmp_path / "journal", *lines)
    with pytest.raises(JournalError, match=f"{path} is damaged at byte {position}:"):
        read(path)


@pytest.mark.parametrize("damage", [*DAMAGES, None])
def test_one_at_a_time_they_are_the_same(tmp_path, damage):
    path = written(tmp_path / "journal", *(DAMAGES[damage][0] if damage else LINES), b"torn")
    try:
        every = read(path)
    except JournalError as error:
        with pytest.raises(JournalError) as found:
            list(each(path))
        assert str(found.value) == str(error)
    else:
        assert list(each(path)) == every != []


def test_a_line_of_anybodys_that_is_too_long_is_damage(tmp_path, monkeypatch):
    longest = max(map(len, LINES))
    path = written(tmp_path / "journal", *LINES)
    monkeypatch.setattr(module, "LONGEST", longest)
    assert list(each(path)) == read(path)
    monkeypatch.setattr(module, "LONGEST", longest - 1)
    with pytest.raises(JournalError, match="is damaged at byte "):
        list(each(path))


def test_a_reader_gives_every_record_once_however_the_file_grows(tmp_path):
    path, whole = tmp_path / "journal", b"".join(LINES)
    for first in range(0, len(whole), 9):
        for second in range(first, len(whole), 23):
            path.unlink(missing_ok=True)
            reader, records = JournalReader(path), []
            for grown in (None, first, second, len(whole), len(whole)):
                if grown is not None:
                    written(path, whole[:grown])
                records += reader.poll()
            assert [record["n"] for record in records] == [0, 1, 2]


# writing


def test_what_is_appended_is_read(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.append("start", run="ab12", params={"lr": "0.1"}, tags={})
    journal.append("report", step=1, metrics={"loss": 0.1 + 0.2, "r2": -math.inf}, seconds=0.5)
    journal.append("end")
    journal.close()
    start, report, end = read(tmp_path / "journal")
    assert [record["n"] for record in (start, report, end)] == [0, 1, 2]
    assert [record["type"] for record in (start, report, end)] == ["start", "report", "end"]
    assert start["params"] == {"lr": "0.1"}
    assert report["metrics"] == {"loss": 0.30000000000000004, "r2": "-Infinity"}


def test_a_record_is_on_disk_when_sync_returns(tmp_path, monkeypatch):
    path, fsync, synced = tmp_path / "journal", os.fsync, []

    def spy(descriptor):
        now = os.fstat(descriptor)
        fsync(descriptor)
        if now.st_ino == path.stat().st_ino:  # not its folder
            synced.append(now.st_size)

    monkeypatch.setattr(module.os, "fsync", spy)
    journal = Journal(path)
    for k in range(20):
        journal.append("report", step=k)
        journal.sync()
        assert len(read(path)) == k + 1
        assert synced[-1] == path.stat().st_size
    journal.close()


def test_a_record_is_written_once_what_it_rests_on_is_on_disk(tmp_path, monkeypatch):
    path, other, fsync, synced = tmp_path / "journal", tmp_path / "a" / "other", os.fsync, []
    other.parent.mkdir()
    other.write_text("content")
    names = {one.stat().st_ino: one for one in (tmp_path.parent, tmp_path, other.parent, other)}

    def spy(descriptor):
        synced.append(
            (names.get(os.fstat(descriptor).st_ino, path), path.read_bytes().count(b"\n"))
        )
        fsync(descriptor)

    monkeypatch.setattr(module.os, "fsync", spy)
    journal = Journal(path)
    journal.append("start")
    journal.sync()
    journal.rest_on(other)
    journal.append("data")
    journal.sync()
    journal.close()
    assert synced == [
        (path, 1),
        (tmp_path, 1),
        (tmp_path.parent, 1),
        (other, 1),
        (other.parent, 1),
        (path, 2),
    ]


def test_nothing_is_written_that_rests_on_what_is_not_on_disk(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.append("start")
    journal.rest_on(tmp_path / "gone" / "file")
    journal.append("data")
    with pytest.raises(JournalError, match="gone"):
        journal.sync()
    with pytest.raises(JournalError):
        journal.close()
    assert [record["type"] for record in read(tmp_path / "journal")] == ["start"]


def test_many_records_are_all_there_in_their_order(tmp_path):
    journal = Journal(tmp_path / "journal")
    for k in range(2000):
        journal.append("report", step=k)
    journal.close()
    assert [record["step"] for record in read(tmp_path / "journal")] == list(range(2000))


def test_sync_and_close_of_an_empty_journal(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.sync()
    journal.close()
    journal.close()
    assert (tmp_path / "journal").read_bytes() == b""


def test_nothing_can_be_appended_after_close(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.append("end")
    journal.close()
    with pytest.raises(JournalError, match=f"{tmp_path / 'journal'} is closed"):
        journal.append("report")
    journal.sync()  # everything that was taken is there
    assert len(read(tmp_path / "journal")) == 1


def test_time_is_in_milliseconds_and_never_decreases(tmp_path, monkeypatch):
    clock = iter([1_700_000_000_123_456_789, 1_600_000_000_000_000_000, 1_700_000_000_124_000_000])
    monkeypatch.setattr(module.time, "time_ns", lambda: next(clock))
    journal = Journal(tmp_path / "journal")
    for _ in range(3):
        journal.append("report")
    journal.close()
    times = [record["time"] for record in read(tmp_path / "journal")]
    assert times == [1_700_000_000_123, 1_700_000_000_123, 1_700_000_000_124]


def test_a_journal_is_new(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.append("end")
    journal.close()
    with pytest.raises(FileExistsError):
        Journal(tmp_path / "journal")
    assert len(read(tmp_path / "journal")) == 1


def test_a_journal_has_one_writer(tmp_path):
    journal = Journal(tmp_path / "journal")
    with pytest.raises(FileExistsError):
        Journal(tmp_path / "journal")
    journal.close()


def test_a_journal_is_being_written_while_it_is_open(tmp_path):
    path = tmp_path / "journal"
    assert not being_written(path)
    journal = Journal(path)
    assert being_written(path)
    assert being_written(path)
    journal.append("end")
    journal.sync()
    assert being_written(path)
    journal.close()
    assert not being_written(path)
    assert len(read(path)) == 1


WRITER = """
import resource, sys, time
from pathlib import Path
from nnlab.runs.journal import Journal, JournalError
"""


def test_a_killed_process_leaves_what_it_synced_and_no_lock(tmp_path):
    path = tmp_path / "journal"
    code = """
journal = Journal(Path(sys.argv[1]))
for k in range(3):
    journal.append("report", step=k)
journal.sync()
print("synced", flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER + code, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "synced\n"
            assert being_written(path)
        finally:
            process.kill()
    assert not being_written(path)
    assert [record["step"] for record in read(path)] == [0, 1, 2]


def test_a_file_that_may_not_grow_is_an_error_and_keeps_whole_records(tmp_path):
    path = tmp_path / "journal"
    code = """
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
journal = Journal(Path(sys.argv[1]))
synced = 0
try:
    while True:
        journal.append("report", step=synced)
        journal.sync()
        synced += 1
except JournalError as error:
    print(synced, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", WRITER + code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    synced, _, message = done.stdout.partition(" ")
    assert f"{path} cannot be written" in message
    assert [record["step"] for record in read(path)] == list(range(int(synced)))
    assert path.read_bytes().endswith(b"}\n")  # the torn line is cut off
    assert path.stat().st_size <= 1000


def in_the_writer(monkeypatch, write):
    """Let the journal's thread, and no other, write by `write`."""
    original = os.write

    def chosen(descriptor, data):
        writer = threading.current_thread().name == "journal"
        return (write if writer else original)(descriptor, data)

    monkeypatch.setattr(module.os, "write", chosen)
    return original


def test_a_full_disk_is_an_error_at_the_next_word(tmp_path, monkeypatch):
    path, room = tmp_path / "journal", 2 * len(line(0)) + 60

    def full(descriptor, data):
        free = room - os.fstat(descriptor).st_size
        if free <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(descriptor, data[:free])

    original = in_the_writer(monkeypatch, full)
    journal = Journal(path)
    with pytest.raises(JournalError, match=f"{path} cannot be written.*No space left on device"):
        for k in range(1000):
            journal.append("report", step=k)
            journal.sync()
    for again in (journal.sync, lambda: journal.append("end"), lambda: journal.conclude("end")):
        with pytest.raises(JournalError, match="No space left on device"):
            again()
    assert not being_written(path)
    assert [record["step"] for record in read(path)] == list(range(len(read(path))))
    assert len(read(path)) >= 1


def test_a_failed_fsync_is_an_error(tmp_path, monkeypatch):
    def broken(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(module.os, "fsync", broken)
    journal = Journal(tmp_path / "journal")
    journal.append("report")
    with pytest.raises(JournalError, match="Input/output error"):
        journal.sync()
    with pytest.raises(JournalError):
        journal.close()


def test_a_write_in_small_pieces_is_completed(tmp_path, monkeypatch):
    original = in_the_writer(monkeypatch, lambda descriptor, data: original(descriptor, data[:3]))
    journal = Journal(tmp_path / "journal")
    for k in range(10):
        journal.append("report", step=k)
    journal.close()
    assert [record["step"] for record in read(tmp_path / "journal")] == list(range(10))


def test_an_interrupt_at_any_instant_leaves_a_journal_that_can_be_ended(tmp_path):
    """A lock that an interrupt left held would keep the thread, and `close`, waiting for ever."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    rng = np.random.default_rng(0)
    before = signal.signal(signal.SIGALRM, interrupt)
    gc.disable()  # hypothesis times it by a callback, and an exception raised there is dropped
    try:
        for k in range(300):
            journal = Journal(tmp_path / f"{k}.jsonl")
            appended = 0
            try:
                signal.setitimer(signal.ITIMER_REAL, float(rng.uniform(1e-5, 2e-3)))
                while True:
                    journal.append("report", step=appended)
                    appended += 1
            except KeyboardInterrupt:
                pass
            signal.setitimer(signal.ITIMER_REAL, 10)  # what hangs is interrupted, and fails
            journal.append("end")
            journal.close()
            signal.setitimer(signal.ITIMER_REAL, 0)
            *reports, end = read(tmp_path / f"{k}.jsonl")
            assert end["type"] == "end"
            assert len(reports) in (appended, appended + 1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()


# the document


def test_the_reader_of_the_document_reads_what_we_read(tmp_path):
    document = Path(__file__).parents[2] / "docs" / "journal.md"
    (code,) = re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    namespace = {}
    exec(compile(code, "journal.md", "exec"), namespace)
    path = tmp_path / "journal"

    def theirs():
        return [
            {key: value for key, value in record.items() if key != "crc"}
            for record in namespace["records"](path)
        ]

    whole = b"".join(LINES)
    for kept in range(len(whole) + 1):
        path.write_bytes(whole[:kept])
        assert theirs() == read(path)
    for position in range(len(whole) - 1):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        with pytest.raises(ValueError):
            theirs()


def test_the_example_of_the_document_is_a_line():
    document = Path(__file__).parents[2] / "docs" / "journal.md"
    (example,) = re.findall(r"```json\n(.*)\n```", document.read_text(encoding="utf-8"))
    record = decode(example.encode())
    assert record is not None
    assert encode(record) == example.encode()


def test_every_type_of_record_is_documented():
    source = Path(module.__file__).parents[1]
    text = "\n".join(file.read_text(encoding="utf-8") for file in source.rglob("*.py"))
    written = set(re.findall(r"\b_?(?:append|conclude)\(\s*\"(\w+)\",", text))
    assert {"start", "report", "end", "told"} <= written
    document = (source.parents[1] / "docs" / "journal.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", document, re.MULTILINE)) == written

"""A journal under torture: cut at any byte, flipped anywhere, two writers, clocks, kills."""

import math
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nnlab.errors import UserError
from nnlab.runs import journal as module
from nnlab.runs.damage import damage
from nnlab.runs.journal import Journal, JournalError, JournalReader, being_written, encode, read
from nnlab.runs.past import JOURNAL, glance
from nnlab.runs.run import Run

RECORDS = [
    {"type": "start", "run": "ab12", "kind": "train", "name": "é", "params": {"lr": "0.1"}},
    {"type": "report", "step": 1, "metrics": {"loss": 0.1 + 0.2, "r2": -math.inf}},
    {"type": "report", "step": 2, "metrics": {"loss": 5e-324, "r2": math.nan}},
    {"type": "end", "status": "FINISHED", "reason": "1 epoch is done"},
]


def text(records):
    """A journal of these records."""
    lines = (encode({"n": n, "time": 10 + n, **one}) for n, one in enumerate(records))
    return b"".join(line + b"\n" for line in lines)


WHOLE = text(RECORDS)


def starts(whole):
    """Where each line of a journal begins, and where the last one ends."""
    return [0, *(match.end() for match in re.finditer(rb"\n", whole))]


def outcome(path):
    """The records that a journal gives, and what it says about damage behind them."""
    reader = JournalReader(path)
    try:
        records = reader.poll()
    except JournalError as error:
        return [], str(error)
    try:
        assert reader.poll() == []
    except JournalError as error:
        return records, str(error)
    return records, None


def decoded(whole, tmp_path):
    (tmp_path / "whole").write_bytes(whole)
    return read(tmp_path / "whole")


# cuts


def test_a_journal_cut_at_any_byte_goes_on_from_its_last_whole_record(tmp_path):
    path, lines = tmp_path / JOURNAL, starts(WHOLE)
    written = decoded(WHOLE, tmp_path)
    assert lines[-1] == len(WHOLE)
    for size in range(lines[-4], len(WHOLE) + 1):  # the last three records
        path.write_bytes(WHOLE[:size])
        whole = sum(end <= size for end in lines[1:])
        assert read(path) == written[:whole]
        assert damage(path) is None
        journal = Journal.reopen(path)
        assert journal.past == written[:whole]
        assert path.stat().st_size == lines[whole]  # what is torn is cut away first
        journal.append("report", step=size, metrics={"loss": 0.1})
        journal.conclude("end", status="FINISHED")
        *past, report, end = read(path)
        assert past == written[:whole]
        assert (report["n"], report["step"], end["n"]) == (whole, size, whole + 1)
        assert path.read_bytes().startswith(WHOLE[: lines[whole]])


def test_a_journal_cut_again_and_again_goes_on(tmp_path):
    path, rng = tmp_path / JOURNAL, random.Random(3)
    path.write_bytes(WHOLE)
    for k in range(40):
        size = path.stat().st_size
        os.truncate(path, rng.randrange(size - 40, size))
        kept = read(path)
        journal = Journal.reopen(path)
        assert journal.past == kept
        for step in range(3):
            journal.append("report", step=step, metrics={"loss": k / 7})
        journal.close()
        assert read(path)[: len(kept)] == kept
        assert [one["n"] for one in read(path)] == list(range(len(kept) + 3))


# flips


def check_flipped(path, whole, position, byte, written):
    """One byte is another one: what is read is what was written, up to the line that is damaged."""
    lines = starts(whole)
    line = sum(end <= position for end in lines[1:])
    path.write_bytes(whole[:position] + bytes([byte]) + whole[position + 1 :])
    records, error = outcome(path)
    assert records == written[:line]
    if position == len(whole) - 1:  # the last newline: as if the last line were torn
        assert error is None
        assert damage(path) is None
        return
    assert f"{path} is damaged at byte {lines[line]}: record {line} was expected" in error
    assert f"damaged at byte {lines[line]:,}: record {line} was expected" in damage(path)
    with pytest.raises(JournalError, match="is damaged at byte"):
        read(path)
    before = path.read_bytes()
    with pytest.raises(JournalError, match="is damaged at byte"):
        Journal.reopen(path)
    assert path.read_bytes() == before
    assert not being_written(path)
    glance(path.parent)  # says something or nothing, and does not raise


def test_any_byte_of_a_journal_flipped(tmp_path):
    path, written = tmp_path / JOURNAL, decoded(WHOLE, tmp_path)
    for position, byte in enumerate(WHOLE):
        for other in {byte ^ 1 << position % 8, ord("\n")} - {byte}:
            check_flipped(path, WHOLE, position, other, written)


values = st.floats() | st.integers() | st.text(max_size=5)
records = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("report"), "metrics": st.dictionaries(st.text(max_size=3), values)}
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(records, st.floats(0, 1, exclude_max=True), st.integers(1, 255))
@example([{"type": "report", "metrics": {}}], 0.0, 1)
def test_a_flipped_byte_of_any_journal(tmp_path, chosen, where, flip):
    whole = text(chosen)
    position = int(where * len(whole))
    byte = whole[position] ^ flip
    check_flipped(tmp_path / JOURNAL, whole, position, byte, decoded(whole, tmp_path))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300), st.integers(0, len(WHOLE)))
def test_what_is_no_journal_is_never_read_as_one(tmp_path, other, kept):
    path, written = tmp_path / JOURNAL, decoded(WHOLE, tmp_path)
    path.write_bytes(WHOLE[:kept] + other)
    found, error = outcome(path)
    assert found == written[: len(found)]
    assert (damage(path) is None) == (error is None)
    glance(path.parent)  # says something or nothing, and does not raise


# two writers


def test_a_second_writer_is_refused_by_name_and_pid(tmp_path):
    code = """
import sys, time
from pathlib import Path
from nnlab.runs.destination import Untracked
from nnlab.runs.environment import Environment
from nnlab.runs.run import Run
facts = {"nnlab": "0", "git": {"commit": None, "dirty": None}}
with Run(Path(sys.argv[1]), kind="train", name="unit", tracking=Untracked(), config={},
         environment=Environment(facts, "")) as run:
    run.journal.sync()
    print(run.id, flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        try:
            run = writer.stdout.readline().strip()
            path = tmp_path / "runs" / run
            before = (path / JOURNAL).read_bytes()
            for stopped in (False, True):
                if stopped:
                    writer.send_signal(signal.SIGSTOP)
                    os.waitid(os.P_PID, writer.pid, os.WSTOPPED | os.WNOWAIT)
                refusal = rf"run {run}\)? is being written by process {writer.pid} on "
                with pytest.raises(UserError, match=refusal):
                    Run.reopen(path)
                with pytest.raises(FileExistsError):
                    Journal(path / JOURNAL)
            assert (path / JOURNAL).read_bytes() == before
            writer.send_signal(signal.SIGCONT)
            writer.communicate(timeout=60)
        finally:
            writer.kill()
    assert [one["type"] for one in read(path / JOURNAL)] == ["start", "end"]


def test_of_many_that_reopen_at_once_one_writes_at_a_time(tmp_path):
    path = tmp_path / JOURNAL
    path.write_bytes(WHOLE)
    code = """
import sys
from pathlib import Path
from nnlab.runs.journal import Journal, LockedError
for k in range(30):
    try:
        journal = Journal.reopen(Path(sys.argv[1]))
    except LockedError:
        continue
    for step in range(5):
        journal.append("report", writer=sys.argv[2], round=k, step=step)
    journal.close()
"""
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), str(k)]) for k in range(4)]
    assert [writer.wait(timeout=100) for writer in writers] == [0] * 4
    appended = read(path)[len(RECORDS) :]
    assert appended
    for k in range(0, len(appended), 5):
        group = appended[k : k + 5]
        assert len({(one["writer"], one["round"]) for one in group}) == 1
        assert [one["step"] for one in group] == list(range(5))


# clocks


def test_time_never_goes_back_though_the_clock_does_also_across_a_reopen(tmp_path, monkeypatch):
    path, clock = tmp_path / JOURNAL, iter([50, 20, 60, 10, 61, 5, 7, 70])
    monkeypatch.setattr(module.time, "time_ns", lambda: next(clock) * 1_000_000)
    journal = Journal(path)
    for _ in range(3):
        journal.append("report")
    journal.close()
    for _ in range(2):
        journal = Journal.reopen(path)
        journal.append("resumed")
        journal.append("report")
        journal.close()
    journal = Journal.reopen(path)
    journal.append("end")
    journal.close()
    assert [one["time"] for one in read(path)] == [50, 50, 60, 60, 61, 61, 61, 70]


# how soon


WRITER = """
import os, random, sys, time
from pathlib import Path
from nnlab.runs.journal import Journal
rng = random.Random(int(sys.argv[2]))
journal = Journal(Path(sys.argv[1]))
k = 0
while True:
    journal.append("report", step=k, metrics={"loss": rng.random()})
    os.write(1, b"%d %d\\n" % (k, time.monotonic_ns()))
    k += 1
    time.sleep(rng.choice((0, 0.001, 0.01, 0.03)))
"""
COMMIT_SECONDS, QUIET_SECONDS = 0.1, 0.03
ROUNDS, TRIES = 50, 150


class Probe(threading.Thread):
    """Syncs a small file again and again: how slow is the machine itself at the moment?"""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path = path
        self.over = threading.Event()
        self.seen = []

    def run(self):
        with self.path.open("wb") as file:
            before = time.monotonic()
            while not self.over.wait(0.005):
                file.write(b"x")
                file.flush()
                os.fsync(file.fileno())
                now = time.monotonic()
                self.seen.append((now, now - before))
                before = now

    def quiet(self, since):
        """Did nothing take long since then?"""
        took = [seconds for now, seconds in self.seen if now >= since]
        return bool(took) and max(took) < QUIET_SECONDS


@pytest.mark.slow
def test_a_record_is_on_disk_a_tenth_of_a_second_after_it_was_appended(tmp_path):
    """Killed at random instants, where the machine itself was not too busy to tell."""
    probe, rng, counted, old = Probe(tmp_path / "probe"), random.Random(5), 0, 0
    probe.start()
    try:
        for k in range(TRIES):
            path = tmp_path / f"{k}.jsonl"
            told, killed = killed_at_random(path, rng)
            written = [one["step"] for one in read(path)]
            assert written == list(range(len(written)))
            if not probe.quiet(killed - 0.3):
                continue
            counted += 1
            due = [step for step, when in told if when < killed - COMMIT_SECONDS]
            old += len(due)
            assert set(due) <= set(written), f"lost {sorted(set(due) - set(written))}"
            if counted == ROUNDS:
                break
    finally:
        probe.over.set()
        probe.join()
    if counted < ROUNDS:
        pytest.skip(f"the machine was too busy in {TRIES - counted} of {TRIES} rounds")
    assert old > 10 * ROUNDS


def killed_at_random(path, rng):
    """Kill a writer: (step, when its append had returned), and when it was killed, in seconds."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(rng.randrange(1 << 30))],
        stdout=subprocess.PIPE,
    ) as writer:
        first = writer.stdout.readline()
        time.sleep(rng.uniform(0.2, 0.7))
        killed = time.monotonic()
        writer.kill()
        lines = [first, *writer.stdout.read().splitlines(keepends=True)]
    told = [tuple(map(int, line.split())) for line in lines if line.endswith(b"\n")]
    return [(step, when / 1e9) for step, when in told], killed

"""A store's earlier runs, judged by the way."""

import shutil
from time import perf_counter

import pytest

from nnlab.runs.destination import MLflow
from nnlab.runs.journal import encode, read
from nnlab.tracking.earlier import Earlier
from nnlab.tracking.sent import Sent, claim, remember

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")
URI = MLflow().uri


def look(tmp_path, followed=(), uri=URI):
    earlier = Earlier(tmp_path, uri)
    found = []
    while not earlier.over:
        found += earlier.look(followed)
    return earlier, found


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The folder in which the store's database is that of the configs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_that_died_is_reaped_and_found(own, died):
    path = died()
    earlier, found = look(own)
    assert found == earlier.reaped == [path]
    end = read(path / "journal.jsonl")[-1]
    assert (end["type"], end["status"], end["rule"]) == ("end", "KILLED", "died")
    assert look(own)[1] == []


def test_a_run_that_ended_and_was_not_sent_is_counted_until_it_is(own, finished):
    path = finished()
    earlier, found = look(own)
    assert (found, earlier.unsent()) == ([], 1)
    size = (path / "journal.jsonl").stat().st_size
    remember(path, URI, Sent("m", "1", 5, size, done=True))
    assert earlier.unsent() == 0
    assert look(own)[0].unsent() == 0


def test_one_that_another_process_sends_is_not_counted(own, finished):
    claimed = claim(finished())
    assert look(own)[0].unsent() == 0
    claimed.close()
    assert look(own)[0].unsent() == 1


def test_those_that_are_followed_are_not_looked_at(own, finished, died):
    paths = [finished(), died()]
    earlier, found = look(own, {path.name for path in paths})
    assert (found, earlier.unsent()) == ([], 0)


def test_runs_of_another_tracker_are_not_looked_at(own, finished, died):
    path = died()
    finished()
    earlier, found = look(own, uri="http://127.0.0.1:9")
    assert (found, earlier.unsent()) == ([], 0)
    assert read(path / "journal.jsonl")[-1]["type"] == "report"


def test_a_run_that_lives_is_left_alone_and_so_is_a_copy_of_it(own, new_run):
    run = new_run()
    run.journal.sync()
    shutil.copytree(run.path, run.path.with_name("copy"))
    earlier, found = look(own)
    assert (found, earlier.unsent()) == ([], 0)
    run.journal.close()


def test_a_damaged_run_keeps_none_from_being_judged(own, died):
    damaged, fine = died(), died()
    journal = damaged / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + b"x" + b"".join(lines[1:]))
    _, found = look(own)
    assert found == [fine]


def test_no_store_is_nothing_to_look_at(tmp_path):
    earlier, found = look(tmp_path / "nothing")
    assert (found, earlier.unsent()) == ([], 0)


def _bare(record):
    """A record without its checksum, which goes first again."""
    return {key: value for key, value in record.items() if key != "crc"}


@pytest.mark.slow
def test_a_thousand_runs_are_looked_at_in_little_time_at_once_and_in_all(own, finished):
    first = finished([{"train/loss": 0.1}] * 50)
    start, *rest = read(first / "journal.jsonl")
    text = b"".join(encode(_bare(record)) + b"\n" for record in rest)
    for k in range(1000):
        path = first.with_name(f"{k:012x}")
        path.mkdir()
        begun = encode(_bare({**start, "run": path.name})) + b"\n"
        (path / "journal.jsonl").write_bytes(begun + text)
    earlier, longest, total = Earlier(own, URI), 0.0, 0.0
    while not earlier.over:
        began = perf_counter()
        earlier.look(())
        longest, total = max(longest, perf_counter() - began), total + perf_counter() - began
    assert earlier.unsent() == 1001
    print(f"1,000 runs: {total:.3f} s, longest look {longest:.3f} s")
    assert total < 5  # 0.2 s on a quiet machine

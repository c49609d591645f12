"""What was sent is remembered for each tracker, through moves and damage."""

import json
import os
import shutil

import pytest

from nnlab.tracking.sent import (
    STATE,
    Sent,
    being_sent,
    claim,
    complete,
    destination,
    remember,
    same_tracker,
    sent,
    sqlite_file,
)

STEPS = Sent("m1", "1", 3, 10, True)


@pytest.fixture
def path(tmp_path):
    """A run's directory with a journal of ten bytes."""
    made = tmp_path / "store" / "runs" / "aa"
    made.mkdir(parents=True)
    (made / "journal.jsonl").write_bytes(b"x" * 9 + b"\n")
    return made


def test_each_tracker_has_its_own_memory(path):
    remember(path, "http://h:1", STEPS)
    remember(path, "sqlite:////x/mlflow.db", Sent("m2"))
    assert sent(path, "http://h:1") == sent(path, "http://h:1/") == STEPS
    assert sent(path, "sqlite:////x/mlflow.db") == Sent("m2")
    assert sent(path, "http://h:2") == Sent()
    assert sorted(file.name for file in path.iterdir()) == ["journal.jsonl", STATE]


def test_a_database_is_the_same_by_each_of_its_names(path, monkeypatch):
    store = path.parents[1]
    monkeypatch.chdir(store)
    remember(path, "sqlite:///mlflow.db", STEPS)
    remember(path, "sqlite:///../far/mlflow.db", Sent("far"))
    monkeypatch.chdir(path)
    assert sent(path, f"sqlite:///{store}/mlflow.db") == STEPS
    assert sent(path, "sqlite:///../../mlflow.db") == STEPS
    assert sent(path, f"sqlite:///{store.parent}/far/mlflow.db") == Sent("far")
    assert sent(path, "sqlite:///mlflow.db") == Sent()


def test_a_store_that_is_moved_keeps_its_memory_of_its_own_database(path, tmp_path):
    store = path.parents[1]
    remember(path, f"sqlite:///{store}/mlflow.db", STEPS)
    shutil.move(store, tmp_path / "moved")
    there = tmp_path / "moved" / "runs" / "aa"
    assert sent(there, f"sqlite:///{tmp_path}/moved/mlflow.db") == STEPS
    assert sent(there, f"sqlite:///{store}/mlflow.db") == Sent()


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (STEPS, True),
        (Sent("m1", "1", 3, 10, False), False),  # its end is missing
        (Sent("m1", "1", 3, 9, True), False),  # it went on since
        (Sent("m1", "1", 3, 11, True), False),  # another journal
        (Sent(), False),
    ],
)
def test_complete_is_all_that_is_in_the_journal_and_its_end(path, state, expected):
    remember(path, "http://h:1", state)
    assert complete(path, "http://h:1") is expected
    assert not complete(path, "http://h:2")


def test_what_is_torn_behind_the_end_is_not_missing(path):
    remember(path, "http://h:1", STEPS)
    for torn in (b'{"crc":', b"x" * 20_000):
        with (path / "journal.jsonl").open("ab") as file:
            file.write(torn)
        assert complete(path, "http://h:1")
    with (path / "journal.jsonl").open("ab") as file:
        file.write(b"\n")
    assert not complete(path, "http://h:1")


def test_a_run_without_a_journal_is_not_complete(path):
    remember(path, "http://h:1", STEPS)
    (path / "journal.jsonl").unlink()
    assert not complete(path, "http://h:1")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "\x00", '{"http://h:1": 1}', '{"http://h:1": {"x": 1}}'],
)
def test_an_unreadable_memory_is_none_and_is_written_anew(path, text):
    (path / STATE).write_text(text)
    assert sent(path, "http://h:1") == Sent()
    remember(path, "http://h:1", STEPS)
    assert sent(path, "http://h:1") == STEPS


def test_a_memory_cut_anywhere_is_whole_or_none(path):
    remember(path, "http://h:1", STEPS)
    text = (path / STATE).read_bytes()
    for length in range(len(text)):
        (path / STATE).write_bytes(text[:length])
        assert sent(path, "http://h:1") == Sent()


def test_it_is_on_disk_before_it_takes_the_place_of_the_old(path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: events.append("fsync") or fsync(file))
    monkeypatch.setattr(os, "replace", lambda *files: events.append("replace") or replace(*files))
    remember(path, "http://h:1", STEPS)
    assert events[:2] == ["fsync", "replace"]


def test_one_at_a_time_has_claimed_a_run(path):
    assert not being_sent(path)
    first = claim(path)
    assert first is not None
    assert claim(path) is None
    assert being_sent(path)
    first.close()
    assert not being_sent(path)
    second = claim(path)
    assert second is not None
    second.close()


OWN = {"store": "lab", "seed": "0"}


@pytest.mark.parametrize(
    ("uri", "params", "expected"),
    [
        ("sqlite:///lab/mlflow.db", OWN, "sqlite:///here/mlflow.db"),
        ("sqlite:///lab/mlflow.db", {"experiment.store": "lab"}, "sqlite:///here/mlflow.db"),
        ("sqlite:///other/mlflow.db", OWN, "sqlite:///other/mlflow.db"),
        ("http://h:1", OWN, "http://h:1"),
        (None, OWN, None),
    ],
)
def test_a_run_goes_where_its_config_says_and_its_own_database_is_in_the_store(
    tmp_path, monkeypatch, uri, params, expected
):
    start = {"uri": uri, "params": params}
    assert destination(start, "here") == expected


def test_a_start_of_an_earlier_version_says_no_place():
    assert destination({"params": OWN}, "here") is None


def test_the_same_tracker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert same_tracker("sqlite:///a/b.db", f"sqlite:///{tmp_path}/a/b.db")
    assert same_tracker("http://h:1/", "http://h:1")
    assert not same_tracker("sqlite:///a/b.db", "sqlite:///a/c.db")
    assert not same_tracker("http://h:1", "http://h:2")


def test_the_file_of_a_uri():
    assert str(sqlite_file("sqlite:///a/b.db")) == "a/b.db"
    assert str(sqlite_file("sqlite:////a/b.db")) == "/a/b.db"
    assert sqlite_file("http://localhost:5000") is None


def test_its_format_is_json_by_tracker(path):
    remember(path, "http://h:1", STEPS)
    assert json.loads((path / STATE).read_text()) == {
        "http://h:1": {"run": "m1", "experiment": "1", "sent": 3, "bytes": 10, "done": True}
    }

"""`nnlab gc`: what it lists and what it removes. MLflow's database is one with the two tables that
are read (tests/tracking/test_known.py holds that they are those of MLflow's)."""

import os
import re
import shutil
import sqlite3
from contextlib import closing

import pytest

from nnlab.commands import gc
from nnlab.errors import UserError
from nnlab.runs.destination import MLflow, Untracked
from nnlab.runs.environment import Environment
from nnlab.runs.journal import Journal, encode, read
from nnlab.runs.past import JOURNAL
from nnlab.runs.run import Run
from nnlab.tracking.removal import remove, sweep_up
from nnlab.tracking.sent import Sent, claim, remember

DAY = 86_400_000
TABLES = """
CREATE TABLE runs (run_uuid TEXT, name TEXT, status TEXT, lifecycle_stage TEXT);
CREATE TABLE tags (run_uuid TEXT, key TEXT, value TEXT);
"""


@pytest.fixture
def store(tmp_path):
    made = tmp_path / "store"
    made.mkdir()
    return made


@pytest.fixture
def tracker(tmp_path):
    """The database: a URI, and `tracker.has(run)` to put one there."""

    class Tracker:
        path = tmp_path / "mlflow.db"
        uri = f"sqlite:///{path}"

        def has(self, run, status="FINISHED", stage="active"):
            with closing(sqlite3.connect(self.path)) as database:
                database.execute(f"INSERT INTO runs VALUES ('m{run}', 'n', '{status}', '{stage}')")
                database.execute(f"INSERT INTO tags VALUES ('m{run}', 'nnlab.run', '{run}')")
                database.commit()

    with closing(sqlite3.connect(Tracker.path)) as database:
        database.executescript(TABLES)
    return Tracker()


@pytest.fixture
def ran(store, tracker):
    """Makes a run that has ended, all of it in MLflow unless told; its id."""

    def make(
        status="FINISHED",
        days=0.0,
        tracked=True,
        sent=True,
        there=True,
        rule="rule",
        **settings,
    ):
        with Run(
            store,
            kind=settings.pop("kind", "train"),
            name="unit",
            tracking=MLflow(tracker.uri) if tracked else Untracked(),
            config={"seed": 0},
            environment=Environment({"nnlab": "0", "git": {"commit": None, "dirty": None}}, ""),
            **settings,
        ) as run:
            run.end(status, rule, "reason")
        records = [{**one, "time": one["time"] - int(days * DAY)} for one in read(journal(run))]
        journal(run).write_bytes(b"".join(encode(one) + b"\n" for one in records))
        if sent:
            size = journal(run).stat().st_size
            remember(run.path, tracker.uri, Sent("m", "0", len(records), size, True))
        if there:
            tracker.has(run.id)
        return run.id

    return make


def journal(run):
    return run.path / JOURNAL


@pytest.fixture
def call(store, capsys):
    """What the command prints, and which runs are left."""

    def called(*arguments, code=0):
        assert gc.run(["--store", str(store), *arguments]) == code
        told = re.sub(" +", " ", capsys.readouterr().out)
        return told, {path.name for path in store.glob("runs/*")}

    return called


def test_an_empty_store(call):
    told, left = call()
    assert told == "0 run directories, 0 B; 0 run directories, 0 B can be removed (--delete)\n"
    assert not left


def test_everything_is_listed_that_which_is_idle_for_longest_first(call, ran, store):
    ids = [ran(days=3), ran("FAILED", days=40), ran("KILLED")]
    (store / "runs" / ids[0] / "large").write_bytes(bytes(5_000_000))
    told, left = call()
    rows = [line.split() for line in told.splitlines()[1:4]]
    assert [row[0] for row in rows] == [ids[1], ids[0], ids[2]]
    assert [row[2] for row in rows] == ["FAILED", "FINISHED", "KILLED"]
    assert [row[3:5] for row in rows[:2]] == [["6", "w"], ["3", "d"]]
    assert rows[1][5:8] == ["5.0", "MB", "yes"]
    assert told.splitlines()[-1].startswith("3 run directories, 5.0 MB; 3 run directories, 5.0 MB")
    assert left == set(ids)


CHOSEN = {  # arguments: which of `several` are removed
    "--older-than 30d": "ac",
    "--older-than 4w": "ac",
    "--older-than 40d": "a",
    "--older-than 0.5d": "abcd",
    "--state KILLED": "bc",
    "--state FINISHED": "aef",
    "--older-than 30d --state KILLED": "c",
    "{b}": "b",
    "{a} {b}": "ab",
    "{a} {b} --state KILLED": "b",
    "{study}": "es",
    "--study {study}": "es",
    "--study {study} --older-than 12h": "",
    "{a} --study {study}": "",
}


@pytest.fixture
def several(ran):
    study = ran("FAILED", kind="study")
    return {
        "a": ran(days=50),
        "b": ran("KILLED", days=2),
        "c": ran("KILLED", days=31),
        "d": ran("FAILED", days=1),
        "e": ran(kind="trial", parent=study),
        "f": ran(),
        "s": study,
    }


@pytest.mark.parametrize("arguments", CHOSEN)
def test_what_is_chosen_is_listed_and_then_removed(call, several, arguments):
    words = arguments.format(**several, study=several["s"][:8]).split()
    wanted = {several[letter] for letter in CHOSEN[arguments]}
    told, left = call(*words)
    assert left == set(several.values())
    assert {run for run in left if f"{run} " in told} == wanted
    told, left = call(*words, "--delete")
    assert left == set(several.values()) - wanted
    assert told.count(" removed\n") == len(wanted) + 1


NOT_THERE = {  # never removed unless it is named: how it came to be so
    "untracked": {"tracked": False, "there": False},
    "not all": {"sent": False},
    "no more": {"there": False},
}


@pytest.mark.parametrize("case", NOT_THERE)
@pytest.mark.parametrize("named", [False, True])
def test_what_mlflow_has_not_is_removed_by_name_alone(call, ran, case, named):
    run, other = ran(**NOT_THERE[case]), ran()
    told, left = call()
    assert f" {case} kept: MLflow has not all of it\n" in told
    assert "`nnlab sync`" in told
    _, left = call("--delete", *([run[:9]] if named else ["--state", "FINISHED"]))
    assert left == ({other} if named else {run})


@pytest.mark.parametrize(("status", "stage"), [("RUNNING", "active"), ("FINISHED", "deleted")])
def test_what_mlflow_has_as_running_or_deleted_is_kept(call, ran, tracker, status, stage):
    run = ran(there=False)
    tracker.has(run, status, stage)
    assert call("--state", "FINISHED", "--delete")[1] == {run}


def test_what_has_grown_since_it_was_sent_is_kept(call, ran, store):
    run = ran()
    written = Journal.reopen(store / "runs" / run / JOURNAL)
    written.append("resumed", owner={})
    written.conclude("end", status="FINISHED", rule="", reason="")
    assert call("--state", "FINISHED", "--delete")[1] == {run}


def test_mlflow_that_cannot_be_read_keeps_everything(call, ran, tracker):
    run = ran()
    tracker.path.write_bytes(b"no database" * 99)
    told, left = call("--state", "FINISHED", "--delete")
    assert left == {run}
    assert " unknown kept:" in told
    assert f"{tracker.uri} cannot be read: file is not a database" in told


def test_another_mlflow_must_have_it_where_one_is_named(call, ran, tmp_path):
    run = ran()
    assert call("--uri", f"sqlite:///{tmp_path}/other.db", "--older-than", "0s", "--delete")[1] == {
        run
    }


def test_what_is_being_written_is_never_removed_nor_what_is_nested_in_it(call, ran, store):
    study = ran(kind="study")
    trial = ran(kind="trial", parent=study)
    written = Journal.reopen(store / "runs" / study / JOURNAL)
    try:
        for words in (["--older-than", "0s"], ["--study", study], [trial]):
            told, left = call(*words, "--delete", code=int(words == [trial]))
            assert left == {study, trial}
            assert "kept: it is being written, or is part of what is" in told
        with pytest.raises(
            UserError, match=f"run {study} is being written by process {os.getpid()} "
        ):
            call(study, "--delete")
        assert remove(store / "runs" / study) == "it is being written"
    finally:
        written.close()
    assert call(study, "--delete")[1] == set()


def test_what_is_being_sent_is_not_removed(call, ran, store):
    run = ran()
    with claim(store / "runs" / run):
        told, left = call(run, "--delete", code=1)
    assert left == {run}
    assert "kept: it is being sent to MLflow" in told


def test_what_can_be_resumed_is_removed_by_name_alone(call, ran, store):
    killed, parent = ran("KILLED"), ran("KILLED")
    member = ran(kind="member", parent=parent)
    (store / "runs" / killed / "checkpoints").mkdir()
    told, left = call("--state", "FINISHED", "--delete")
    assert left == {killed, parent, member}  # its run would want it
    assert "kept: it, or what it is part of, can be resumed" in told
    assert call("--state", "KILLED", "--delete")[1] == {killed, member}
    assert call(killed, "--delete")[1] == {member}


def test_a_journal_that_cannot_be_read_is_removed_by_name_alone(call, ran, store):
    run = ran()
    (store / "runs" / run / JOURNAL).write_bytes(b"\n")
    told, _ = call()
    assert f"{run} UNREADABLE" in told
    assert call("--state", "FINISHED", "--delete")[1] == {run}
    assert call("--older-than", "0s", "--delete")[1] == {run}
    assert call(run, "--delete")[1] == set()


def test_what_an_interrupt_left_is_removed_with_the_next(call, ran, store, monkeypatch):
    run, other = ran(), ran()

    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        call(run, "--delete")
    monkeypatch.undo()
    assert (store / "runs" / f".{run}.removed").is_dir()
    assert run not in call()[0]
    assert (store / "runs" / f".{run}.removed").is_dir()  # to list changes nothing
    call(other, "--delete")
    assert list((store / "runs").iterdir()) == []
    sweep_up(store)
    assert remove(store / "runs" / run) is None


WRONG = {
    "--older-than 30": "(--older-than)",
    "--older-than -1d": "--older-than",
    "--older-than 1y": "(--older-than)",
    "--older-than nand": "(--older-than)",
    "--state DONE": "(--state)",
    "--state killed": "did you mean KILLED?",
    "--study {run}": "--study must name a study, but",
    "--study zzz": "there is no run zzz",
    "zzz": "there is no run zzz",
    "--delete": "--delete must be told which runs",
    "--uri nonsense": "(--uri)",
    "--deleted": "unrecognized arguments",
}


@pytest.mark.parametrize("arguments", WRONG)
def test_bad_input(call, ran, arguments):
    run = ran()
    with pytest.raises(UserError, match=re.escape(WRONG[arguments])):
        call(*arguments.format(run=run).split())


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345, "12 kB"), (5e12, "5000 GB")],
)
def test_sizes_in_human_units(size, text):
    assert gc._bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0 s"), (119, "119 s"), (120, "2 m"), (7200, "2 h"), (2e6, "3 w")]
)
def test_durations_in_human_units(seconds, text):
    assert gc._duration(seconds) == text


def test_an_unfinished_study_is_kept(call, ran):
    unfinished = ran("KILLED", kind="study", rule="interrupted")
    finished = ran("FINISHED", kind="study", rule="budget")
    told, left = call("--older-than", "0d", "--delete")
    assert left == {unfinished}
    assert finished in told
    assert "can be resumed" in told

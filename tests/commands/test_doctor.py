"""`nnlab doctor` on runs that are not tracked; tests/durability has those that are."""

import os
import re
import shutil
import sqlite3
from dataclasses import replace

import pytest

from nnlab.commands import doctor
from nnlab.errors import UserError
from nnlab.runs.destination import MLflow, Untracked
from nnlab.runs.environment import Environment
from nnlab.runs.journal import Journal, encode, read
from nnlab.runs.owner import Owner
from nnlab.runs.past import JOURNAL
from nnlab.runs.run import Run

DEAD = replace(Owner.here(), pid=2**22 + 1)  # above the highest that Linux gives


@pytest.fixture
def store(tmp_path):
    made = tmp_path / "store"
    made.mkdir()
    return made


@pytest.fixture
def finished(store):
    """Makes a run that has finished; its directory."""

    def make(tracking=None, **settings):
        with Run(
            store,
            kind="train",
            name="unit",
            tracking=tracking or Untracked(),
            config={"seed": 0},
            environment=Environment({"nnlab": "0", "git": {"commit": None, "dirty": None}}, ""),
            **settings,
        ) as run:
            pass
        return run.path

    return make


@pytest.fixture
def died(finished):
    """Makes a run as a killed process leaves it; its directory."""

    def make(owner=DEAD, **settings):
        path = finished(**settings)
        start = {**read(path / JOURNAL)[0], "owner": owner.plain}
        (path / JOURNAL).write_bytes(encode(start) + b"\n")
        return path

    return make


@pytest.fixture
def see(store, capsys):
    """What the doctor prints; it must exit with that code."""

    def call(*arguments, code=0):
        assert doctor.run(["--store", str(store), *arguments]) == code
        return re.sub(" +", " ", capsys.readouterr().out)

    return call


def end(path):
    *_, last = read(path / JOURNAL)
    return last


def test_all_is_well_where_nothing_is(see):
    assert see() == "0 runs: all is well\n"


def test_a_store_that_is_not_there(store, see):
    store.rmdir()
    with pytest.raises(UserError, match=r"there is no folder .*store \(--store\)"):
        see()


def test_all_is_well(see, finished):
    finished()
    finished()
    assert see() == "2 runs: all is well\n"


def test_a_run_that_died_is_found_and_mended(see, died, finished):
    path = died()
    finished()
    before = (path / JOURNAL).read_bytes()
    told = see(code=1)
    assert path.name in told
    assert "process 4194305 is gone, and nobody holds its lock" in told
    assert "2 runs: 1 died\n" in told
    assert "`nnlab doctor --fix`" in told
    assert (path / JOURNAL).read_bytes() == before
    told = see("--fix")
    assert told.startswith("mended: died")
    assert "2 runs: 1 mended, all is well\n" in told
    assert (end(path)["status"], end(path)["rule"]) == ("KILLED", "died")
    assert "process 4194305 is gone" in end(path)["evidence"]
    assert see() == "2 runs: all is well\n"


def test_what_may_be_going_on_elsewhere_is_told_and_left_alone(see, died):
    path = died(replace(DEAD, host="elsewhere"))
    before = (path / JOURNAL).read_bytes()
    told = see("--fix", code=1)
    assert "process 4194305 on elsewhere may still write it" in told
    assert "1 run: 1 no end" in told
    assert (path / JOURNAL).read_bytes() == before


def test_a_run_that_is_being_written_is_well(see, died):
    path = died()
    journal = Journal.reopen(path / JOURNAL)
    try:
        assert see("--fix") == "1 run: all is well\n"
    finally:
        journal.close()
    assert len(read(path / JOURNAL)) == 1


def test_damage_is_told_with_its_position(see, finished, died):
    path, other = finished(), died()
    text = bytearray((path / JOURNAL).read_bytes())
    second = text.index(b"\n") + 1
    text[second + 30] ^= 1
    (path / JOURNAL).write_bytes(text)
    told = see("--fix", code=1)
    assert f"{path / JOURNAL} damaged at byte {second:,}: record 1 was expected there" in told
    assert "1 mended, 1 damaged" in told
    assert (path / JOURNAL).read_bytes() == text
    assert end(other)["status"] == "KILLED"


def test_a_directory_without_a_start_is_told_once_it_is_not_new(see, store, finished):
    path, empty = finished(), store / "runs" / "empty"
    empty.mkdir()
    (path / JOURNAL).write_bytes(b"")
    assert see() == "0 runs: all is well\n"  # a run may be just beginning there
    for one in (path, empty):
        os.utime(one, (1, 1))
    told = see(code=1)
    assert f"{path} its journal has no start" in told
    assert f"{empty} nothing was recorded in it" in told


def test_a_copy_within_the_store_is_told_and_left_alone(see, died):
    path = died()
    copy = shutil.copytree(path, path.with_name("copy"))
    told = see("--fix", code=1)
    assert f"{copy} it holds run {path.name}" in told
    assert end(path)["type"] == "end"
    assert end(copy)["type"] == "start"


def test_a_run_that_was_not_sent_is_told(see, finished, tmp_path):
    path = finished(MLflow(f"sqlite:///{tmp_path}/none.db"))
    told = see(code=1)
    assert f"{path.name}) sqlite:///{tmp_path}/none.db has it not, or not all of it" in told
    assert "`nnlab sync` sends" in told


def test_a_run_that_is_being_sent_is_well(see, finished, tmp_path):
    from nnlab.tracking.sent import claim

    path = finished(MLflow(f"sqlite:///{tmp_path}/none.db"))
    with claim(path):
        assert see() == "1 run: all is well\n"
    see(code=1)


AWAY = {
    "no database": "file is not a database",
    "no tables": "no such table",
    "a server that is away": "Connection refused",
}


@pytest.mark.parametrize("case", AWAY)
def test_mlflow_that_cannot_be_read_is_one_line(see, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    uri = "sqlite:///mlflow.db"
    if case == "no database":
        (tmp_path / "mlflow.db").write_text("no database" * 100)
    elif case == "no tables":
        sqlite3.connect(tmp_path / "mlflow.db").execute("VACUUM")
    else:
        uri = "http://127.0.0.1:9"
    told = see("--uri", uri, code=1)
    assert told.startswith(f"MLflow not read {uri} {uri} cannot be read: ")
    assert AWAY[case] in told


def test_a_database_of_another_kind_is_said_to_be_not_checked(see):
    told = see("--uri", "postgresql://host/db")
    assert "postgresql://host/db is not checked" in told
    assert "all is well" in told


@pytest.mark.parametrize("arguments", [["--uri", "nonsense"], ["run"], ["--fixx"]])
def test_bad_input(arguments):
    with pytest.raises(UserError):
        doctor.run(arguments)

import json
import os
import queue
import subprocess

import pytest

from nnlab.tracking import projector
from nnlab.tracking.process import mlflow_command, mlflow_environment
from nnlab.tracking.projection import Projection
from nnlab.tracking.projector import serve
from nnlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")


@pytest.fixture
def served(capfd):
    """Serves run directories until they are done with; was all sent, and what was said."""

    def run(store, *paths):
        incoming = queue.Queue()
        for path in (*paths, None):
            incoming.put(path)
        done = serve(store, incoming)
        return done, [json.loads(line) for line in capfd.readouterr().out.splitlines()]

    return run


def test_a_run_that_is_complete_is_announced(store, database, served, finished):
    path = finished()
    done, (said,) = served(store, path)
    assert done
    assert said["run"] == path.name
    assert database.tags(said["mlflow"])["nnlab.run"] == path.name
    assert said["experiment"] == store.experiment("unit")


def test_a_damaged_journal_is_reported_and_the_others_are_sent(store, served, finished):
    damaged, fine = finished(), finished()
    journal = damaged / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"report", b"repott"))
    done, said = served(store, damaged, fine)
    assert done
    assert said[0]["run"] == damaged.name
    assert said[0]["error"].startswith(f"{journal} is damaged at byte ")
    assert said[1]["run"] == fine.name
    assert "error" not in said[1]


def test_a_run_whose_journal_is_damaged_does_not_stay_running(store, database, served, finished):
    path = finished()
    journal = path / "journal.jsonl"
    whole = journal.read_bytes()
    *lines, _, _ = whole.splitlines(keepends=True)
    journal.write_bytes(b"".join(lines))
    projection = Projection(path)
    projection.advance(store, last=False)
    assert database.run(projection.run_id)[1] == "RUNNING"
    journal.write_bytes(whole.replace(b'"end"', b'"eNd"'))
    _, (said,) = served(store, path)
    assert said["error"].startswith(f"{journal} is damaged at byte ")
    assert database.run(projection.run_id)[1] == "FAILED"
    tags = database.tags(projection.run_id)
    assert (tags["nnlab.status"], tags["nnlab.stop_rule"]) == ("FAILED", "damaged")


def test_a_run_that_cannot_be_sent_keeps_no_other_from_it(
    store, database, served, finished, monkeypatch
):
    monkeypatch.setattr(projector, "GIVE_UP_SECONDS", 0.5)
    bad, good = finished(), finished()
    (bad / "curves.png").mkdir()  # so that it cannot be written
    done, said = served(store, bad, good)
    assert not done
    assert {line["run"]: "error" in line for line in said} == {bad.name: True, good.name: False}


@pytest.mark.slow
def test_runs_are_completed_though_nobody_listens_any_more(store, database, finished, tmp_path):
    paths = [finished(), finished()]
    ours, theirs = os.pipe()
    os.close(ours)  # as when the process that started it was killed
    with (tmp_path / "log").open("w") as log:
        done = subprocess.run(
            mlflow_command("nnlab.tracking.projector", store.uri, str(store.artifacts)),
            input="".join(f"{path}\n" for path in paths),
            stdout=theirs,
            stderr=log,
            env=mlflow_environment(),
            text=True,
            timeout=120,
            check=False,
        )
    os.close(theirs)
    assert (done.returncode, (tmp_path / "log").read_text()) == (0, "")
    query = "SELECT status FROM runs JOIN tags USING (run_uuid) WHERE value = ?"
    assert [database.rows(query, path.name) for path in paths] == [[("FINISHED",)]] * 2


def test_a_directory_that_is_not_there_is_done_with(store, served, tmp_path):
    done, _ = served(store, tmp_path / "nothing")
    assert done


def test_a_database_that_cannot_be_opened_is_given_up_with_a_line_for_each_run(
    served, finished, tmp_path, monkeypatch
):
    monkeypatch.setattr(projector, "GIVE_UP_SECONDS", 0.5)
    (tmp_path / "file").touch()
    store = Store(f"sqlite:///{tmp_path}/file/mlflow.db", tmp_path)
    paths = [finished(), finished()]
    done, said = served(store, *paths)
    assert not done
    assert [line["run"] for line in said] == [path.name for path in paths]
    assert all(line["error"] and "\n" not in line["error"] for line in said)
    assert all((path / "journal.jsonl").exists() for path in paths)

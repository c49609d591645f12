import json
import os
import platform
import queue
import subprocess
import threading
import time

import pytest
from mlflow.exceptions import MlflowException

from nnlab.runs.journal import read
from nnlab.tracking import projector
from nnlab.tracking.earlier import Earlier
from nnlab.tracking.process import mlflow_command, mlflow_environment
from nnlab.tracking.projection import Projection
from nnlab.tracking.projector import serve
from nnlab.tracking.sent import claim
from nnlab.tracking.store import Store

HOST = platform.node()
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


def test_a_study_is_finished_after_its_trials(store, served, finished):
    study = finished([], kind="study")
    trials = [finished([], kind="trial", parent=study.name) for _ in range(2)]
    done, said = served(store, study, *trials)
    assert done
    assert [one["run"] for one in said] == [*(trial.name for trial in trials), study.name]


def test_a_damaged_journal_is_reported_and_the_others_are_sent(store, served, finished):
    damaged, fine = finished(), finished()
    journal = damaged / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"report", b"repott"))
    done, said = served(store, damaged, fine)
    assert not done
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
    projection = Projection(path, store)
    projection.advance(last=False)
    projection.close()
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
            mlflow_command("nnlab.tracking.projector", store.uri, str(store.artifacts.parent)),
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


class Silent(Store):
    """A server that does not answer; one request takes that long, in seconds."""

    def __init__(self, store, seconds=0.0):
        super().__init__("http://127.0.0.1:9", store.artifacts)
        self.seconds = seconds
        self.requests = self.probes = 0
        self.back = store
        self.answers_after = None

    @property
    def client(self):
        if self.answers:
            return self.back.client
        self.requests += 1
        time.sleep(self.seconds)
        raise MlflowException("a long story of retries")

    @property
    def answers(self):
        return self.answers_after is not None and self.probes >= self.answers_after

    def reachable(self):
        self.probes += 1
        return self.answers


def test_a_server_that_does_not_answer_is_given_up_for_all_runs_at_once(
    store, served, finished, monkeypatch
):
    monkeypatch.setattr(projector, "GIVE_UP_SECONDS", 0.5)
    silent = Silent(store)
    paths = [finished(), finished(), finished()]
    done, said = served(silent, *paths)
    assert not done
    assert said == [{"run": p.name, "error": "http://127.0.0.1:9 does not answer"} for p in paths]
    assert silent.requests == 1  # each would take seconds if it hung


def test_a_request_that_hung_beyond_the_end_was_the_last_try(store, served, finished, monkeypatch):
    monkeypatch.setattr(projector, "GIVE_UP_SECONDS", 0.5)
    silent = Silent(store, 0.6)
    assert not served(silent, finished())[0]
    assert (silent.requests, silent.probes) == (1, 1)


def test_a_server_that_answers_again_gets_all(store, database, served, finished, monkeypatch):
    monkeypatch.setattr(projector, "RETRY_SECONDS", 0.1)
    silent = Silent(store)
    silent.answers_after = 3
    paths = [finished(), finished()]
    done, said = served(silent, *paths)
    assert done
    assert {line["run"] for line in said} == {path.name for path in paths}
    assert all(database.run(line["mlflow"])[1] == "FINISHED" for line in said)


def test_while_more_runs_may_come_nothing_is_given_up(store, finished, monkeypatch, capfd):
    for name in ("GIVE_UP_SECONDS", "BUSY_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(projector, name, 0.05)
    silent = Silent(store)
    incoming = queue.Queue()
    incoming.put(finished())
    thread = threading.Thread(target=serve, args=(silent, incoming), daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while silent.probes < 10:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert capfd.readouterr().out == ""
    silent.answers_after = 0
    incoming.put(None)
    thread.join(60)
    assert "mlflow" in json.loads(capfd.readouterr().out)


def test_a_run_is_said_to_have_died_only_when_no_more_runs_come(store, database, died, capfd):
    """Until then its sweep may have a word to say, or go on with it."""
    path, incoming = died(), queue.Queue()
    incoming.put(path)
    thread = threading.Thread(target=serve, args=(store, incoming), daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    query = "SELECT status FROM runs JOIN tags USING (run_uuid) WHERE value = ?"
    while not database.rows(query, path.name):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert read(path / "journal.jsonl")[-1]["type"] == "report"
    incoming.put(None)
    thread.join(60)
    assert database.rows(query, path.name) == [("KILLED",)]


def test_a_run_that_another_process_sends_is_waited_for(store, served, finished):
    path = finished()
    claimed = claim(path)
    threading.Timer(0.5, claimed.close).start()
    done, (said,) = served(store, path)
    assert done
    assert said["run"] == path.name


def test_but_not_for_ever(store, served, finished, monkeypatch):
    monkeypatch.setattr(projector, "BUSY_SECONDS", 0.3)
    monkeypatch.setattr(projector, "RETRY_SECONDS", 0.1)
    path, other = finished(), finished()
    claimed = claim(path)
    done, said = served(store, path, other)
    claimed.close()
    assert not done
    assert {line["run"]: line.get("error") for line in said} == {
        other.name: None,
        path.name: "another process is sending it",
    }


def test_a_run_that_fails_is_not_given_up_while_more_runs_may_come(
    store, finished, monkeypatch, capfd
):
    for name in ("GIVE_UP_SECONDS", "BUSY_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(projector, name, 0.05)
    busy, failing = finished(), finished()
    claimed = claim(busy)
    (failing / "curves.png").mkdir()
    incoming, attempts = queue.Queue(), []
    real = projector.Projector._given_up
    monkeypatch.setattr(
        projector.Projector, "_given_up", lambda *a: attempts.append(a[1].path) or real(*a)
    )
    for path in (busy, failing):
        incoming.put(path)
    thread = threading.Thread(target=serve, args=(store, incoming), daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while min(attempts.count(busy), attempts.count(failing)) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert capfd.readouterr().out == ""
    claimed.close()
    (failing / "curves.png").rmdir()
    incoming.put(None)
    thread.join(60)
    said = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {line["run"]: "mlflow" in line for line in said} == {busy.name: True, failing.name: True}


def test_pictures_that_cannot_be_asked_for_ahead_keep_no_run_out(
    store, served, finished, monkeypatch
):
    def gone(self, runs):
        raise FileNotFoundError

    monkeypatch.setattr("nnlab.tracking.pictures.Pictures.ask", gone)
    paths = [finished(), finished()]
    done, said = served(store, *paths)
    assert (done, {line["run"] for line in said}) == (True, {path.name for path in paths})


def test_a_run_that_comes_twice_is_followed_once(store, served, finished):
    path = finished()
    began = time.monotonic()
    done, (said,) = served(store, path, path)
    assert (done, said["run"]) == (True, path.name)
    assert time.monotonic() - began < projector.BUSY_SECONDS


def test_an_earlier_run_that_cannot_be_sent_is_counted_and_no_error(
    store, died, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(projector, "GIVE_UP_SECONDS", 0.3)
    (died(uri=store.uri) / "curves.png").mkdir()
    incoming = queue.Queue()
    incoming.put(None)
    assert serve(store, incoming, Earlier(tmp_path, store.uri))
    assert json.loads(capfd.readouterr().out) == {"reaped": 1, "unsent": 1}


def test_a_run_that_is_complete_already_is_announced_as_such(store, served, sent):
    projection = sent()
    _, (said,) = served(store, projection.path)
    assert (said["mlflow"], said["new"]) == (projection.run_id, False)


def test_a_run_that_may_be_going_on_elsewhere_is_left_open(store, served, new_run):
    run = new_run()
    run.journal.close()
    done, (said,) = served(store, run.path)
    assert done
    assert said == {"run": run.id, "open": f"process {os.getpid()} on {HOST} may go on with it"}


def test_earlier_runs_that_died_are_sent_and_nothing_is_said_of_each(
    store, database, finished, died, tmp_path, capfd
):
    mine, dead = finished(uri=store.uri), died(uri=store.uri)
    left = finished(uri=store.uri)
    incoming = queue.Queue()
    for path in (mine, None):
        incoming.put(path)
    assert serve(store, incoming, Earlier(tmp_path, store.uri))
    *said, counts = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {line["run"] for line in said} == {mine.name}
    assert counts == {"reaped": 1, "unsent": 1}
    query = "SELECT status FROM runs JOIN tags USING (run_uuid) WHERE value = ?"
    assert [database.rows(query, path.name) for path in (mine, dead, left)] == [
        [("FINISHED",)],
        [("KILLED",)],
        [],
    ]

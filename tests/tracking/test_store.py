import fcntl
import shutil
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from nnlab.tracking.sent import sqlite_file
from nnlab.tracking.store import Store, ready

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")

CONNECT = """
import sys
from pathlib import Path
from nnlab.tracking.store import Store

print(Store(sys.argv[1], Path("artifacts")).experiment("shared"))
"""


@pytest.fixture
def reopened(store):
    """The same database, as another process would open it."""
    return Store(store.uri, store.artifacts)


def test_an_experiment_is_created_once_with_its_artifacts_in_our_folder(store, reopened, database):
    created = store.experiment("once")
    assert reopened.experiment("once") == created == store.experiment("once")
    ((location,),) = database.rows(
        "SELECT artifact_location FROM experiments WHERE name = ?", "once"
    )
    assert location == (store.artifacts / "once").resolve().as_uri()


def test_an_experiment_that_was_deleted_is_restored(store, reopened, database):
    created = store.experiment("deleted")
    store.client.delete_experiment(created)
    assert reopened.experiment("deleted") == created
    assert database.rows("SELECT lifecycle_stage FROM experiments WHERE name = ?", "deleted") == [
        ("active",)
    ]


def test_an_experiment_that_another_process_creates_meanwhile_is_taken(
    store, reopened, monkeypatch
):
    created = store.experiment("raced")
    real = reopened.client.get_experiment_by_name
    answers = iter([lambda name: None, real])  # not there when it looks first
    monkeypatch.setattr(reopened.client, "get_experiment_by_name", lambda name: next(answers)(name))
    assert reopened.experiment("raced") == created


def test_a_run_is_found_by_its_own_id(reopened, sent):
    projection = sent()
    assert reopened.find(projection.path.name) == projection.run_id
    assert reopened.find("0123456789ab") is None


def test_whether_a_run_is_there_and_what_mlflow_itself_says(store, sent):
    mlflow = sent().run_id
    assert store.has(mlflow)
    store.client.delete_run(mlflow)
    assert store.has(mlflow)  # who deleted it knew why
    assert not store.has("0" * 32)


def test_a_store_that_fails_does_not_say_that_a_run_is_not_there(store, monkeypatch):
    def get_run(mlflow):
        raise MlflowException("no answer")

    monkeypatch.setattr(store.client, "get_run", get_run)
    with pytest.raises(MlflowException, match="no answer"):
        store.has("0" * 32)


def test_a_tag_is_removed_whether_it_is_there_or_not(store, database, sent):
    mlflow = sent(tags={"mine": "1", "other": "2"}).run_id
    for _ in range(2):
        store.remove_tag(mlflow, "mine")
        assert "mine" not in database.tags(mlflow)
    assert database.tags(mlflow)["other"] == "2"


def test_an_artifact_is_replaced_whole_or_stays(store, sent, tmp_path, monkeypatch):
    mlflow, file = sent().run_id, tmp_path / "notes.txt"
    file.write_text("one")
    file.chmod(0o444)
    store.keep(mlflow, [file])
    file.chmod(0o644)
    file.write_text("two")
    store.keep(mlflow, [file])
    kept = Path(store.client.download_artifacts(mlflow, "notes.txt"))
    assert kept.read_text() == "two"

    def full(source, to):
        Path(to).write_text("t")
        raise OSError("no space left")

    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(OSError, match="no space left"):
        store.keep(mlflow, [file])
    assert kept.read_text() == "two"
    assert [one.name for one in kept.parent.glob("notes*")] == ["notes.txt"]


def test_nothing_is_logged_without_a_word_be_the_run_deleted(store, sent):
    mlflow = sent().run_id
    store.client.delete_run(mlflow)
    store.log(mlflow)
    with pytest.raises(LookupError):
        store.log(mlflow, tags={"a": "b"})


def test_a_server_is_reachable_if_it_answers_anything(tmp_path):
    class Wrong(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(503)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Wrong) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        uri = f"http://127.0.0.1:{server.server_port}"
        assert Store(uri, tmp_path).reachable()
        server.shutdown()
        thread.join()
    assert not Store(uri, tmp_path).reachable()
    assert Store(f"sqlite:///{tmp_path}/none.db", tmp_path).reachable()


def test_a_server_that_hangs_is_not_reachable(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as hung:
        began = time.monotonic()
        assert not Store(f"http://127.0.0.1:{hung.getsockname()[1]}", tmp_path).reachable()
        assert time.monotonic() - began < 8  # two seconds on a quiet machine


@pytest.fixture
def folder_of_its_own(store, tmp_path):
    """A copy of the database, without what says that it is ready."""
    copy = tmp_path / "mlflow.db"
    shutil.copy(sqlite_file(store.uri), copy)
    return copy


def test_a_database_that_is_ready_is_opened_without_a_lock(folder_of_its_own):
    database = folder_of_its_own
    ready(database)
    marker = database.with_name("mlflow.db.lock")
    assert marker.read_text() == mlflow.__version__
    with marker.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready(database)  # would wait for ever


@pytest.mark.parametrize("text", ["", "1.0"], ids=["nobody", "another version"])
def test_a_database_that_is_not_known_to_be_ready_is_opened_under_the_lock(
    folder_of_its_own, monkeypatch, text
):
    database = folder_of_its_own
    marker = database.with_name("mlflow.db.lock")
    marker.write_text(text)
    seen = []

    def connected(uri):
        with marker.open("a") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        seen.append((uri, marker.read_text()))

    monkeypatch.setattr("nnlab.tracking.store._connected", connected)
    ready(database)
    assert seen == [(f"sqlite:///{database}", "")]
    assert marker.read_text() == mlflow.__version__


def test_who_waited_for_the_lock_need_not_open_the_database_under_it(tmp_path, monkeypatch):
    answers = iter([False, True])
    monkeypatch.setattr("nnlab.tracking.store._is_ready", lambda *_: next(answers))
    monkeypatch.setattr("nnlab.tracking.store._connected", None)
    ready(tmp_path / "mlflow.db")
    assert list(answers) == []


@pytest.mark.parametrize("left", [b"", None], ids=["empty", "absent"])
def test_a_new_database_is_made_aside_whatever_is_left_of_an_earlier_attempt(
    tmp_path, monkeypatch, left
):
    database = tmp_path / "new" / "mlflow.db"
    database.parent.mkdir()
    if left is not None:
        database.write_bytes(left)
    for name in ("mlflow.db.new", "mlflow.db.new-journal"):
        (database.parent / name).write_text("half of a database")
    database.with_name("mlflow.db.lock").write_text(mlflow.__version__)  # it was deleted since

    def connected(uri):
        assert not database.exists() or not database.stat().st_size
        assert not (database.parent / "mlflow.db.new-journal").exists()
        with sqlite_file(uri).open("x") as file:
            file.write("whole")

    monkeypatch.setattr("nnlab.tracking.store._connected", connected)
    ready(database)
    assert database.read_text() == "whole"
    assert sorted(path.name for path in database.parent.iterdir()) == [
        "mlflow.db",
        "mlflow.db.lock",
    ]


@pytest.mark.slow
def test_processes_that_open_a_new_database_at_once_all_succeed(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", CONNECT, "sqlite:///new/mlflow.db"]

    def connect(_):
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(3) as threads:
        done = list(threads.map(connect, range(3)))
    assert [process.returncode for process in done] == [0, 0, 0], done
    assert len({process.stdout for process in done}) == 1

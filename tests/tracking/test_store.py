import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nnlab.tracking.store import Store, sqlite_file

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


def test_the_file_of_a_uri():
    assert sqlite_file("sqlite:///a/b.db") == Path("a/b.db")
    assert sqlite_file("sqlite:////a/b.db") == Path("/a/b.db")
    assert sqlite_file("http://localhost:5000") is None


@pytest.mark.slow
def test_processes_that_open_a_new_database_at_once_all_succeed(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", CONNECT, "sqlite:///new/mlflow.db"]

    def connect(_):
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(3) as threads:
        done = list(threads.map(connect, range(3)))
    assert [process.returncode for process in done] == [0, 0, 0], done
    assert len({process.stdout for process in done}) == 1

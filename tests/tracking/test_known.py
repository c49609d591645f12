"""What MLflow has, read without it, is what MLflow's own client says."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from mlflow.entities import ViewType

from nnlab.runs.owner import Owner
from nnlab.tracking.known import Known, NotCheckedError, UnreadableError, known
from nnlab.tracking.process import mlflow_environment

pytestmark = pytest.mark.filterwarnings("ignore")


def by_the_client(store):
    """The same as `known`, as MLflow's client tells it."""
    client = store.client
    every = client.search_experiments(view_type=ViewType.ALL)
    ids = [experiment.experiment_id for experiment in every]
    return {
        run.info.run_id: Known(
            run.info.run_id,
            run.info.run_name,
            run.info.status,
            run.info.lifecycle_stage,
            asked(run.data.tags),
        )
        for run in client.search_runs(ids, run_view_type=ViewType.ALL)
        if "nnlab.run" in run.data.tags
    }


def of_ours(found):
    """By MLflow's id, with the tags that are asked of a database."""
    return {
        one.mlflow: Known(
            one.mlflow,
            one.name,
            one.status,
            one.stage,
            asked(one.tags),
        )
        for one in found
    }


def asked(tags):
    """Those that are asked of a database; runs that other tests have left may lack some."""
    keys = ("run", "kind", "pid", "started", "boot", "host")
    return {f"nnlab.{key}": tags[f"nnlab.{key}"] for key in keys if f"nnlab.{key}" in tags}


@pytest.fixture
def several(store, sent):
    """Runs of every kind there may be; the ids of ours."""
    runs = [sent(kind=kind) for kind in ("train", "trial", "reproduction")]
    store.client.delete_run(runs[1].run_id)
    store.client.create_run(store.experiment("another"), run_name="none of ours")
    store.client.set_terminated(runs[2].run_id, "KILLED")
    return [run.path.name for run in runs]


def test_a_database_is_read_as_mlflow_reads_it(store, several):
    found = of_ours(known(store.uri))
    assert found == by_the_client(store)
    states = {one.run: (one.status, one.stage) for one in found.values()}
    assert [states[run] for run in several] == [
        ("FINISHED", "active"),
        ("FINISHED", "deleted"),
        ("KILLED", "active"),
    ]
    assert {one.owner for one in found.values() if one.run in several} == {Owner.here()}


@pytest.mark.slow
def test_a_server_is_read_as_its_database(store, several):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri]
    command += ["--port", str(port), "--workers", "1"]
    environment = mlflow_environment() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as server:
        try:
            found = until_it_answers(f"http://127.0.0.1:{port}")
        finally:
            os.killpg(server.pid, 9)
    assert of_ours(found) == of_ours(known(store.uri))


def until_it_answers(uri):
    deadline = time.monotonic() + 120
    while True:
        try:
            return known(uri)
        except UnreadableError:
            assert time.monotonic() < deadline
            time.sleep(1)


@contextmanager
def serving(answer):
    """A server that answers each request, (path, what was sent), with bytes."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, body))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer(self.path, body))

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def test_a_server_is_read_page_by_page():
    def answer(path, body):
        if "experiments" in path:
            return json.dumps({"experiments": [{"experiment_id": "7"}]}).encode()
        token = body["page_token"]
        info = {"run_id": f"m{token}", "run_name": "n", "status": "RUNNING"}
        tags = [{"key": "nnlab.run", "value": f"r{token}"}]
        run = {"info": info | {"lifecycle_stage": "active"}, "data": {"tags": tags}}
        page = {"runs": [run], "next_page_token": {"": "1", "1": "2"}.get(token, "")}
        return json.dumps(page).encode()

    with serving(answer) as (uri, asked):
        found = known(f"{uri}/")
    assert [(one.run, one.mlflow) for one in found] == [("r", "m"), ("r1", "m1"), ("r2", "m2")]
    assert [one.owner.gone() for one in found] == [None] * 3
    assert asked[0][0] == "/api/2.0/mlflow/experiments/search"
    assert {path for path, _ in asked[1:]} == {"/api/2.0/mlflow/runs/search"}
    assert asked[1][1]["experiment_ids"] == ["7"]


@pytest.mark.parametrize("text", [b"hello", b"[]", b'{"experiments": [7]}', b"", b"null"])
def test_a_server_that_is_not_mlflow_cannot_be_read(text):
    with (
        serving(lambda path, body: text) as (uri, _),
        pytest.raises(UnreadableError, match=f"^{uri} cannot be read: ."),
    ):
        known(uri)


def test_a_server_without_experiments_has_no_runs():
    with serving(lambda path, body: b"{}") as (uri, asked):
        assert known(uri) == []
    assert len(asked) == 1


def test_a_server_that_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr("nnlab.tracking.known.FIRST_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UnreadableError, match="timed out"):
            known(uri)


def test_a_database_that_is_not_there_has_no_runs_and_is_not_made(tmp_path):
    assert known(f"sqlite:///{tmp_path}/none.db") == []
    assert not (tmp_path / "none.db").exists()


def test_another_database_is_not_checked():
    with pytest.raises(NotCheckedError, match="mysql://host/db"):
        known("mysql://host/db")


DIES = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 2")
database.execute("BEGIN")
database.execute("UPDATE runs SET status = 'KILLED', source_name = hex(randomblob(100))")
database.execute("UPDATE tags SET value = 'x'")
rows = [(str(k), "z" * 900) for k in range(99)]
database.executemany("INSERT INTO tags VALUES (?, ?, 'y')", rows)
os._exit(9)
"""


def test_a_transaction_that_nobody_ended_is_undone(store, several, folder, tmp_path):
    before = of_ours(known(store.uri))
    copy = tmp_path / "a copy #1.db"
    copy.write_bytes((folder / "mlflow.db").read_bytes())
    subprocess.run([sys.executable, "-c", DIES, str(copy)], check=False)
    assert copy.with_name(f"{copy.name}-journal").stat().st_size > 0
    assert copy.read_bytes() != (folder / "mlflow.db").read_bytes()
    assert of_ours(known(f"sqlite:///{copy}")) == before

"""Sixteen processes that start at once where MLflow's database is not yet: all succeed."""

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from nnlab.tracking.process import mlflow_environment

pytestmark = pytest.mark.slow
PROCESSES = 16
ROUNDS = int(os.environ.get("NNLAB_ROUNDS", "5"))  # `make durability`: 30
CREATE = """
import os
import sys
import time
from pathlib import Path

import alembic.command
import mlflow.store.tracking.sqlalchemy_store  # what opening imports, once for all
import sqlalchemy.dialects.sqlite

from nnlab.tracking.store import Store

processes, rounds, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
for k in range(rounds):
    children = []
    start = time.time() + 0.2
    for _ in range(processes):
        child = os.fork()  # MLflow is imported, and nothing is open yet
        if not child:
            try:
                time.sleep(max(0, start - time.time()))
                store = Store(f"sqlite:///{folder}/{k}/mlflow.db", folder / str(k) / "artifacts")
                experiment = store.experiment("shared")
                store.client.create_run(experiment)
                os._exit(0)
            except BaseException as error:
                print(k, repr(error)[:500], flush=True)
                os._exit(1)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(k, codes.count(0), flush=True)
"""


def rows(database, query):
    with closing(sqlite3.connect(database, timeout=20)) as connection:
        return connection.execute(query).fetchall()


def test_the_first_creation_by_sixteen_processes_succeeds_every_time(tmp_path, shown):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CREATE, str(PROCESSES), str(ROUNDS), str(tmp_path)],
        env=mlflow_environment(),
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.stdout.splitlines() == [f"{k} {PROCESSES}" for k in range(ROUNDS)], done.stderr
    for k in range(ROUNDS):
        database = tmp_path / str(k) / "mlflow.db"
        assert rows(database, "SELECT COUNT(*) FROM runs") == [(PROCESSES,)]
        assert rows(database, "SELECT COUNT(*) FROM experiments") == [(2,)]  # MLflow's own too
        assert rows(database, "PRAGMA integrity_check") == [("ok",)]
    shown(f"{PROCESSES} processes create the database at once", f"{ROUNDS} of {ROUNDS} rounds")


def test_sixteen_trainings_at_once_in_an_empty_folder_all_come_to_mlflow(lab, shown):
    def train(seed):
        return lab("train", "data=iris", "stopping.max_epochs.epochs=2", f"seed={seed}")

    with ThreadPoolExecutor(PROCESSES) as threads:
        done = list(threads.map(train, range(PROCESSES)))
    assert all("in MLflow: run" in one.out for one in done)
    assert len({lab.logged(run).mlflow for one in done for run in one.runs}) == PROCESSES
    assert {lab.status(run) for one in done for run in one.runs} == {"FINISHED"}
    assert lab.rows("SELECT COUNT(*) FROM runs") == [(PROCESSES,)]
    shown(f"{PROCESSES} `nnlab train` at once in an empty folder", "all in MLflow")

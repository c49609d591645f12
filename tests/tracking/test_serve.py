"""What the tracking process makes of runs that are lost, damaged or cannot be sent."""

import os
import queue
import sqlite3
from contextlib import closing

import pytest

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_LOGGING_LEVEL": "WARNING"}

from nnlab.runs.environment import Environment
from nnlab.runs.run import Run
from nnlab.tracking import projector
from nnlab.tracking.projection import STATE, Projection
from nnlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore")
ENVIRONMENT = Environment({"nnlab": "0", "git": {"commit": None, "dirty": None}}, "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture(scope="module")
def store(folder):
    made = Store(f"sqlite:///{folder}/mlflow.db", folder / "artifacts")
    made.experiment("one")
    return made


def rows(folder, query, *values):
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        return connection.execute(query, values).fetchall()


def new_run(tmp_path, experiment="one", **more):
    return Run(
        tmp_path, name="x", experiment=experiment, config={"a": 1}, environment=ENVIRONMENT,
        **{"kind": "train", **more},
    )  # fmt: skip


def report(run):
    for step in range(2):
        metrics = {"train/loss": 1.0, "train/accuracy": 0.5, "epoch": float(step)}
        run.journal.append("report", step=step, metrics=metrics, seconds=0.0)


def test_a_run_whose_state_file_is_lost_is_not_there_twice(store, folder, tmp_path):
    with new_run(tmp_path) as run:
        report(run)
    Projection(run.path).advance(store, last=True)
    counts = "SELECT (SELECT COUNT(*) FROM runs), (SELECT COUNT(*) FROM metrics)"
    before = rows(folder, counts)
    (run.path / STATE).unlink()
    Projection(run.path).advance(store, last=True)
    assert rows(folder, counts) == before


def test_a_trial_in_another_experiment_is_nested_all_the_same(store, folder, tmp_path):
    with new_run(tmp_path, kind="study") as study:
        pass
    parent = Projection(study.path)
    parent.advance(store, last=True)
    with new_run(tmp_path, "two", kind="trial", parent=study.id) as trial:
        pass
    child = Projection(trial.path)
    child.advance(store, last=True)
    query = "SELECT value FROM tags WHERE run_uuid = ? AND key = 'mlflow.parentRunId'"
    assert rows(folder, query, child.run_id) == [(parent.run_id,)]


def serve(store, *paths):
    incoming = queue.Queue()
    for path in (*paths, None):
        incoming.put(path)
    projector.serve(store, incoming)


def test_a_damaged_journal_does_not_stay_running(store, folder, tmp_path):
    with new_run(tmp_path) as run:
        report(run)
        run.journal.sync()
        projection = Projection(run.path)
        projection.advance(store, last=False)
    assert rows(folder, "SELECT status FROM runs WHERE run_uuid = ?", projection.run_id) == [
        ("RUNNING",)
    ]
    journal = run.path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"end"', b'"eNd"'))
    serve(store, run.path)
    assert rows(folder, "SELECT status FROM runs WHERE run_uuid = ?", projection.run_id) != [
        ("RUNNING",)
    ]


def test_a_run_that_cannot_be_sent_does_not_keep_others_from_it(
    store, folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(projector, "GIVE_UP_SECONDS", 1.0)
    with new_run(tmp_path) as bad:
        report(bad)
        (bad.path / "curves.png").mkdir()
    with new_run(tmp_path) as good:
        report(good)
    serve(store, bad.path, good.path)
    query = (
        "SELECT status FROM runs JOIN tags USING (run_uuid) WHERE key = 'nnlab.run' AND value = ?"
    )
    assert rows(folder, query, good.id) == [("FINISHED",)]

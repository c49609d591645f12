"""One MLflow database for all tests of tracking: to create one takes seconds."""

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import replace

import pytest

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_LOGGING_LEVEL": "WARNING"}

from nnlab.runs.destination import MLflow
from nnlab.runs.environment import Environment
from nnlab.runs.owner import Owner
from nnlab.runs.run import Run
from nnlab.tracking.projection import Projection
from nnlab.tracking.store import Store

FACTS = {"nnlab": "0", "git": {"commit": "c0ffee", "dirty": False}}
TABLES = ("runs", "metrics", "latest_metrics", "params", "tags", "experiments")


class Database:
    """MLflow's database, read by SQL alone."""

    def __init__(self, path):
        self.path = path

    def rows(self, query, *values):
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(query, values).fetchall()

    def sizes(self):
        return {table: self.rows(f"SELECT COUNT(*) FROM {table}")[0][0] for table in TABLES}

    def run(self, mlflow):
        """(name, status, start, end)"""
        (row,) = self.rows(
            "SELECT name, status, start_time, end_time FROM runs WHERE run_uuid = ?", mlflow
        )
        return row

    def tags(self, mlflow):
        return dict(self.rows("SELECT key, value FROM tags WHERE run_uuid = ?", mlflow))

    def params(self, mlflow):
        return dict(self.rows("SELECT key, value FROM params WHERE run_uuid = ?", mlflow))

    def points(self, mlflow):
        """How often each (key, step, value, time, is_nan) is there."""
        return Counter(
            self.rows(
                "SELECT key, step, value, timestamp, is_nan FROM metrics WHERE run_uuid = ?", mlflow
            )
        )


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture(scope="session")
def store(folder):
    """A store whose database exists."""
    made = Store(f"sqlite:///{folder}/mlflow.db", folder / "artifacts")
    made.experiment("unit")
    return made


@pytest.fixture(scope="session")
def database(store, folder):
    return Database(folder / "mlflow.db")


@pytest.fixture
def as_of_a_server(monkeypatch):
    """Nothing is written by SQL: all goes through MLflow's calls, as it does for a server."""
    monkeypatch.setattr(Store, "_database", None)


@pytest.fixture
def new_run(tmp_path):
    """Makes runs, to be written."""

    def make(kind="train", config=None, experiment="unit", uri=MLflow.uri, **more):
        return Run(
            tmp_path,
            kind=kind,
            name=kind,
            tracking=MLflow(uri, experiment),
            config=config or {"seed": 0, "optimizer": {"name": "sgd", "lr": 0.1}},
            environment=Environment(FACTS, ""),
            **more,
        )

    return make


@pytest.fixture
def finished(new_run):
    """Makes a run that reported these metrics and ended; its directory."""

    def make(reports=({"train/loss": 1.0}, {"train/loss": 0.5}), tags=None, **settings):
        with new_run(**settings) as run:
            report(run, reports)
            run.tag({"nnlab.weights_sha256": "ab", **(tags or {})})
        return run.path

    return make


@pytest.fixture
def sent(store, finished):
    """Makes a finished run that is in MLflow; its projection."""

    def make(*arguments, **settings):
        projection = Projection(finished(*arguments, **settings), store)
        projection.advance(last=True)
        assert projection.done
        return projection

    return make


@pytest.fixture
def died(new_run, monkeypatch):
    """Makes a run whose process wrote these reports and died; its directory."""

    def make(reports=({"train/loss": 1.0}, {"train/loss": 0.5}), torn=b"", **settings):
        with subprocess.Popen([sys.executable, "-c", ""]) as gone:
            gone.wait()
        with monkeypatch.context() as patch:
            owner = replace(Owner.here(), pid=gone.pid)
            patch.setattr(Owner, "here", lambda: owner)
            run = new_run(**settings)
        report(run, reports)
        run.journal.close()
        with run.journal.path.open("ab") as file:
            file.write(torn)
        return run.path

    return make


def report(run, reports):
    """Append a report of each of these metrics, besides those that every training has."""
    for step, metrics in enumerate(reports):
        metrics = {"train/accuracy": 0.5, "epoch": step / 3} | metrics
        run.journal.append("report", step=step, metrics=metrics, seconds=step / 8)

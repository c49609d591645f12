"""Trials are nested below their study even if its run could not be made at once."""

import os
import queue

import pytest

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_LOGGING_LEVEL": "WARNING"}

from mlflow.exceptions import MlflowException

from nnlab.runs.environment import Environment
from nnlab.runs.run import Run
from nnlab.tracking.projector import serve
from nnlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore")
ENVIRONMENT = Environment({"nnlab": "0", "git": {"commit": None, "dirty": None}}, "")


def test_a_trial_waits_for_its_study(tmp_path, monkeypatch):
    store = Store(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")
    settings = {"experiment": "x", "config": {"a": 1}, "environment": ENVIRONMENT}
    with Run(tmp_path, kind="study", name="study", **settings) as study:
        pass
    with Run(tmp_path, kind="trial", name="trial", parent=study.id, **settings) as trial:
        pass
    real, failed = store.client.create_run, []

    def create_run(*arguments, **options):
        if not failed:
            failed.append(True)
            raise MlflowException("once")
        return real(*arguments, **options)

    monkeypatch.setattr(store.client, "create_run", create_run)
    incoming = queue.Queue()
    for path in (study.path, trial.path, None):
        incoming.put(path)
    assert serve(store, incoming)
    tags = store.client.get_run(store.find(trial.id)).data.tags
    assert tags["mlflow.parentRunId"] == store.find(study.id)

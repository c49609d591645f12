"""Trials are nested below their study even if its run could not be made at once."""

import queue

import pytest
from mlflow.exceptions import MlflowException

from nnlab.tracking.projector import serve

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")


def test_a_trial_waits_for_its_study(store, finished, monkeypatch):
    study = finished([], kind="study")
    trial = finished([], kind="trial", parent=study.name)
    real, failed = store.client.create_run, []

    def create_run(*arguments, **options):
        if not failed:
            failed.append(True)
            raise MlflowException("once")
        return real(*arguments, **options)

    monkeypatch.setattr(store.client, "create_run", create_run)
    incoming = queue.Queue()
    for path in (study, trial, None):
        incoming.put(path)
    assert serve(store, incoming)
    tags = store.client.get_run(store.find(trial.name)).data.tags
    assert tags["mlflow.parentRunId"] == store.find(study.name)

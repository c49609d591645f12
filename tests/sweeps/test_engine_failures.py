"""An engine that cannot start a trial has a failed trial, not a sweep that waits for ever."""

import threading
from concurrent.futures import Future

import pytest

from nnlab.runs.environment import Environment
from nnlab.runs.run import Run
from nnlab.sweeps.definition import Definition
from nnlab.sweeps.engine import LocalEngine
from nnlab.sweeps.space import Range
from nnlab.sweeps.sweep import Sweep
from nnlab.sweeps.trial import Job

ENVIRONMENT = Environment({"nnlab": "0", "git": {"commit": None, "dirty": None}}, "")


def test_a_child_that_cannot_be_started_is_a_failed_trial(monkeypatch):
    engine = LocalEngine(1)

    class Process:
        def __init__(self, **_):
            raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(engine._context, "Process", Process, raising=False)
    future = engine.submit(Job(0, {}, "study", ENVIRONMENT), lambda message: True)
    assert future.result(10).state == "FAILED"


def test_a_sweep_ends_whatever_its_engine_does(tmp_path):
    class Engine:
        def slots(self):
            return 1

        def submit(self, job, hear):
            future = Future()
            future.set_exception(OSError("no process left"))
            return future

    class Candidates:
        def config(self, values):
            return dict(values)

    definition = Definition("x", {"lr": Range(0.1, 1.0)}, "loss", trials=3)
    sweep = Sweep(definition, Candidates(), Engine())
    with Run(
        tmp_path, kind="study", name="x", experiment="x", config={}, environment=ENVIRONMENT
    ) as study:
        thread = threading.Thread(target=lambda: list(sweep.run(study, ENVIRONMENT)), daemon=True)
        thread.start()
        thread.join(10)
        if thread.is_alive():
            pytest.fail("the sweep waits for ever")
    assert sweep.count("FAILED") == 3

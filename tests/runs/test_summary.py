import os
from dataclasses import replace

import pytest

from nnlab.errors import UserError
from nnlab.runs.execution import Execution
from nnlab.runs.owner import Owner
from nnlab.runs.run import Run
from nnlab.runs.summary import summary


@pytest.fixture
def begun(checked, environment):
    """A training of two epochs that is told to stop where `at` says; its run."""

    def make(at=None):
        config = checked()
        execution = Execution(config)
        run = Run.of(config, "train", environment=environment)
        with run, execution.recorded(run) as reports:
            for report in reports:
                if at is not None:
                    at(run, report)
            execution.keep_weights(run)
        return run

    return make


def test_a_run_that_has_ended(begun):
    run = begun()
    told = summary(run.path)
    assert (told["run"], told["name"], told["kind"]) == (run.id, run.name, "train")
    assert (told["state"], told["rule"]) == ("FINISHED", "max_epochs")
    assert (told["step"], told["epoch"], told["evaluations"]) == (8, 2.0, 3)
    assert "test/accuracy" in told["metrics"]
    assert told["data"]["examples"] == 150
    assert told["config"]["data"]["name"] == "iris"
    assert told["weights"] == told["tags"]["nnlab.weights_sha256"]
    assert {"config.yaml", "data.json", "preparation.npz", "weights.npz"} <= set(told["files"])


def test_a_run_that_goes_on(begun):
    seen = []

    def look(run, report):
        run.journal.sync()
        seen.append(summary(run.path))

    begun(look)
    assert {one["state"] for one in seen} == {"RUNNING"}
    assert seen[0]["reason"] == f"{Owner.here()} writes it"
    assert [one["evaluations"] for one in seen] == [1, 2, 3]


def test_a_run_whose_process_is_gone(new):
    assert summary(new(os.getpid()))["state"] == "OPEN"
    assert summary(new(2**22 + 1))["reason"] == "process 4194305 is gone"


@pytest.fixture
def new(checked, environment, monkeypatch):
    """A run of that process, which has said nothing but its start."""

    def make(pid):
        owner = replace(Owner.here(), pid=pid)
        with monkeypatch.context() as patch:
            patch.setattr(Owner, "here", lambda: owner)
            run = Run.of(checked(), "train", environment=environment)
        run.journal.close()
        return run.path

    return make


def test_a_run_that_has_measured_nothing(new):
    told = summary(new(os.getpid()))
    assert (told["step"], told["metrics"], told["data"], told["weights"]) == (0, {}, None, None)


def test_what_cannot_be_read_is_an_error_with_its_place(begun):
    run = begun()
    journal = run.path / "journal.jsonl"
    content = bytearray(journal.read_bytes())
    content[200] ^= 1
    journal.write_bytes(content)
    with pytest.raises(UserError, match="damaged at byte"):
        summary(run.path)

"""Trials that return NaN, raise, exit, crash, hang or are killed: each is recorded, none lost."""

import importlib
from contextlib import closing
from pathlib import Path

import pytest

from nnlab.runs.journal import read
from nnlab.runs.past import Past
from nnlab.runs.run import Run
from nnlab.sweeps import engine as engines
from nnlab.sweeps.candidates import Candidates
from nnlab.sweeps.engine import LocalEngine
from nnlab.sweeps.reading import define
from nnlab.sweeps.sweep import Sweep

TEXT = """
experiment: [data=iris, tracking=none, stopping.max_epochs.epochs=4]
metric: validation/loss
sampler: random
pruner: none
parameters:
  optimizer.lr: {low: 1e-3, high: 1e-1, log: true}
"""


@pytest.fixture
def faults(monkeypatch):
    """The module of faults, which children can import as well."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setattr(engines, "GRACE_SECONDS", 0.5)
    return importlib.import_module("faults")


@pytest.fixture
def swept(sweep_file, monkeypatch, environment, tmp_path, faults):
    """Runs a sweep whose children run `run_trial`; the driver and the study's records."""

    def run(run_trial, *arguments):
        monkeypatch.setattr(engines, "run_trial", run_trial)
        sweep_file("faulty", TEXT)
        definition = define("faulty", [f"store={tmp_path}", *arguments])
        candidates = Candidates(definition)
        config = candidates.check()
        study = Run(
            config.store,
            kind="study",
            name="faulty",
            tracking=config.tracking,
            config={},
            environment=environment,
        )
        with study, closing(LocalEngine(definition.slots)) as engine:
            sweep = Sweep(definition, candidates, engine, study)
            list(sweep.run(environment))
        return sweep, read(study.path / "journal.jsonl")

    return run


def past(tmp_path, trial):
    return Past(read(tmp_path / "runs" / trial.run / "journal.jsonl"))


REASONS = {
    "well": ("COMPLETE", "epoch 4 is done"),
    "nan": ("FAILED", "a value is not finite at step"),
    "raise": ("FAILED", "ValueError: no [such] luck"),
    "exit": ("FAILED", "the process ended with code 1"),
    "segfault": ("FAILED", "the process was killed by SIGSEGV"),
    "hang": ("FAILED", "timeout after 5 s"),
    "stuck": ("FAILED", "timeout after 5 s"),
    "killed": ("FAILED", "the process was killed by SIGKILL"),
}


def test_every_fault_is_recorded_and_the_sweep_completes(swept, faults, tmp_path):
    sweep, records = swept(faults.run_trial, "trials=8", "workers=4", "timeout=5")
    ledger = sweep.ledger
    assert (ledger.count("COMPLETE"), ledger.count("FAILED"), len(ledger.trials)) == (1, 7, 8)
    for trial, kind in zip(ledger.trials, faults.KINDS, strict=True):
        state, reason = REASONS[kind]
        assert trial.state == state, kind
        assert reason in trial.reason, kind
        written = past(tmp_path, trial)
        assert written.tags["nnlab.trial_state"] == state, kind
        assert written.end["status"] == ("FINISHED" if state == "COMPLETE" else "FAILED"), kind
        assert written.end["reason"] == trial.reason or kind == "raise"
        traceback = tmp_path / "runs" / trial.run / "traceback.txt"
        assert traceback.exists() == (kind == "raise"), kind
    end = records[-1]
    assert (end["status"], end["rule"]) == ("FINISHED", "budget")


def test_a_failed_trial_is_tried_again_as_configured(swept, faults, tmp_path):
    (tmp_path / "runs").mkdir()
    sweep, records = swept(faults.once, "trials=3", "workers=2", "retries=1")
    assert sweep.ledger.count("COMPLETE") == 3
    attempts = [record for record in records if record["type"] == "attempt"]
    runs = {}
    for record in attempts:
        runs.setdefault(record["trial"], []).append(record["run"])
    assert [len(set(each)) for each in runs.values()] == [2, 2, 2]
    for trial in sweep.ledger.trials:
        first, second = runs[trial.number]
        assert (trial.run, trial.failures) == (second, 1)
        ended = Past(read(tmp_path / "runs" / first / "journal.jsonl"))
        assert (ended.end["status"], ended.tags["nnlab.trial_state"]) == ("FAILED", "FAILED")


def test_what_the_config_alone_decided_is_not_tried_again(swept, faults):
    sweep, records = swept(faults.run_trial, "trials=2", "workers=1", "retries=3")
    assert [trial.state for trial in sweep.ledger.trials] == ["COMPLETE", "FAILED"]  # a NaN
    assert len([record for record in records if record["type"] == "attempt"]) == 2


def test_max_failures_end_a_sweep_and_running_trials_come_to_their_end(swept, faults):
    sweep, records = swept(
        faults.run_trial, "trials=40", "workers=2", "max_failures=2", "timeout=1"
    )
    ledger = sweep.ledger
    assert 2 <= ledger.count("FAILED") <= 3  # the second slot was at work
    assert ledger.count("RUNNING") == 0
    assert (records[-1]["status"], records[-1]["rule"]) == ("FAILED", "max_failures")


def test_fail_fast_ends_a_sweep_with_the_trials_that_run(swept, faults, tmp_path):
    sweep, records = swept(
        faults.run_trial,
        "trials=40",
        "workers=2",
        "fail_fast=true",
        "stopping.max_epochs.epochs=300000",
    )
    ledger = sweep.ledger
    assert len(ledger.trials) == 2 == ledger.count("FAILED")
    assert ledger.trials[0].reason == "stopped: trial 1 failed (fail_fast)"
    assert past(tmp_path, ledger.trials[0]).tags["nnlab.trial_state"] == "FAILED"
    assert (records[-1]["status"], records[-1]["rule"]) == ("FAILED", "fail_fast")

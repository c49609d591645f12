"""A driver that takes over a study from one that is gone."""

import json
import os
import random
import runpy
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from nnlab.runs.journal import Journal, read
from nnlab.runs.past import Past
from nnlab.runs.run import Run
from nnlab.sweeps import attempts
from nnlab.sweeps.candidates import Candidates
from nnlab.sweeps.engine import LocalEngine
from nnlab.sweeps.reading import define
from nnlab.sweeps.samplers import CMAES, NSGA2
from nnlab.sweeps.sweep import Sweep

fakes = runpy.run_path(str(Path(__file__).with_name("test_sweep.py")))
Engine, AnyValues, train, DIED = (fakes[name] for name in ("Engine", "AnyValues", "train", "DIED"))


def of(records, kind):
    return [record for record in records if record["type"] == kind]


def act(number, hear):
    """A landscape that prunes some and fails some."""
    rng = random.Random(number)
    if number % 9 == 4:
        return DIED
    level = rng.random()
    return train(number, hear, [level + 1 / (1 + k) for k in range(7)])


@pytest.fixture
def interrupted(definition, new_study, environment):
    """A sweep whose driver is left after so many events, again and again; its records."""

    def run(events, slots=1, **settings):
        path = None
        for left in (*events, None):
            study = Run.reopen(path, environment) if path else new_study()
            path = study.path
            engine = Engine(slots, act)
            with study:
                sweep = Sweep(definition(workers=slots, **settings), AnyValues(), engine, study)
                running = sweep.run(environment)
                for _, _ in zip(running, range(left) if left else iter(int, 1), strict=False):
                    pass
                running.close()
                engine.close()
        return sweep, read(path / "journal.jsonl")

    return run


def result(sweep):
    trials = sweep.ledger.trials
    return [(trial.number, trial.values, trial.state, trial.told, trial.curve) for trial in trials]


@pytest.mark.parametrize(
    "sampler", ["tpe", "random", "qmc", CMAES(population=4), NSGA2(population=4)]
)
def test_one_worker_interrupted_anywhere_proposes_what_it_would_have(interrupted, sampler):
    straight, _ = interrupted([], trials=24, sampler=sampler)
    assert {trial.state for trial in straight.ledger.trials} == {"COMPLETE", "PRUNED", "FAILED"}
    rng = random.Random(3)
    for _ in range(3):
        cut = [rng.randint(1, 70) for _ in range(3)]
        again, records = interrupted(cut, trials=24, sampler=sampler)
        assert result(again) == result(straight), cut
        assert sorted(record["trial"] for record in of(records, "told")) == list(range(24))
        assert again.ledger.bests == straight.ledger.bests
        best = [record for record in records if record["type"] == "report"]
        assert [record["step"] for record in best] == sorted({r["step"] for r in best})


def test_a_deterministic_sweep_interrupted_anywhere_proposes_what_it_would_have(interrupted):
    how = {"trials": 24, "deterministic": True, "lag": 3}
    straight, _ = interrupted([], slots=1, **how)
    for slots, cut in ((3, [20, 33]), (2, [40])):
        again, _ = interrupted(cut, slots=slots, **how)
        assert result(again) == result(straight)


def test_every_submit_is_an_attempt_with_a_higher_number(interrupted):
    _, records = interrupted([7, 9, 11], trials=4)
    seen = {}
    for record in of(records, "attempt"):
        assert record["attempt"] == seen.get(record["trial"], -1) + 1
        seen[record["trial"]] = record["attempt"]
    assert max(seen.values()) > 0


TEXT = """
experiment: [data=iris, tracking=none, stopping.max_epochs.epochs=4]
metric: validation/loss
sampler: random
pruner: none
workers: 1
trials: 3
parameters:
  optimizer.lr: {low: 1e-3, high: 1e-1, log: true}
"""


@pytest.fixture
def real(sweep_file, environment, tmp_path):
    """Goes on with a study (or begins one) of three real trials; the driver and its records."""
    sweep_file("real", TEXT)
    definition = define("real", [f"store={tmp_path}"])
    candidates = Candidates(definition)
    config = candidates.check()

    def run(path=None):
        study = (
            Run.reopen(path, environment)
            if path
            else Run(
                config.store,
                kind="study",
                name="real",
                tracking=config.tracking,
                config={},
                environment=environment,
            )
        )
        with study, closing(LocalEngine(1)) as engine:
            sweep = Sweep(definition, candidates, engine, study)
            list(sweep.run(environment))
        return sweep, study.path

    return run


def cut(path, kind, trial):
    """Cut the journal before the record of that kind about the trial."""
    lines = (path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    found = [json.loads(line) for line in lines]
    n = next(n for n, r in enumerate(found) if (r["type"], r.get("trial")) == (kind, trial))
    (path / "journal.jsonl").write_bytes(b"".join(lines[:n]))


def directories(tmp_path):
    return {path.name for path in (tmp_path / "runs").iterdir()}


def test_a_trial_that_ended_before_the_study_was_told_is_not_run_again(real, tmp_path):
    first, path = real()
    before = directories(tmp_path)
    sizes = {name: (tmp_path / "runs" / name / "journal.jsonl").stat().st_size for name in before}
    cut(path, "told", 2)
    again, _ = real(path)
    assert directories(tmp_path) == before
    assert result(again) == result(first)
    records = read(path / "journal.jsonl")
    assert [record["attempt"] for record in of(records, "attempt")] == [0, 0, 0]
    run = first.ledger.trials[2].run
    assert (tmp_path / "runs" / run / "journal.jsonl").stat().st_size == sizes[run]


def test_a_directory_in_which_nothing_was_begun_is_made_again(real, tmp_path):
    first, path = real()
    cut(path, "told", 2)
    run = tmp_path / "runs" / first.ledger.trials[2].run
    (run / "journal.jsonl").write_bytes(b'{"crc":"0000')  # killed in its first record
    again, _ = real(path)
    assert result(again) == result(first)
    assert again.ledger.trials[2].run == run.name
    assert Past(read(run / "journal.jsonl")).end["status"] == "FINISHED"


def test_a_run_that_cannot_be_gone_on_with_is_begun_anew(real, tmp_path):
    first, path = real()
    cut(path, "told", 2)
    run = tmp_path / "runs" / first.ledger.trials[2].run
    damaged = (run / "journal.jsonl").read_bytes().replace(b'"step"', b'"stop"', 1)
    (run / "journal.jsonl").write_bytes(damaged)
    again, _ = real(path)
    assert result(again) == result(first)
    assert again.ledger.trials[2].run != run.name
    assert (run / "journal.jsonl").read_bytes() == damaged


HOLDER = """
import sys, time
from nnlab.runs.journal import Journal
journal = Journal.reopen(__import__("pathlib").Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_an_old_attempt_that_is_stopped_is_fenced_by_a_new_one(real, tmp_path, monkeypatch):
    monkeypatch.setattr(attempts, "WAIT_SECONDS", 0.3)
    first, path = real()
    cut(path, "told", 2)
    run = tmp_path / "runs" / first.ledger.trials[2].run
    journal = run / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:3]))
    command = [sys.executable, "-c", HOLDER, str(journal)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout.readline() == b"held\n"
            os.kill(holder.pid, signal.SIGSTOP)
            again, _ = real(path)
        finally:
            holder.kill()
    assert result(again) == result(first)
    assert again.ledger.trials[2].run != run.name
    assert journal.read_bytes() == b"".join(lines[:3])
    told = of(read(path / "journal.jsonl"), "told")
    assert [record["trial"] for record in told] == [0, 1, 2]


def test_the_last_word_on_a_trial_is_said_once(real, tmp_path):
    first, _ = real()
    run = tmp_path / "runs" / first.ledger.trials[0].run
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (run / "journal.jsonl").write_bytes(b"".join(lines[:4]))  # as if it had been killed
    attempts.settle(run, "the process was killed by SIGKILL")
    past = Past(read(run / "journal.jsonl"))
    assert (past.end["status"], past.end["reason"]) == (
        "FAILED",
        "the process was killed by SIGKILL",
    )
    assert past.tags["nnlab.trial_state"] == "FAILED"
    said = (run / "journal.jsonl").read_bytes()
    attempts.settle(run, "again")
    assert (run / "journal.jsonl").read_bytes() == said
    attempts.settle(tmp_path / "runs" / "nothere", "no directory is no error")
    with closing(Journal.reopen(run / "journal.jsonl")):
        pass

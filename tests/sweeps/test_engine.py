"""The local engine, with real children."""

import math
import os
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from nnlab.runs.compose import compose
from nnlab.runs.config import parse, prepare
from nnlab.runs.journal import read
from nnlab.runs.run import new_id
from nnlab.runs.weights import digest
from nnlab.sweeps.engine import LocalEngine
from nnlab.sweeps.trial import Evaluation, Job, Outcome, Started

FOR_EVER = 1_000_000
DRIVER = """
import sys
from nnlab.runs.environment import Environment
from nnlab.runs.run import new_id
from nnlab.sweeps.engine import LocalEngine
from nnlab.sweeps.trial import Job

facts = {"nnlab": "0", "git": {"commit": None, "dirty": None}}
engine = LocalEngine(2)
for number in range(2):
    job = Job(number, CONFIG, "s", Environment(facts, ""), new_id())
    engine.submit(job, lambda message: print("heard", flush=True) or True)
"""


@pytest.fixture(scope="module")
def config():
    """A quick experiment on iris."""
    return compose(["data=iris", "tracking=none"])


@pytest.fixture
def job(config, tmp_path, environment):
    """Makes jobs that end after some epochs."""

    def make(epochs=2, number=0, run=None, resume=False, timeout=math.inf, **changes):
        stopping = {"max_epochs": {"epochs": epochs}}
        plain = {**config, "store": str(tmp_path), "stopping": stopping, **changes}
        return Job(number, plain, "study", environment, run or new_id(), resume, timeout)

    return make


@pytest.fixture
def engine():
    """One slot."""
    with closing(LocalEngine(1)) as engine:
        yield engine


def children(pid):
    """Living processes whose parent is `pid`, as Linux says."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(stat.parent.name))
    return found


def trials_of(pid):
    """Trials are the grandchildren of the driver: the children of its fork server."""
    return [trial for server in children(pid) for trial in children(server)]


def eventually(holds, seconds=20):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def last_record(tmp_path, run):
    return read(tmp_path / "runs" / run / "journal.jsonl")[-1]


class Listener:
    """Keeps what it hears; may act on the first report."""

    def __init__(self, on_report=lambda: True):
        self.heard = []
        self._on_report = on_report

    def __call__(self, message):
        self.heard.append(message)
        return self._on_report() if isinstance(message, Evaluation) else True

    @property
    def reports(self):
        return [one.report for one in self.heard if isinstance(one, Evaluation)]


def test_a_trial_in_a_child_has_the_bits_of_a_training_here(engine, job, tmp_path):
    listener = Listener()
    outcome = engine.submit(job(), listener).result(60)
    assert (outcome.state, outcome.reason) == ("COMPLETE", listener.reports[-1].stop.reason)
    assert listener.heard[0] == Started(outcome.run)

    training = prepare(parse(job().config))
    state = training.start()
    here = list(training.run(state))
    assert [(r.step, r.metrics) for r in listener.reports] == [(r.step, r.metrics) for r in here]
    assert outcome.metrics == here[-1].metrics
    records = read(tmp_path / "runs" / outcome.run / "journal.jsonl")
    tags = {k: v for r in records if r["type"] == "tags" for k, v in r["tags"].items()}
    assert tags["nnlab.weights_sha256"] == digest(state.theta)
    assert tags["nnlab.trial_state"] == "COMPLETE"
    assert records[0]["parent"] == "study"
    assert records[0]["tags"]["nnlab.trial"] == "0"
    assert records[-1]["status"] == "FINISHED"


def test_a_trial_that_is_told_to_stop_is_pruned_with_its_weights_kept(engine, job, tmp_path):
    answers = iter([True, True, False])
    listener = Listener(lambda: next(answers))
    outcome = engine.submit(job(FOR_EVER), listener).result(60)
    assert (outcome.state, len(listener.heard)) == ("PRUNED", 4)
    assert outcome.metrics == listener.reports[-1].metrics
    end = last_record(tmp_path, outcome.run)
    assert (end["status"], end["rule"]) == ("FINISHED", "pruned")
    assert (tmp_path / "runs" / outcome.run / "weights.npz").exists()


def test_a_trial_that_cannot_be_built_fails_and_says_why(engine, job):
    outcome = engine.submit(job(batch_size=0), Listener()).result(60)
    reason = "UserError: `batch_size >= 1` must hold, but got batch_size=0"
    assert replace(outcome, memory=0) == Outcome("FAILED", reason, certain=True)


def test_a_trial_that_diverges_fails_with_a_finished_journal(engine, job, config, tmp_path):
    bad = job(5, optimizer={**config["optimizer"], "lr": 1e30})
    outcome = engine.submit(bad, Listener()).result(60)
    assert outcome.state == "FAILED"
    end = last_record(tmp_path, outcome.run)
    assert (end["status"], end["rule"]) == ("FAILED", "diverged")


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGKILL, "the process was killed by SIGKILL"),
        (signal.SIGTERM, "the process was terminated"),
    ],
)
def test_a_trial_that_is_killed_fails_and_the_next_one_works(engine, job, number, reason):
    def kill():
        for trial in trials_of(os.getpid()):
            os.kill(trial, number)
        return True

    listener = Listener(kill)
    outcome = engine.submit(job(FOR_EVER), listener).result(60)
    assert replace(outcome, memory=0) == Outcome("FAILED", reason, listener.heard[0].run)
    assert engine.submit(job(), Listener()).result(60).state == "COMPLETE"


def test_a_trial_that_cannot_be_started_fails(engine, job, monkeypatch):
    def no_process(**_):
        raise OSError("no process is left")

    with monkeypatch.context() as patch:
        patch.setattr(engine._context, "Process", no_process, raising=False)
        outcome = engine.submit(job(), Listener()).result(60)
    assert outcome == Outcome("FAILED", "not started: OSError: no process is left")
    assert engine.submit(job(), Listener()).result(60).state == "COMPLETE"


def test_closing_ends_the_children_and_what_waits(job, tmp_path):
    engine = LocalEngine(2)
    listeners = [Listener() for _ in range(3)]
    futures = [engine.submit(job(FOR_EVER, k), listeners[k]) for k in range(3)]
    eventually(lambda: all(len(listener.heard) > 2 for listener in listeners[:2]))
    assert len(trials_of(os.getpid())) == 2
    engine.close()
    assert trials_of(os.getpid()) == []
    assert [future.result().state for future in futures[:2]] == ["KILLED", "KILLED"]
    assert futures[2].cancelled()
    assert listeners[2].heard == []
    for listener in listeners[:2]:
        end = last_record(tmp_path, listener.heard[0].run)
        assert (end["status"], end["rule"]) == ("KILLED", "interrupted")


def test_children_die_with_a_driver_that_is_killed(job):
    silent = job(FOR_EVER, evaluate_every=f"{FOR_EVER} epochs")  # after the first report
    script = DRIVER.replace("CONFIG", repr(dict(silent.config)))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as driver:
        try:
            eventually(lambda: len(trials_of(driver.pid)) == 2)
            for _ in range(4):  # two that start, two reports
                assert driver.stdout.readline() == b"heard\n"
            family = [*children(driver.pid), *trials_of(driver.pid)]
        finally:
            driver.kill()
    assert len(family) >= 3  # two trials and their server
    try:
        eventually(lambda: not any(alive(pid) for pid in family))
    finally:
        for pid in filter(alive, family):
            os.kill(pid, signal.SIGKILL)


def alive(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_an_engine_has_the_slots_it_was_given(engine):
    assert engine.slots() == 1

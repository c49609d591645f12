"""Real processes are killed; the doctor says so, on disk and in MLflow, and of no living one."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from nnlab.runs.past import glance, reap

pytestmark = pytest.mark.slow
LONG = "stopping.max_epochs.epochs=100000"


@pytest.fixture
def start(lab):
    """Starts a command, and kills it in the end."""
    started = []

    def begin(*arguments):
        context = lab.start(*arguments)
        started.append(context)
        return context.__enter__()

    yield begin
    for context in started:
        context.__exit__(None, None, None)


def eventually(true, seconds=90):
    """Wait until it is."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.2)


def in_mlflow(lab, run):
    """Its status there; None as long as it is not."""
    return lab.status(run) if lab.database.exists() else None


def lose_power(process):
    """Kill a command and its tracking process, which would have said what became of it."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
    (tracker,) = [
        int(pid)
        for pid, parent, command in rows
        if int(parent) == process.pid and "nnlab.tracking.projector" in command
    ]
    os.kill(tracker, signal.SIGKILL)
    process.kill()
    process.wait()


def state(lab, run):
    """What is on disk and in MLflow about how it ended."""
    *_, last = lab.records(run)
    assert last["type"] == "end"
    logged = lab.logged(run)
    assert logged.tags["nnlab.evidence"] == last["evidence"]
    assert "is gone" in last["evidence"]
    return last["status"], logged.status, logged.tags.get("nnlab.trial_state")


def test_a_killed_training_and_a_killed_sweep_become_killed(lab, start):
    lab("train", "data=iris", "stopping.max_epochs.epochs=2")
    known = lab.runs()
    training = start("train", LONG)
    (run,) = lab.wait_for_runs(training, known)
    sweep = start("sweep", "trials=4", "workers=2", LONG)
    trials = lab.wait_for_runs(sweep, lab.runs(), number=2)
    (study,) = lab.runs() - known - {run, *trials}
    everything = {run, study, *trials}
    eventually(lambda: all(in_mlflow(lab, one) == "RUNNING" for one in everything))
    assert lab("doctor").out == "5 runs: all is well\n"
    lose_power(training)
    lose_power(sweep)
    eventually(lambda: "5 runs: 4 died\n" in lab("doctor", code=1).out)
    told = lab("doctor", code=1).out
    assert all(f"(run {one})" in told for one in everything)
    assert f"process {training.pid} is gone, and nobody holds its lock" in told
    assert all(in_mlflow(lab, one) == "RUNNING" for one in everything)
    assert "5 runs: 4 mended, all is well\n" in lab("doctor", "--fix").out
    assert lab("doctor").out == "5 runs: all is well\n"
    assert state(lab, run) == state(lab, study) == ("KILLED", "KILLED", None)
    for trial in trials:
        assert state(lab, trial) == ("KILLED", "KILLED", "KILLED")
    (mlflow,) = {lab.logged(trial).tags["mlflow.parentRunId"] for trial in trials}
    assert mlflow == lab.logged(study).mlflow


def test_a_stopped_run_and_its_copy_are_left_alone(lab, start):
    training = start("train", LONG)
    (run,) = lab.wait_for_runs(training, set())
    eventually(lambda: in_mlflow(lab, run) == "RUNNING")
    training.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, training.pid, os.WSTOPPED | os.WNOWAIT)
    try:
        length = len(lab.records(run))
        assert lab("doctor", "--fix").out == "1 run: all is well\n"
        shutil.copytree(lab.store / "runs" / run, lab.folder / "copy" / "runs" / run)
        told = lab("doctor", "--fix", "--store", "copy", code=1).out
        assert f"process {training.pid} on " in told
        assert " may still write it" in told
        assert len(lab.records(run)) == length
        assert in_mlflow(lab, run) == "RUNNING"
    finally:
        training.send_signal(signal.SIGCONT)
    eventually(lambda: len(lab.records(run)) > length)
    training.send_signal(signal.SIGINT)
    training.communicate(timeout=60)
    eventually(lambda: in_mlflow(lab, run) == "KILLED")
    assert "nnlab.evidence" not in lab.logged(run).tags


def test_two_doctors_at_once(lab, start):
    training = start("train", LONG)
    (run,) = lab.wait_for_runs(training, set())
    eventually(lambda: in_mlflow(lab, run) == "RUNNING")
    lose_power(training)
    doctors = [start("doctor", "--fix") for _ in range(2)]
    for doctor in doctors:
        out, err = doctor.communicate(timeout=120)
        assert (doctor.returncode, err) == (0, ""), out
    assert [one["type"] for one in lab.records(run)].count("end") == 1
    assert state(lab, run) == ("KILLED", "KILLED", None)
    assert lab.rows("SELECT COUNT(*) FROM tags WHERE key = 'nnlab.run'") == [(1,)]


def test_what_another_doctor_began_is_completed(lab, start):
    training = start("train", LONG)
    (run,) = lab.wait_for_runs(training, set())
    eventually(lambda: in_mlflow(lab, run) == "RUNNING")
    lose_power(training)
    assert reap(glance(lab.store / "runs" / run))  # and then its power was lost, too
    assert "1 run: 1 not in MLflow\n" in lab("doctor", code=1).out
    assert "1 run: 1 mended, all is well\n" in lab("doctor", "--fix").out
    assert state(lab, run) == ("KILLED", "KILLED", None)


def test_a_run_whose_directory_is_gone_is_killed_in_mlflow_alone(lab, start):
    training = start("train", LONG)
    (run,) = lab.wait_for_runs(training, set())
    eventually(lambda: in_mlflow(lab, run) == "RUNNING")
    shutil.move(lab.store / "runs" / run, lab.folder / "elsewhere")
    assert lab("doctor", "--fix").out == "0 runs: all is well\n"  # it lives
    assert in_mlflow(lab, run) == "RUNNING"
    lose_power(training)
    assert "0 runs: 1 RUNNING in MLflow, but gone\n" in lab("doctor", code=1).out
    assert "0 runs: 1 mended, all is well\n" in lab("doctor", "--fix").out
    logged = lab.logged(run)
    assert (logged.status, logged.tags["nnlab.status"]) == ("KILLED", "KILLED")
    expected = f"process {training.pid} is gone, and so is its journal"
    assert logged.tags["nnlab.evidence"] == expected
    assert lab("doctor").out == "0 runs: all is well\n"


def test_what_mlflow_has_as_running_though_it_ended_is_mended(lab):
    (run,) = lab("train", "data=iris", "stopping.max_epochs.epochs=2").runs
    end = lab.records(run)[-1]
    lab.change("UPDATE runs SET status = 'RUNNING', end_time = NULL")
    told = lab("doctor", code=1).out
    assert "it is FINISHED by its journal" in told
    assert "1 run: 1 RUNNING in MLflow, but ended\n" in told
    assert "1 run: 1 mended, all is well\n" in lab("doctor", "--fix").out
    assert lab.rows("SELECT status, end_time FROM runs") == [("FINISHED", end["time"])]
    lab.change("UPDATE tags SET value = 'other' WHERE key = 'nnlab.run'")
    assert "1 run: 1 not in MLflow\n" in lab("doctor", code=1).out

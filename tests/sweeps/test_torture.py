"""Sweeps that are killed at any moment, and gone on with by the same command."""

import json
import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

Lab = runpy.run_path(str(Path(__file__).parents[1] / "commands" / "conftest.py"))["Lab"]
pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("NNLAB_KILLS", "10"))
SWEEP = """
experiment: [data=iris, {tracking}, evaluate_every="{every} epochs", \
stopping.max_epochs.epochs={epochs}]
metric: validation/loss
trials: {trials}
workers: {workers}
pruner: {pruner}
parameters:
  optimizer.lr: {lr}
  optimizer.momentum: {momentum}
{more}
"""


DEFAULTS = {
    "tracking": "tracking=none",
    "epochs": 150,
    "every": 15,
    "trials": 40,
    "workers": 2,
    "pruner": "median",
    "lr": "{low: 1e-3, high: 1e-1, log: true}",
    "momentum": "{low: 0.1, high: 0.9}",
    "more": "",
}
GRID = {
    "lr": "{low: 0.01, high: 0.1, step: 0.01}",
    "momentum": "{low: 0.1, high: 0.9, step: 0.2}",
}


@pytest.fixture
def lab(tmp_path):
    """A folder of its own; `lab.sweep(...)` writes its sweep."""
    made = Lab(tmp_path)
    (tmp_path / "sweeps").mkdir()

    def sweep(**settings):
        text = SWEEP.format(**DEFAULTS | settings)
        (tmp_path / "sweeps" / "torture.yaml").write_text(text)

    made.sweep = sweep
    return made


def studies(lab):
    """The journals of studies, the newest last."""
    found = [journal for journal in lab.journals().values() if journal[0]["kind"] == "study"]
    return sorted(found, key=lambda journal: journal[0]["time"])


def of_type(journal, kind):
    return [record for record in journal if record["type"] == kind]


def killed(lab, moments):
    """Run the command again and again; its group is killed so many seconds after each start."""
    for moment in moments:
        with lab.start("sweep", "torture") as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(moment)
                break  # it was done before
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return lab("sweep", "torture")


def what_is_wrong(lab, trials):
    """Counts of everything that must be 0 after a sweep of so many trials."""
    (study,) = studies(lab)
    told, asked = of_type(study, "told"), of_type(study, "asked")
    attempts = {record["run"] for record in of_type(study, "attempt")}
    runs = {run: one for run, one in lab.journals().items() if run != study[0]["run"]}
    points = [str(sorted(record["values"].items())) for record in asked]
    starts = [len(of_type(journal, "start")) for journal in runs.values()]
    numbered = [[line["n"] for line in j] == list(range(len(j))) for j in runs.values()]
    return {
        "missing": len(set(range(trials)) - {record["trial"] for record in told}),
        "told twice": len(told) - len({record["trial"] for record in told}),
        "duplicates": len(points) - len(set(points)),
        "orphans": len(runs.keys() - attempts),
        "zombies": sum(journal[-1]["type"] != "end" for journal in (study, *runs.values())),
        "directories overwritten": sum(count != 1 for count in starts) + numbered.count(False),
    }


def seconds_of(run):
    began = time.monotonic()
    result = run()
    return time.monotonic() - began, result


def test_forty_trials_through_ten_kills(lab, shown):
    """What a kill may cost: all workers train the longest trial again at most (they do so at the
    same time), the command starts once more, and as much again for what the kill cut short."""
    lab.sweep(pruner="none", epochs=700, every=70)
    straight, _ = seconds_of(lambda: lab("sweep", "torture"))
    (journal,) = studies(lab)
    each = [record["seconds"] for record in of_type(journal, "told")]
    idle, _ = seconds_of(lambda: lab("sweep", "torture"))  # what a command takes that runs nothing
    shutil.rmtree(lab.store)

    rng = random.Random(20)
    total, done = seconds_of(
        lambda: killed(lab, [idle + rng.uniform(0.1, 3.0) for _ in range(KILLS)])
    )
    assert "40 complete, 0 pruned, 0 failed" in done.out
    wrong = what_is_wrong(lab, 40)
    assert wrong == dict.fromkeys(wrong, 0)
    overhead, allowed = total - straight, KILLS * (max(each) + 2 * idle)
    shown(
        f"40 trials of {sum(each) / 40:.2f} s, 2 workers, the group killed {KILLS} times",
        "finished 40, " + ", ".join(f"{what} {count}" for what, count in wrong.items()),
    )
    shown(
        "  wall",
        f"{straight:.1f} s straight, {total:.1f} s killed: {overhead / KILLS:.2f} s a kill, of "
        f"which {idle:.2f} s start-up; held: <= {allowed / KILLS:.2f} s, one trial "
        f"({max(each):.2f} s at most) and two start-ups",
    )
    assert overhead <= allowed


MLFLOW = """
import json, sys, warnings
warnings.simplefilter("ignore")
from mlflow.tracking import MlflowClient
client = MlflowClient(sys.argv[1])
every = [one.experiment_id for one in client.search_experiments()]
runs = client.search_runs(every, max_results=1000)
print(json.dumps([{"id": run.info.run_id, "status": run.info.status, **run.data.tags}
                  for run in runs]))
"""


def in_mlflow(lab):
    """What MLflow's own client finds in the store's database, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", MLFLOW, f"sqlite:///{lab.database}"],
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_four_workers_killed_are_the_same_in_mlflow(lab, shown):
    lab.sweep(tracking="tracking=mlflow", workers=4, trials=16, epochs=250, every=25)
    rng = random.Random(4)
    killed(lab, [rng.uniform(2.5, 5.0) for _ in range(4)])
    wrong = what_is_wrong(lab, 16)
    assert wrong == dict.fromkeys(wrong, 0)
    (study,) = studies(lab)
    found = in_mlflow(lab)
    tracked = {run["nnlab.run"]: run for run in found}
    assert tracked.keys() == lab.runs() and len(tracked) == len(found)
    assert {run["status"] for run in found} <= {"FINISHED", "FAILED", "KILLED"}
    assert {record["type"] for record in study} >= {"resumed"}  # it was killed while it ran
    parent = tracked[study[0]["run"]]
    assert parent["status"] == "FINISHED"
    states = {record["run"]: record["state"] for record in of_type(study, "told")}
    assert len(states) == 16
    for run, state in states.items():
        assert tracked[run]["nnlab.trial_state"] == state
        assert tracked[run]["mlflow.parentRunId"] == parent["id"]
    others = [run for run in tracked.keys() - states.keys() if run != study[0]["run"]]
    assert [tracked[run]["status"] for run in others].count("FINISHED") == 0  # given up attempts
    kills = len(of_type(study, "resumed"))
    shown(
        f"16 trials tracked, 4 workers, the group killed {kills} times",
        f"MLflow: {len(found)} runs, 0 RUNNING, all 16 state tags are the study's",
    )


def proposals(lab):
    """What was tried and what came of it, in the order of the trials."""
    (*_, study) = studies(lab)
    asked = {record["trial"]: record["values"] for record in of_type(study, "asked")}
    ended = of_type(study, "told")
    told = {record["trial"]: (record["state"], record["values"]) for record in ended}
    return [(asked[k], told[k]) for k in sorted(asked)]


def kill_after(lab, count):
    """Run the command, and kill its group once so many trials have ended."""
    with lab.start("sweep", "torture") as process:
        deadline = time.monotonic() + 120
        while process.poll() is None:
            assert time.monotonic() < deadline
            found = studies(lab) if lab.store.is_dir() else []
            if found and len(of_type(found[-1], "told")) >= count:
                os.killpg(process.pid, signal.SIGKILL)
                break
            time.sleep(0.01)
        process.wait()


SAMPLERS = {
    "tpe": (30, (7, 15, 22)),
    "random": (30, (7, 15, 22)),
    "qmc": (30, (7, 15, 22)),
    "grid": (30, (7, 15, 22)),
    "{name: cmaes, population: 4}": (14, (5, 10)),
    "{name: nsga2, population: 4}": (14, (5, 10)),
}
"""Trials, and after how many it is killed."""


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_trials_resumed_are_those_of_an_uninterrupted_sweep(lab, shown, sampler):
    trials, kills = SAMPLERS[sampler]
    grid = GRID if sampler == "grid" else {}
    lab.sweep(more=f"sampler: {sampler}", trials=trials, workers=1, **grid)
    lab("sweep", "torture", "--fresh")
    straight = proposals(lab)
    states = [told[0] for _, told in straight]
    assert len(straight) == trials and "PRUNED" in states
    lab("sweep", "torture", "--fresh", "trials=1")  # a new study, which is gone on with
    for count in kills:
        kill_after(lab, count)
    lab("sweep", "torture")
    assert proposals(lab) == straight
    shown(
        f"{trials} trials of {sampler}, 1 worker, killed after {str(kills)[1:-1]}",
        f"as uninterrupted: {states.count('COMPLETE')} complete, {states.count('PRUNED')} pruned",
    )


def test_a_deterministic_sweep_is_the_same_with_one_two_and_four_workers(lab, shown):
    lab.sweep(more="deterministic: true\nlag: 4", trials=24)
    found, idle = {}, {}
    for workers in (1, 2, 4):
        done = lab("sweep", "torture", f"workers={workers}", "--fresh")
        found[workers] = proposals(lab)
        idle[workers] = done.out.partition("workers were idle for ")[2].split("\n")[0]
    assert found[1] == found[2] == found[4]
    assert any(told[0] == "PRUNED" for _, told in found[1])
    shown("deterministic, lag 4: 1, 2 and 4 workers", f"identical; idle {idle}")

"""`nnlab sweep engine=vectorized` as a user runs it: killed, gone on with, and reproduced."""

import os
import signal

import pytest

SWEEP = """
experiment: [data=digits, stopping.max_epochs.epochs=12, penalty=l2,
  checkpoint_every="3 epochs"]
metric: validation/loss
sampler: random
pruner: none
trials: 6
workers: 1
engine: vectorized
trials_per_worker: 4
parameters:
  optimizer.lr: {low: 1e-3, high: 1e-1, log: true}
  optimizer.momentum: {low: 0.1, high: 0.9}
"""


@pytest.mark.slow
def test_a_killed_vectorised_sweep_goes_on_and_its_trials_are_reproduced(lab, trained):
    (lab.folder / "sweeps").mkdir(exist_ok=True)
    known = lab.runs()
    (lab.folder / "sweeps" / "stacks.yaml").write_text(SWEEP)
    with lab.start("sweep", "stacks") as process:
        lab.wait_for_runs(process, known, 4)
        os.killpg(process.pid, signal.SIGKILL)
    said = lab("sweep", "stacks").out
    assert "6 complete, 0 pruned, 0 failed" in said
    starts = {run: lab.records(run)[0] for run in lab.runs() - known}
    (study,) = (run for run, start in starts.items() if start["kind"] == "study")
    trials = sorted(
        (int(start["tags"]["nnlab.trial"]), run)
        for run, start in starts.items()
        if start["kind"] == "trial"
    )
    assert [number for number, _ in trials] == list(range(6))  # none begun anew
    told = [record for record in lab.records(study) if record["type"] == "told"]
    assert sorted(record["trial"] for record in told) == list(range(6))
    resumed = [run for _, run in trials if any(r["type"] == "resumed" for r in lab.records(run))]
    assert len(resumed) >= 3  # the stack that was killed
    said = lab("reproduce", resumed[0]).out
    assert "identical: the run is reproduced bit for bit" in said

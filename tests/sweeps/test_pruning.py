"""What pruning saves on MNIST, and what it costs: the same trials with and without it."""

import os
import runpy
from pathlib import Path

import pytest

Lab = runpy.run_path(str(Path(__file__).parents[1] / "commands" / "conftest.py"))["Lab"]
HERE = Path(__file__).resolve().parents[3] / "shared" / "data"
DATA = Path(os.environ.get("NNLAB_DATA", HERE)).expanduser()
FILE = "mnist/train-images-idx3-ubyte.gz"
EXAMPLES, EPOCHS, TRIALS = 10_000, 9, 18
SWEEP = f"""
experiment: [data=mnist, preparation=subset, preparation.subset.n={EXAMPLES}, tracking=none,
  "model.hidden=[32]", batch_size=64, stopping.max_epochs.epochs={EPOCHS}]
metric: validation/accuracy_ema
direction: maximize
sampler: random
trials: {TRIALS}
workers: 2
deterministic: true
parameters:
  optimizer.lr: {{low: 1e-4, high: 1.0, log: true}}
  optimizer.momentum: {{low: 0.0, high: 0.95}}
"""
PRUNERS = {"none": "none", "halving": "{name: halving, first: 2, factor: 2}"}
"""Evaluation 1 is of the untrained network: after epochs 1, 3, 7 the better half goes on."""


def swept(lab, pruner):
    """The journal of the sweep with that pruner: its records of trials, by type."""
    (lab.folder / "sweeps").mkdir(exist_ok=True)
    text = f"{SWEEP}pruner: {PRUNERS[pruner]}\n"
    (lab.folder / "sweeps" / f"{pruner}.yaml").write_text(text)
    lab("sweep", pruner, NNLAB_DATA=str(DATA))
    for run in lab.runs():
        first, *records = lab.records(run)
        if first["kind"] == "study" and first["params"]["sweep.name"] == pruner:
            order = sorted(records, key=lambda record: record.get("trial", -1))
            return [[one for one in order if one["type"] == kind] for kind in ("asked", "told")]
    raise AssertionError(f"no study of {pruner}")


def cost_and_best(told):
    """Epochs of all trials, and the best accuracy of a complete one."""
    best = max(record["values"][0] for record in told if record["state"] == "COMPLETE")
    return sum(record["epochs"] for record in told), best


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / FILE).is_file(), reason=f"MNIST is not there: NNLAB_DATA/{FILE}")
def test_pruning_saves_two_fifths_of_the_epochs_and_half_a_point_at_most(tmp_path, shown):
    lab = Lab(tmp_path)
    asked, told = swept(lab, "none")
    assert [record["state"] for record in told] == ["COMPLETE"] * TRIALS
    whole, best = cost_and_best(told)
    assert whole == TRIALS * EPOCHS
    again, told = swept(lab, "halving")
    assert [record["values"] for record in again] == [record["values"] for record in asked]
    epochs, found = cost_and_best(told)
    pruned = sum(record["state"] == "PRUNED" for record in told)
    shown(
        f"MNIST, {EXAMPLES:,} examples, {TRIALS} random trials of {EPOCHS} epochs, halving",
        f"{pruned} pruned, {epochs / whole:.0%} of the epochs, best validation accuracy "
        f"{found:.2%} ({best:.2%} without)",
    )
    assert epochs <= 0.6 * whole
    assert found >= best - 0.005

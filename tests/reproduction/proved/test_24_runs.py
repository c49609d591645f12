"""Runs of every kind are reproduced bit for bit, from the tracker alone, in a hostile environment.

Thirteen pair the components at random, so that each is in one of them at least; the others are what
else can become of a run. Their directories are gone when they are reproduced. Each has a process of
its own, but for the trials of the sweep: those are reproduced by one command, one after another.
"""

import random
import shutil
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
import yaml

from nnlab.runs.registry import GROUPS

pytestmark = pytest.mark.slow

PAIRED = (
    *("optimizer", "loss", "penalty", "model", "averaging", "schedule", "warmup", "clipping"),
    "initialiser",
)
"""The groups of which every component is in some run."""
REGRESSION = ("mse", "half_mse", "huber")
DATA = ("iris", "wine", "digits", "breast_cancer")
SETTINGS = {
    "lbfgs": ("batch_size=1000000000", "optimizer.iterations=5"),
    "swa": ("averaging.start=50%",),
}
UNCLIPPED = ("lbfgs", "random_search", "random_local_search")
"""The optimizers that take no clipped gradient."""
HASHES = ("weights", "averaged", "data", "batches")


def paired():
    """Experiments that have every component of those groups, at random but always the same."""
    rng = random.Random(6)
    rows = max(len(GROUPS[group]) for group in PAIRED)
    columns = {}
    for group in PAIRED:
        names = sorted(GROUPS[group])
        columns[group] = rng.sample(names, len(names)) + rng.choices(names, k=rows - len(names))
        rng.shuffle(columns[group])
    for k, data in zip(range(rows), cycle(DATA), strict=False):
        chosen = {group: columns[group][k] for group in PAIRED}
        if chosen["optimizer"] in UNCLIPPED:
            chosen["clipping"] = "none"
        data = "diabetes" if chosen["loss"] in REGRESSION else data
        name = ", ".join((*(chosen[group] for group in PAIRED[:5]), data))
        yield (
            name,
            (
                *(f"{group}={choice}" for group, choice in chosen.items()),
                *(more for choice in chosen.values() for more in SETTINGS.get(choice, ())),
                *(f"data={data}", f"seed={k}", "stopping.max_epochs.epochs=2"),
            ),
        )


TOGETHER = {  # trained in one process; what is said of their end
    **{name: (overrides, "max_epochs") for name, overrides in paired()},
    "stopped early by patience": (
        (
            *("data=iris", "optimizer.lr=0.5", "stopping=[max_epochs,patience]"),
            *("stopping.patience.evaluations=2", "stopping.max_epochs.epochs=200"),
        ),
        "patience",
    ),
    "stopped by its time budget": (
        (
            *("stopping=[max_epochs,time_budget]", "stopping.max_epochs.epochs=1000000"),
            *("stopping.time_budget.seconds=0.3", "evaluate_every=2 epochs", "averaging=none"),
        ),
        "time_budget",
    ),
    "three folds of two seeds": (
        (
            *("data=iris", "validation=kfold", "validation.folds=3", "seeds=2"),
            "stopping.max_epochs.epochs=2",
        ),
        "max_epochs",
    ),
    "float64, smoothed labels, weighted classes": (
        (
            *("dtype=float64", "label_smoothing=uniform", "weighting=balanced"),
            *("optimizer=adam", "preparation=[pca]", "stopping.max_epochs.epochs=2"),
        ),
        "max_epochs",
    ),
    "batch norm, dropout, mixup, resampled": (
        (
            *("model.batch_norm=true", "model.dropout=0.2", "augmentation=[shift,mixup]"),
            *("preparation=[smote]", "stopping.max_epochs.epochs=2"),
        ),
        "max_epochs",
    ),
    "a table of the user's, which was moved": (
        (
            *("data=table", "data.path=own.csv", "data.target=kind", "averaging=swa"),
            *("stopping=[max_steps]", "stopping.max_steps.steps=9", "evaluate_every=2 steps"),
        ),
        "max_steps",
    ),
    "diverged": (("data=iris", "optimizer.lr=1e30", "stopping.max_epochs.epochs=2"), "diverged"),
}
ALONE = {"killed by kill -9 and resumed": "max_epochs", "the portable kernel": "max_epochs"}
STACKED = {
    "a vectorised trial": "max_epochs",
    "a vectorised trial that was pruned": "pruned",
}
"""Trials of one sweep; others of another seed were in the same theta."""
ENDS = {**{name: rule for name, (_, rule) in TOGETHER.items()}, **ALONE, **STACKED}

HOSTILE = (
    {
        "OPENBLAS_NUM_THREADS": "7",
        "OMP_NUM_THREADS": "3",
        "OPENBLAS_CORETYPE": "Prescott",
        "PYTHONHASHSEED": "1",
        "LC_ALL": "tr_TR.UTF-8",
        "LANG": "tr_TR.UTF-8",
        "TZ": "Pacific/Kiritimati",
    },
    {
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 AVX2 FMA3",
        "OPENBLAS_CORETYPE": "Sandybridge",
        "GOTO_NUM_THREADS": "5",
        "PYTHONWARNINGS": "always",
        "PYTHONHASHSEED": "4294967295",
        "COLUMNS": "20",
    },
    {
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA",
        "OPENBLAS_BLOCK_FACTOR": "30",
        "MKL_CBWR": "COMPATIBLE",
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "TZ": "America/St_Johns",
    },
)
"""What a caller's environment may say."""


@pytest.fixture(scope="module")
def runs(lab, train_each, tmp_path_factory):
    """The run of each case. Their directories, and the table that one of them read, are moved."""
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(size=(60, 3)).round(3), np.arange(60) % 2])
    table = lab.folder / "own.csv"
    np.savetxt(table, rows, "%g", ",", header="a,b,c,kind", comments="")
    found = train_each({name: overrides for name, (overrides, _) in TOGETHER.items()})
    found["killed by kill -9 and resumed"] = killed(lab)
    study, stack = vectorised(lab)
    for name, state in zip(STACKED, ("COMPLETE", "PRUNED"), strict=True):
        found[name] = stack[state][0]
    short = ("runtime=portable", "stopping.max_epochs.epochs=2")
    (found["the portable kernel"],) = lab("train", *short).runs
    lab.wait_until_none_runs()
    gone = tmp_path_factory.mktemp("gone")
    for name in (table, lab.store / "runs"):
        shutil.move(name, gone)
    return found, gone / "own.csv", study


def killed(lab):
    """A training that was killed in the middle and has gone on to its end."""
    known = lab.runs()
    long = ("stopping.max_epochs.epochs=120", "evaluate_every=2 epochs")
    with lab.start("train", *long, "checkpoint_every=3 epochs") as process:
        (run,) = lab.wait_for_runs(process, known)
        process.kill()
        assert process.wait(timeout=60) == -9
    assert "end" not in [record["type"] for record in lab.records(run)]
    done = lab("train", "--resume", run)
    assert "going on at step" in done.out
    return run


def vectorised(lab):
    """A sweep whose four trials are trained in one theta `(4, P)`, until the two that learn next to
    nothing are pruned: its run, and theirs by their state."""
    known = lab.runs()
    lab(
        *("sweep", "engine=vectorized", "trials_per_worker=4", "workers=1", "sampler=grid"),
        *("data=iris", "stopping.max_epochs.epochs=8", "optimizer.lr=choice(0.0001,0.1)"),
        *("seed=choice(0,1)", "optimizer.momentum=0.9", "penalty.l2=0.001"),
        "pruner={name: threshold, high: 0.9, warmup: 2}",
    )
    started = {run: lab.records(run)[0] for run in lab.runs() - known}
    (study,) = (run for run, start in started.items() if start["kind"] == "study")
    trials = {run: start for run, start in started.items() if start["kind"] == "trial"}
    assert len({start["owner"]["pid"] for start in trials.values()}) == 1  # the one child
    found = {}
    for run in trials:
        tagged = [r["tags"] for r in lab.records(run) if r["type"] == "tags"]
        (state,) = (tags["nnlab.trial_state"] for tags in tagged if "nnlab.trial_state" in tags)
        found.setdefault(state, []).append(run)
    assert {state: len(runs) for state, runs in found.items()} == {"COMPLETE": 2, "PRUNED": 2}
    return study, found


@pytest.fixture(scope="module")
def reproduced(runs, reproduce, wanted):
    """What will be said of each: `reproduced(name)`; and of all trials of the sweep."""
    found, table, study = runs
    every = {"the sweep": (study, "--all")}
    for name, run in found.items():
        if name not in STACKED:
            every[name] = (run, "--data", str(table)) if "table" in name else (run,)
    told = reproduce(
        {
            name: wanted(run, arguments, HOSTILE[k % len(HOSTILE)])
            for k, (name, (run, *arguments)) in enumerate(every.items())
        }
    )

    def of(name):
        if name not in STACKED:
            return told[name].result()
        whole = told["the sweep"].result()
        (report,) = (one for one in whole.report["trials"] if one["original"]["run"] == found[name])
        return replace(whole, report=report)

    return of


@pytest.mark.parametrize(("name", "rule"), ENDS.items(), ids=ENDS)
def test_a_run_is_reproduced_bit_for_bit(lab, runs, reproduced, shown, name, rule):
    told, original = reproduced(name), lab.logged(runs[0][name])
    assert original.tags["nnlab.stop_rule"] == rule
    assert told.code == 0, told.shown
    report = told.report
    assert (report["verdict"], report["differing"], report["cause"]) == ("identical", 0, [])
    assert report["original"]["run"] == runs[0][name]
    measured = {(key, step) for key, step, *_ in original.points if not key.startswith("time/")}
    assert report["points"] >= len(measured) > 0
    assert all(report["hashes"][f"nnlab.{what}_sha256"]["equal"] for what in HASHES)
    arrays = report["parameters"]
    assert arrays and all(one["equal"] for one in arrays.values())
    assert report["stop"]["now"]["step"] == max(step for _, step, *_ in original.points)
    said = "4 identical" if name in STACKED else "identical: the run is reproduced bit for bit"
    assert said in told.shown
    what = f"{report['points']} points, {len(arrays)} arrays"
    shown(name, f"identical: {what}, {told.seconds:.0f} s")


@pytest.mark.parametrize("group", PAIRED)
def test_every_component_is_in_a_run(lab, runs, group):
    """A new one that is in none of them is missing here."""
    logged = (lab.logged(run).artifacts / "config.yaml" for run in runs[0].values())
    found = {yaml.safe_load(file.read_text())[group]["name"] for file in logged}
    assert found == set(GROUPS[group])


def test_there_are_24_of_them():
    assert len(ENDS) >= 24

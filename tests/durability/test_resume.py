"""Trainings that are killed at any instant go on to the same bits: real processes, kill -9."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import yaml

pytestmark = pytest.mark.slow

HASHES = tuple(f"nnlab.{what}_sha256" for what in ("weights", "averaged", "data", "batches"))
SETTINGS = {  # each with a checkpoint every so often, which the kills come between
    "momentum, ema": (
        "data=iris",
        "stopping.max_epochs.epochs=60",
        "checkpoint_every=7 steps",
    ),
    "adam, batch norm, dropout, plateau, patience": (
        *("optimizer=adam", "model.batch_norm=true", "model.dropout=0.2"),
        *("schedule=reduce_on_plateau", "schedule.evaluations=3"),
        *("stopping=[max_epochs,patience]", "stopping.patience.evaluations=12"),
        *("stopping.max_epochs.epochs=30", "checkpoint_every=0.05 seconds"),
    ),
    "swa, nag, evaluated by steps": (
        *("data=iris", "averaging=swa", "averaging.start=50 steps", "averaging.every=3 steps"),
        *("optimizer=nag", "evaluate_every=10 steps", "checkpoint_every=1 epoch"),
        "stopping.max_epochs.epochs=60",
    ),
    "random search": (
        *("optimizer=random_search", "checkpoint_every=0.05 seconds"),
        "stopping.max_epochs.epochs=15",
    ),
    "lbfgs": (
        *("data=iris", "optimizer=lbfgs", "batch_size=999", "checkpoint_every=1 epoch"),
        "stopping.max_epochs.epochs=25",
    ),
    "folds": (
        *("data=iris", "validation=kfold", "validation.folds=3", "checkpoint_every=7 steps"),
        "stopping.max_epochs.epochs=15",
    ),
    "seeds, patience": (
        *("data=iris", "seeds=2", "checkpoint_every=1 epoch", "optimizer.lr=0.5"),
        *("stopping=[max_epochs,patience]", "stopping.patience.evaluations=3"),
        "stopping.max_epochs.epochs=25",
    ),
    "float64, never saved": (
        *("data=diabetes", "loss=mse", "dtype=float64", "optimizer.lr=0.001"),
        *("checkpoint_every=never", "stopping.max_epochs.epochs=60"),
    ),
    "cosine, warm-up, adamw, regression": (
        *("data=diabetes", "loss=mse", "optimizer=adamw", "schedule=cosine", "warmup=linear"),
        *("checkpoint_every=5 steps", "stopping.max_epochs.epochs=12"),
    ),
}
KILLS = 50


def records(path):
    """The whole lines of a run's journal, and that they are numbered without a gap."""
    text = (path / "journal.jsonl").read_text()
    lines = [json.loads(one) for one in text.splitlines(keepends=True) if one.endswith("\n")]
    assert [line["n"] for line in lines] == list(range(len(lines)))
    return lines


def outcome(path):
    """All that must be equal: each report, the end, the hashes, the weights; of nested runs too."""
    lines = records(path)
    reports = [line for line in lines if line["type"] == "report"]
    steps = [report["step"] for report in reports]
    assert steps == sorted(set(steps)), "a step is there twice, or in disorder"
    tags = {
        key: value
        for line in lines
        if line["type"] == "tags"
        for key, value in line["tags"].items()
    }
    nested = [outcome(path.with_name(line["run"])) for line in lines if line["type"] == "member"]
    weights = {}
    if not nested:
        with np.load(path / "weights.npz", allow_pickle=False) as arrays:
            weights = {
                key: (str(one.dtype), one.shape, one.tobytes()) for key, one in arrays.items()
            }
    last = lines[-1]
    assert last["type"] == "end"
    return {
        "reports": [(one["step"], one["metrics"], one.get("stop")) for one in reports],
        "end": [last[key] for key in ("status", "rule", "reason")],
        "hashes": [tags[key] for key in HASHES],
        "weights": weights,
        "nested": nested,
    }


def begun(store):
    """The runs that have a journal with something in it, those that are nested in others apart."""
    paths = [journal.parent for journal in store.glob("runs/*/journal.jsonl")]
    return [one for one in paths if (lines := records(one)) and lines[0]["parent"] is None]


def killed_after(lab, seconds, *arguments):
    """Run a command, kill -9 it and its children after that time; did it end before?"""
    with lab.start(*arguments) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return False
        assert process.returncode == 0, process.stderr.read()
        return True


@pytest.fixture(scope="session")
def make_lab(tmp_path_factory):
    """Makes empty folders to run commands in."""
    from runpy import run_path

    Lab = run_path(str(Path(__file__).parents[1] / "commands" / "conftest.py"))["Lab"]
    return lambda name: Lab(tmp_path_factory.mktemp(name))


@pytest.fixture(scope="session")
def whole(make_lab):
    """Each setting trained in one go: its outcome and how long it took."""

    def train(overrides):
        lab, began = make_lab("whole"), time.monotonic()
        (run,) = lab("train", "tracking=none", *overrides).runs
        return outcome(lab.store / "runs" / run), time.monotonic() - began

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(SETTINGS, pool.map(train, SETTINGS.values()), strict=True))


def test_the_settings_end_by_patience_too(whole):
    assert {result["end"][1] for result, _ in whole.values()} == {"max_epochs", "patience"}
    assert len(whole["folds"][0]["nested"]) == 3


def test_killed_at_any_of_50_instants_a_training_goes_on_to_the_same_bits(whole, make_lab, shown):
    def kill(number, setting):
        rng = random.Random(number)
        expected, seconds = whole[setting]
        while True:
            lab = make_lab(f"killed-{number}")
            if killed_after(
                lab, rng.uniform(0.2, seconds), "train", "tracking=none", *SETTINGS[setting]
            ):
                continue
            if runs := begun(lab.store):
                break  # else it was killed before there was anything to go on with
        (run,) = runs
        resume = ("train", "--resume", run.name[:8])
        step = max((one["step"] for one in records(run) if one["type"] == "report"), default=-1)
        saved, twice = bool(list(lab.store.glob("runs/*/checkpoints/step-*"))), False
        completed = False
        if not any(one["type"] == "end" for one in records(run)):
            if number % 2:
                twice = not killed_after(lab, rng.uniform(0.2, seconds), *resume)
            if not any(one["type"] == "end" for one in records(run)):
                lab(*resume)
                completed = True
        assert outcome(run) == expected, f"{setting}, killed at step {step}, twice: {twice}"
        assert begun(lab.store) == [run]
        # a kill may come between a run's end and the removal of its checkpoints
        assert not (completed and list(lab.store.glob("runs/*/checkpoints")))
        return saved, twice

    with ThreadPoolExecutor(2) as pool:
        jobs = list(zip(range(KILLS), cycle(SETTINGS), strict=False))
        results = list(pool.map(lambda job: kill(*job), jobs))
    saved, twice = (sum(column) for column in zip(*results, strict=True))
    assert saved > KILLS / 4 and twice > 5, "the kills came too early or too late to show anything"
    shown(
        "kill -9 at any instant, then --resume",
        f"{len(results)} of {KILLS} to the same bits; "
        f"{saved} from a checkpoint, {twice} killed twice",
    )


PRINTING = """
import sys, time
from nnlab.runs.compose import compose
from nnlab.runs.config import parse
from nnlab.runs.execution import Execution
from nnlab.runs.run import Run

config = parse(compose(["data=iris", "tracking=none", "evaluate_every=1 step",
                        "stopping.max_epochs.epochs=1000000", "checkpoint_every=0.2 seconds"]))
execution = Execution(config)
with Run.of(config, "train") as run, execution.recorded(run) as reports:
    print(run.path, flush=True)
    for report in reports:
        print(report.step, time.monotonic(), flush=True)
        time.sleep(0.001)
"""


def test_no_record_is_lost_that_was_yielded_100_ms_before_a_kill(make_lab, shown):
    def kill(number):
        lab, rng = make_lab("printing"), random.Random(number)
        output = lab.folder / "output.txt"
        with (
            output.open("wb") as file,
            subprocess.Popen(
                [sys.executable, "-c", PRINTING], cwd=lab.folder, stdout=file
            ) as process,
        ):
            while b"\n" not in output.read_bytes():
                assert process.poll() is None
                time.sleep(0.02)
            time.sleep(rng.uniform(0.1, 0.8))
            killed = time.monotonic()
            process.kill()
        path, *lines = output.read_text().splitlines(keepends=True)
        said = [line.split() for line in lines if line.endswith("\n")]
        written = {
            one["step"] for one in records(lab.folder / path.strip()) if one["type"] == "report"
        }
        lost = [killed - float(moment) for step, moment in said if int(step) not in written]
        return len(said), max(lost, default=0.0)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(kill, range(20)))
    number, latest = sum(each for each, _ in results), max(age for _, age in results)
    assert number > 1000
    assert latest < 0.1
    shown(
        "records yielded > 100 ms before a kill -9",
        f"0 lost of {number:,}; the oldest that was lost: {1000 * latest:.0f} ms",
    )


# a sweep's trials


SWEEP = ("sweep", "trials=2", "workers=2", "pruner=none", "sampler=random", "tracking=none")
SWEEP += ("data=iris", "stopping.max_epochs.epochs=300", "checkpoint_every=20 steps")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda how: how.name)
def test_the_trials_of_a_sweep_go_on_to_the_same_bits(make_lab, how, shown):
    lab = make_lab("sweep")
    with lab.start(*SWEEP) as process:
        found = set()
        while len(found) < 2 and process.poll() is None:
            time.sleep(0.02)
            found = {path for path in lab.store.glob("runs/*") if trial(path)}
        os.killpg(process.pid, how)
        process.communicate(timeout=120)
    if how == signal.SIGINT:
        assert process.returncode == 130

    def equal(path):
        deadline = time.monotonic() + 20
        while still_written(path):  # a child ends with its parent, a moment later
            assert time.monotonic() < deadline
            time.sleep(0.05)
        begun_before = records(path)
        lab("train", "--resume", path.name)
        lines = records(path)
        assert lines[: len(begun_before)] == begun_before
        tags = [one["tags"].get("nnlab.trial_state") for one in lines if one["type"] == "tags"]
        assert [tag for tag in tags if tag][-1] == "COMPLETE"
        config = yaml.safe_load((path / "config.yaml").read_text())
        changed = [f"{key}={value!r}" for key, value in flat(config) if key.startswith(DRAWN)]
        assert len(changed) == 3
        (alone,) = lab("train", *SWEEP[5:], *EXPERIMENT, *changed).runs
        assert outcome(path) == outcome(path.with_name(alone))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(equal, found))
    shown(f"trials of a sweep after {how.name}, then --resume", "2 of 2 to the same bits")


EXPERIMENT = ("model=mlp", "loss=cross_entropy", "penalty=l2", "optimizer=momentum")
DRAWN = ("optimizer.lr", "optimizer.momentum", "penalty.l2")


def trial(path):
    """Is that the directory of a trial that has come some way?"""
    with suppress(FileNotFoundError, json.JSONDecodeError, IndexError):
        lines = records(path)
        return lines[0]["kind"] == "trial" and any(
            line["type"] == "report" and line["step"] > 100 for line in lines
        )
    return False


def still_written(path):
    from nnlab.runs.journal import being_written

    return being_written(path / "journal.jsonl")


def flat(config, prefix=""):
    """Dotted keys and values."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


# a store that was moved


def test_a_run_goes_on_where_its_store_has_been_moved_to(make_lab, whole):
    setting = "momentum, ema"
    expected, _ = whole[setting]
    lab = make_lab("moved")
    with lab.start("train", "tracking=none", *SETTINGS[setting]) as process:
        (run,) = lab.wait_for_runs(process, set())
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    shutil.move(lab.store, lab.folder / "elsewhere")
    lab("train", "--resume", run, "--store", "elsewhere")
    assert outcome(lab.folder / "elsewhere" / "runs" / run) == expected
    assert not lab.store.exists()

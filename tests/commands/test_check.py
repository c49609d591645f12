"""`nnlab check`, and `preflight=true` in trainings and sweeps."""

import subprocess
import sys
from pathlib import Path

import pytest

IRIS = ("data=iris", "model=linear")
RED = (*IRIS, "initialiser=zeros", "model=mlp", "model.hidden=[8]")
SOUND = {
    "the default": (),
    "numerical gradients": ("gradient=numerical", "dtype=float64", "data=iris"),
    "k-fold": (*IRIS, "validation=kfold"),
    "seeds": (*IRIS, "seeds=3"),
    "regression": ("data=diabetes", "loss=mse", "model=linear", "optimizer.lr=0.002"),
    "l-bfgs": (*IRIS, "optimizer=lbfgs", "batch_size=1000000000"),
    "random search": (*IRIS, "optimizer=random_search"),
    "an experiment of conf/": ("+experiment=ridge_diabetes",),
}
BAD = {
    "an unknown key": (("optimizer.lrr=1",), "optimizer.lrr is not a key of the config"),
    "out of range": (("optimizer.lr=-1",), "`lr > 0` must hold, but got lr=-1.0 (optimizer.lr)"),
    "not an override": (("iris",), "not an override"),
    "parts that do not fit": (("data=diabetes",), "the loss needs class labels"),
    "an unknown option": (("--multirun",), "nnlab check has no option --multirun"),
}


def bare(lab):
    """Is nothing left in the folder?"""
    return not list(lab.folder.iterdir())


def preflight(lab, run):
    return lab.store / "runs" / run / "preflight.txt"


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(overrides, id=name, marks=pytest.mark.slow if k > 0 else ())
        for k, (name, overrides) in enumerate(SOUND.items())
    ],
)
def test_a_sound_experiment_is_green_and_nothing_is_left(bench, overrides):
    done = bench("check", *overrides)
    *lines, last = done.out.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    assert last == f"{len(lines)} of {len(lines)} checks are green"
    assert not done.err
    assert bare(bench)


def test_a_red_line_names_the_cure_and_the_exit_code_is_1(bench):
    done = bench("check", *RED, code=1)
    (line,) = [line for line in done.out.splitlines() if line.startswith("RED  initial weights")]
    assert line.endswith("choose initialiser=he")
    assert bare(bench)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(*row, id=name, marks=pytest.mark.slow if k > 1 else ())
        for k, (name, row) in enumerate(BAD.items())
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(bench, arguments, message):
    done = bench("check", *arguments, code=2)
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not done.out
    assert bare(bench)


def test_help_says_how_it_is_used(bench):
    done = bench("check", "--help")
    assert done.out.startswith("usage: nnlab check [--plugin MODULE] [OVERRIDE ...]")
    assert "exit code" in done.out
    assert bare(bench)


def test_a_reader_that_has_read_enough_is_no_error(bench):
    command = f"{Path(sys.executable).with_name('nnlab')} check data=iris | head -1"
    done = subprocess.run(
        command, shell=True, cwd=bench.folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("ok   examples")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_card_of_a_training_is_kept_and_is_an_artifact(lab, trained):
    arguments = (*IRIS, "tracking=mlflow", "stopping.max_epochs.epochs=2", "preflight=true")
    done = lab("train", *arguments)
    (run,) = done.runs
    card = preflight(lab, run).read_text()
    assert "checks are green (preflight.txt)" in done.out
    assert card == lab("check", *arguments).out
    logged = lab.logged(run)
    assert logged.status == "FINISHED"
    assert logged.params["preflight"] == "True"
    assert (logged.artifacts / "preflight.txt").read_text() == card


@pytest.mark.slow
def test_a_red_card_ends_the_run_before_its_first_step(lab, trained):
    done = lab("train", *RED, "tracking=mlflow", "preflight=true", code=1)
    (run,) = done.runs
    assert "checks are red" in done.err
    assert "choose initialiser=he" in done.err
    assert "RED  initial weights" in preflight(lab, run).read_text()
    assert not [record for record in lab.records(run) if record["type"] == "report"]
    assert not list((lab.store / "runs" / run).glob("*.npz"))
    logged = lab.logged(run)
    assert logged.status == "FAILED"
    assert not [key for key, *_ in logged.points if key.startswith(("train/", "validation/"))]
    assert (logged.artifacts / "preflight.txt").exists()


@pytest.mark.slow
def test_checking_changes_no_bit_of_a_training(bench):
    arguments = ("data=iris", "tracking=none", "stopping.max_epochs.epochs=3")
    (plain,) = bench("train", *arguments).runs
    (checked,) = bench("train", *arguments, "preflight=true").runs

    def reports(run):
        return [
            (record["step"], record["metrics"])
            for record in bench.records(run)
            if record["type"] == "report"
        ]

    assert reports(plain) == reports(checked)
    assert len(reports(plain)) == 4
    assert not preflight(bench, plain).exists()


@pytest.mark.slow
def test_trials_of_a_sweep_are_checked(lab, trained):
    known = lab.runs()
    lab("sweep", "trials=2", "preflight=true", "data=iris", "stopping.max_epochs.epochs=3")
    cards = [preflight(lab, run) for run in lab.runs() - known]
    assert sum("checks are green" in card.read_text() for card in cards if card.exists()) == 2


@pytest.mark.slow
def test_members_of_folds_and_seeds_are_trained_after_one_card(bench):
    arguments = (*IRIS, "tracking=none", "preflight=true", "stopping.max_epochs.epochs=2")
    done = bench("train", *arguments, "seeds=2")
    assert preflight(bench, done.runs[0]).exists()
    assert len(list(bench.store.glob("runs/*/preflight.txt"))) == 1

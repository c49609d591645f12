import hashlib
import json
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

CONF = Path(__file__).parents[2] / "conf"
RAISING = """
import sys

from nnlab.cli import main
from nnlab.training.trainer import Training

whole = Training.events


def events(self, *arguments):
    yield next(whole(self, *arguments))
    raise ArithmeticError("the sky fell")


Training.events = events
sys.argv[0] = "nnlab"
main()
"""


def flat(config, prefix=""):
    """Dotted keys and values, as texts."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def reported(records):
    """(key, step, value, time) of every metric in a journal."""
    return {
        (key, record["step"], float(value), record["time"])
        for record in records
        if record["type"] == "report"
        for key, value in (record["metrics"] | {"time/seconds": record["seconds"]}).items()
    }


def values(points):
    return {(key, step, value, time) for key, step, value, time, _ in points}


def wait_until_killed(lab, run):
    """Wait for the tracking process, which goes on by itself."""
    deadline = time.monotonic() + 60
    while lab.status(run) != "KILLED":
        assert time.monotonic() < deadline, lab.status(run)
        time.sleep(0.2)


@pytest.fixture(scope="module")
def run(trained):
    (run,) = trained.runs
    return run


@pytest.fixture(scope="module")
def logged(lab, run):
    return lab.logged(run)


def test_it_prints_its_results_and_where_they_are(trained, run, logged):
    assert trained.out.startswith(f"{logged.name}  run {run}\n")
    for part in ("train", "validation", "test"):
        assert re.search(rf"^{part}( +[\d.]+ +[\d.]+ %){{2}}$", trained.out, re.MULTILINE)
    assert ": 120 steps in " in trained.out
    assert f"in MLflow: run {logged.mlflow} of sqlite:///mlruns/mlflow.db\n" in trained.out
    assert f"nnlab reproduce {run}\n" in trained.out
    assert trained.err == ""


def test_its_status_and_tags(logged, lab, run):
    environment = json.loads((logged.artifacts / "environment.json").read_text())
    assert logged.status == "FINISHED"
    expected = {
        "nnlab.run": run,
        "nnlab.kind": "train",
        "nnlab.version": environment["nnlab"],
        "nnlab.git_commit": str(environment["git"]["commit"]),
        "nnlab.git_dirty": str(environment["git"]["dirty"]),
        "nnlab.status": "FINISHED",
        "nnlab.stop_rule": "max_epochs",
        "stop_reason": lab.records(run)[-1]["reason"],
    }
    assert expected.items() <= logged.tags.items()
    assert re.fullmatch("[0-9a-f]{40}|None", logged.tags["nnlab.git_commit"])


def test_every_value_of_its_config_is_a_param(logged):
    config = yaml.safe_load((logged.artifacts / "config.yaml").read_text())
    assert (config["seed"], config["stopping"]) == (7, {"max_epochs": {"epochs": 3}})
    assert logged.params == dict(flat(config))
    assert logged.params["optimizer.lr"] == "0.05"


def test_every_metric_of_its_journal_is_there_at_each_step(logged, lab, run):
    records = lab.records(run)
    assert [r["step"] for r in records if r["type"] == "report"] == [0, 40, 80, 120]
    assert values(logged.points) == reported(records)
    assert len(logged.points) == len(reported(records))
    assert {key for key, *_ in logged.points} == {
        *(
            f"{part}/{metric}{average}"
            for part in ("train", "validation", "test")
            for metric in ("loss", "accuracy")
            for average in ("", "_ema")
        ),
        *("epoch", "lr", "norm/gradient", "norm/theta", "norm/update", "time/seconds"),
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")
def test_mlflow_itself_reads_the_same(logged, lab, run, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{lab.database}")
    found = client.get_run(logged.mlflow)
    assert (found.info.status, found.info.run_name) == ("FINISHED", logged.name)
    assert client.get_experiment(found.info.experiment_id).name == "digits"
    history = {
        (key, point.step, point.value, point.timestamp)
        for key in found.data.metrics
        for point in client.get_metric_history(logged.mlflow, key)
    }
    assert history == reported(lab.records(run))
    artifacts = {file.path for file in client.list_artifacts(logged.mlflow)}
    assert artifacts - {"uncommitted.diff"} == {
        "config.yaml",
        "data.json",
        "environment.json",
        "preparation.npz",
        "curves.png",
        "weights.npz",
        "journal.jsonl",
    }


def test_its_weights_are_plain_arrays_with_the_logged_hashes(logged):
    with np.load(logged.artifacts / "weights.npz", allow_pickle=False) as file:
        arrays = dict(file)
    raw = {key: array for key, array in arrays.items() if not key.startswith("averaged/")}
    assert sorted(array.shape for array in raw.values()) == [(10,), (64,), (64, 10), (64, 64)]
    assert set(arrays) == {*raw, *(f"averaged/{key}" for key in raw)}
    for prefix, tag in (("", "weights"), ("averaged/", "averaged")):
        theta = b"<f4" + b"".join(arrays[prefix + key].tobytes() for key in raw)
        assert hashlib.sha256(theta).hexdigest() == logged.tags[f"nnlab.{tag}_sha256"]


def test_its_environment_says_what_it_ran_with(logged):
    environment = json.loads((logged.artifacts / "environment.json").read_text())
    assert environment["packages"]["numpy"] == np.__version__
    assert {"git", "python", "blas", "cpu_features", "machine", "system"} <= set(environment)
    assert {library["num_threads"] for library in environment["blas"]} == {1}


def test_its_curves_are_a_picture(logged):
    assert (logged.artifacts / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_but_the_store_is_left_in_the_folder(lab, run):
    assert [path.name for path in lab.folder.iterdir()] == ["mlruns"]
    assert (lab.store / "tracking.log").read_text() == ""


def test_without_tracking_there_is_the_run_s_directory_alone_wherever_the_store_is(bench):
    done = bench(
        "train", "data=iris", "tracking=none", "stopping.max_epochs.epochs=2", "store=a/b c"
    )
    (run,) = done.runs
    files = {path.relative_to(bench.folder) for path in bench.folder.rglob("*") if path.is_file()}
    assert {path.parent for path in files} == {Path("a/b c/runs", run)}
    names = {path.name for path in files} - {"uncommitted.diff"}
    described = {"config.yaml", "environment.json", "data.json"}
    assert names == described | {"journal.jsonl", "preparation.npz", "weights.npz"}
    assert "MLflow" not in done.out


@pytest.mark.slow
def test_a_training_on_a_terminal_shows_its_progress(bench, on_a_terminal):
    code, shown = on_a_terminal(
        bench, "train", "data=iris", "tracking=none", "stopping.max_epochs.epochs=300"
    )
    assert code == 0
    assert re.search(r"training .* epoch \d+ +validation loss \d\.\d+ +accuracy \d\.\d+", shown)
    assert "1200 steps in" in shown


def test_cfg_job_shows_the_config_and_trains_nothing(bench):
    shown = yaml.safe_load(bench("train", "--cfg", "job", "optimizer=adam", "seed=3").out)
    assert (shown["seed"], shown["optimizer"]["name"]) == (3, "adam")
    assert list(bench.folder.iterdir()) == []


def test_help_lists_the_groups_and_their_choices(bench):
    out = bench("train", "--help").out
    for group in (path for path in CONF.iterdir() if path.is_dir()):
        choices = ", ".join(sorted(file.stem for file in group.glob("*.yaml")))
        assert f"{group.name}: {choices}\n" in out


AWAY = ("mnist", "cifar10")
"""Data that are not here; tests/data trains these experiments where they are."""
HERE = [file.stem for file in CONF.glob("experiment/*.yaml") if not file.stem.endswith(AWAY)]


@pytest.mark.parametrize("name", sorted(HERE))
def test_an_experiment_s_file_is_an_override(bench, name):
    done = bench("train", f"+experiment={name}", "tracking=none")
    assert bench.records(done.runs[0])[-1]["status"] == "FINISHED"


def test_a_conf_folder_of_the_working_directory_adds_choices(bench):
    folder = bench.folder / "conf" / "optimizer"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("name: sgd\nlr: 0.125\n")
    shown = yaml.safe_load(bench("train", "--cfg", "job", "optimizer=mine").out)
    assert shown["optimizer"] == {"name": "sgd", "lr": 0.125}


def test_a_training_that_diverges_exits_with_1_and_says_so(bench):
    done = bench("train", "data=iris", "tracking=none", "optimizer.lr=1e30", code=1)
    end = bench.records(done.runs[0])[-1]
    assert (end["status"], end["rule"]) == ("FAILED", "diverged")
    assert end["reason"] in done.out


@pytest.mark.slow
def test_a_grid_is_a_run_for_each_point(lab, grid):
    assert len(grid.runs) == 2
    well, ill = (lab.logged(run) for run in grid.runs)
    assert (well.params["optimizer.lr"], ill.params["optimizer.lr"]) == ("0.05", "1e+30")
    assert (well.status, well.tags["nnlab.stop_rule"]) == ("FINISHED", "max_epochs")
    assert (ill.status, ill.tags["nnlab.stop_rule"]) == ("FAILED", "diverged")
    assert not any(is_nan for *_, is_nan in ill.points)  # its curves can be seen
    assert "nan" in ill.tags["non_finite/train/loss"].lower()
    assert "in MLflow: 2 runs" in grid.out


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_training_says_so_and_keeps_what_it_measured(bench, number):
    with bench.start("train", "tracking=none", "stopping.max_epochs.epochs=100000") as process:
        (run,) = bench.wait_for_runs(process, set())
        os.kill(process.pid, number)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert err == f"nnlab: interrupted by {number.name}\n"
    *rest, end = bench.records(run)
    assert (end["status"], end["rule"]) == ("KILLED", "interrupted")
    assert rest[-1]["type"] == "report"


@pytest.mark.slow
def test_an_interrupted_training_is_killed_in_mlflow_with_all_it_measured(lab, interrupted):
    assert interrupted.code == 130
    assert interrupted.err == "nnlab: interrupted by SIGINT\n"
    assert f"\nto go on: nnlab train --resume {interrupted.run}\n" in interrupted.out
    wait_until_killed(lab, interrupted.run)  # the command does not
    logged = lab.logged(interrupted.run)
    assert logged.tags["nnlab.stop_rule"] == "interrupted"
    assert values(logged.points) == reported(lab.records(interrupted.run))


@pytest.mark.slow
def test_a_training_that_is_killed_is_killed_in_mlflow_soon_after(lab, trained):
    known = lab.runs()
    with lab.start("train", "data=iris", "stopping.max_epochs.epochs=100000") as process:
        (run,) = lab.wait_for_runs(process, known)
        process.kill()
    wait_until_killed(lab, run)
    logged = lab.logged(run)
    assert logged.tags["nnlab.stop_rule"] == "died"
    assert values(logged.points) == reported(lab.records(run))


@pytest.mark.slow
def test_a_training_that_raises_has_failed_with_its_traceback_kept(lab, trained, tmp_path):
    script = tmp_path / "raising.py"
    script.write_text(RAISING)
    done = lab("train", "data=iris", script=str(script), code=1)
    assert done.err == "nnlab: ArithmeticError: the sky fell (--debug shows more)\n"
    logged = lab.logged(done.runs[0])
    assert (logged.status, logged.tags["nnlab.stop_rule"]) == ("FAILED", "raised")
    assert logged.tags["stop_reason"] == "ArithmeticError: the sky fell"
    trace = (logged.artifacts / "traceback.txt").read_text()
    assert trace.startswith("Traceback (most recent call last):\n")
    assert trace.endswith("ArithmeticError: the sky fell\n")
    assert values(logged.points) == reported(lab.records(done.runs[0]))


@pytest.mark.slow
def test_a_server_that_is_away_costs_a_line_and_nothing_else(bench):
    began = time.monotonic()
    done = bench(
        "train", "data=iris", "tracking.uri=http://127.0.0.1:9", "stopping.max_epochs.epochs=2"
    )
    assert time.monotonic() - began < 60
    assert bench.records(done.runs[0])[-1]["status"] == "FINISHED"
    assert done.out.count("not yet in MLflow: ") == 1
    assert "nothing is lost: it is in mlruns/runs" in done.out
    assert not bench.database.exists()

import json
import shutil

import numpy as np
import pytest
from sklearn.datasets import load_iris


def told(lab, *arguments):
    return json.loads(lab("info", *arguments, "--json").out)


@pytest.fixture(scope="session")
def flowers(lab, trained):
    """A training on the irises."""
    return lab("train", "data=iris", "stopping.max_epochs.epochs=2", "optimizer.lr=0.04").runs[0]


def test_it_says_what_the_run_is(lab, flowers):
    done = lab("info", flowers[:6])
    lines = {line[:13].strip(): line[13:] for line in done.out.splitlines()}
    records = lab.records(flowers)
    assert done.out.startswith(f"{records[0]['name']}  run {flowers}\n")
    assert lines["kind"] == "train"
    assert lines["state"] == "FINISHED: epoch 2 is done"
    assert lines["step"] == "8 (epoch 2), 3 evaluations"
    assert lines["config"] == "data=iris optimizer.lr=0.04 stopping.max_epochs.epochs=2"
    assert lines["data"] == "iris: 150 of 4 float64, 3 classes"
    assert lines["validation"] == "24 (setosa 8, versicolor 8, virginica 8)"
    assert lines["leaks"] == "no input of validation or test is in the training part"
    assert lines["preparation"] == "standard"
    weights = next(r for r in records if r["type"] == "tags")["tags"]["nnlab.weights_sha256"]
    assert lines["weights"] == f"SHA-256 {weights}"
    assert lab.logged(flowers).mlflow in lines["MLflow"]
    assert lines["directory"] == f"mlruns/runs/{flowers}"
    assert "accuracy ema" in done.out


def test_its_config_is_a_command_line(lab, flowers):
    overrides = told(lab, flowers)["overrides"]
    again = lab("train", *overrides, "tracking=none").runs[0]
    assert told(lab, again)["weights"] == told(lab, flowers)["weights"]


def test_the_data_are_those_that_scikit_learn_has(lab, flowers):
    data = told(lab, flowers)["data"]
    assert data["inputs"]["names"] == load_iris().feature_names
    counts = np.sum([part["classes"] for part in data["parts"].values()], axis=0)
    assert counts.tolist() == np.bincount(load_iris().target).tolist()


@pytest.mark.parametrize("how", ["id", "prefix", "name"])
def test_a_run_is_found_by_its_id_and_its_name(lab, flowers, how):
    name = lab.records(flowers)[0]["name"]
    selector = {"id": flowers, "prefix": flowers[:5], "name": name}[how]
    assert told(lab, selector)["run"] == flowers


def test_what_mlflow_has_of_it_is_told_where_its_directory_is_gone(lab, flowers, tmp_path):
    here = told(lab, flowers)
    aside = tmp_path / flowers
    shutil.move(lab.store / "runs" / flowers, aside)
    try:
        there, text = told(lab, flowers), lab("info", flowers).out
    finally:
        shutil.move(aside, lab.store / "runs" / flowers)
    same = ("run", "name", "kind", "state", "reason", "step", "epoch", "config", "overrides")
    same += ("data", "metrics", "weights", "averaged", "evaluations", "mlflow")
    assert {key: there[key] for key in same} == {key: here[key] for key in same}
    assert there["directory"] is None
    assert "directory" not in text


def test_a_study_and_the_best_of_it(lab, swept):
    starts = [lab.records(run)[0] for run in lab.runs()]
    (study,) = [start["run"] for start in starts if start["kind"] == "study"]
    said = told(lab, study)
    assert (said["kind"], sum(said["trials"].values())) == ("study", 6)
    assert "6 " not in lab("info", "best of " + study).out.splitlines()[0]
    best = told(lab, "best", "of", study)
    assert (best["run"], best["kind"], best["parent"]) == (said["best"], "trial", study)


def test_a_run_of_several_trainings_names_them(bench):
    (run,) = bench(
        "train", "data=iris", "tracking=none", "validation=kfold", "validation.folds=3",
        "stopping.max_epochs.epochs=1",
    ).runs  # fmt: skip
    said = told(bench, run)
    assert len(said["members"]) == 3
    assert {told(bench, one)["parent"] for one in said["members"]} == {run}
    assert "members" in bench("info", run).out


def test_a_run_that_is_not_there_is_bad_input(bench):
    done = bench("info", "abcdef", code=2)
    assert "there is no run abcdef in mlruns/runs" in done.err


@pytest.mark.parametrize("arguments", [("ab", "cd"), ("best", "of"), ("best of a b",)])
def test_one_run_at_a_time(bench, arguments):
    assert "one run at a time" in bench("info", *arguments, code=2).err


def test_nothing_is_no_run(bench):
    assert bench("info", code=2).err


def test_values_that_are_not_finite_are_texts(bench):
    (run,) = bench(
        "train", "data=iris", "tracking=none", "optimizer.lr=1e30", code=1
    ).runs  # fmt: skip
    said = told(bench, run)
    assert said["state"] == "FAILED"
    assert {value for value in said["metrics"].values() if isinstance(value, str)} <= {
        "NaN",
        "Infinity",
    }
    assert any(isinstance(value, str) for value in said["metrics"].values())

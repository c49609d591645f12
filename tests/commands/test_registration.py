"""`nnlab register`, and a sweep that registers its best trial, as a user has them."""

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nnlab.tracking.process import mlflow_environment

QUICK = ("data=iris", "model=linear", "stopping.max_epochs.epochs=2", "trials=3", "workers=1")


def versions(lab, name):
    """The runs of ours that are versions of the model, in order."""
    rows = lab.rows(
        "SELECT value FROM model_version_tags WHERE key = 'nnlab.run' AND name = ? "
        "ORDER BY version",
        name,
    )
    return [run for (run,) in rows]


def best(done):
    (run,) = re.findall(r"^reproduce: nnlab reproduce (\w+)$", done.out, re.MULTILINE)
    return run


def test_a_finished_sweep_registers_its_best_when_told_to(lab, swept):
    again = ("sweep", "trials=6", "workers=2", "stopping.max_epochs.epochs=8")
    done = lab(*again, "register=swept")
    assert "study " in done.out and "is finished" in done.out
    run = best(done)
    assert done.out.endswith(f"registered: run {run} is swept version 1 (models:/swept/1)\n")
    assert "version 1 already" in lab(*again, "register=swept").out
    assert versions(lab, "swept") == [run]
    study = lab.records(run)[0]["parent"]
    tags = dict(
        lab.rows("SELECT key, value FROM model_version_tags WHERE name = 'swept' AND version = 1")
    )
    told = next(one for one in lab.records(study) if one["type"] == "told" and one["run"] == run)
    assert tags["nnlab.study"] == study
    assert tags["nnlab.metric"] == "validation/loss_ema"
    assert [float(tags["nnlab.value"])] == told["values"]
    assert tags["nnlab.weights_sha256"] == lab.logged(run).tags["nnlab.weights_sha256"]
    ((said,),) = lab.rows("SELECT description FROM model_versions WHERE name = 'swept'")
    assert f"    nnlab reproduce {run}" in said and f"study {study}" in said


def test_a_run_is_registered_by_its_beginning(lab, trained):
    (run,) = trained.runs
    done = lab("register", run[:8], "single")
    assert done.out == f"registered: run {run} is single version 1 (models:/single/1)\n"
    assert versions(lab, "single") == [run]


REFUSED = {
    "no such run": (["zzz", "x"], "there is no run zzz in mlruns/runs"),
    "a bad name": (["abc", "a/b"], "beginning with a letter or digit, but got NAME='a/b'"),
    "two words": (["a b", "x"], "a run is an id, a name, or 'best of STUDY', but got 'a b'"),
}


@pytest.mark.parametrize(("arguments", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_registered_is_one_line(bench, arguments, said):
    done = bench("register", *arguments, code=2)
    assert said in done.err and done.err.count("\n") == 1


def test_a_run_without_a_model_of_its_own_is_refused(bench):
    done = bench("train", "seeds=2", "tracking=none", *QUICK[:3])
    done = bench("register", done.runs[0], "x", code=2)
    assert "is several trainings, each a model; register one: " in done.err
    member = done.err.split(": ")[-1].split(", ")[0]
    done = bench("register", member, "x", code=2)
    assert "is in no MLflow (tracking=none), so it has no registry" in done.err
    weights = bench.store / "runs" / member / "weights.npz"
    others = [one for one in bench.store.glob("runs/*/weights.npz") if one != weights]
    weights.write_bytes(others[0].read_bytes())
    done = bench("register", member, "x", code=2)
    assert "weights.npz does not hold the weights that its journal tells of" in done.err
    weights.unlink()
    done = bench("register", member, "x", code=2)
    assert "has not come to its end: it has no weights to register" in done.err


SWEEPS = {
    "untracked": (["tracking=none"], "register needs MLflow's registry, but got tracking=none"),
    "seeds": (["seeds=2"], "a trial of 2 trainings (seeds, folds) is 2 models"),
    "several objectives": (
        ["metric=[validation/loss,parameters]", "direction=[minimize,minimize]", "pruner=none"],
        "several objectives have no best trial",
    ),
    "a bad name": (["register=a/b"], "but got register='a/b'"),
}


@pytest.mark.parametrize(("arguments", "said"), SWEEPS.values(), ids=SWEEPS)
def test_a_sweep_that_could_not_register_is_refused_before_its_first_trial(bench, arguments, said):
    done = bench("sweep", *QUICK, "register=x", *arguments, code=2)
    assert said in done.err
    assert bench.runs() == set()


@pytest.mark.slow
def test_a_registry_that_is_away_costs_the_registration_alone(bench):
    away = "tracking.uri=http://127.0.0.1:9"
    done = bench("sweep", *QUICK, away, "register=x", code=1)
    assert "3 complete, 0 pruned, 0 failed" in done.out
    assert "no model is registered: http://127.0.0.1:9 does not answer" in done.out
    (run,) = re.findall(r"^to register it later: nnlab register (\w+) x$", done.out, re.MULTILINE)
    assert (bench.store / "runs" / run / "weights.npz").exists()


@pytest.fixture
def server(tmp_path_factory):
    """A server of MLflow's own, as the tests of outages have it."""
    here = Path(__file__).parents[1] / "durability" / "test_outage.py"
    made = runpy.run_path(str(here))["Server"](tmp_path_factory.mktemp("server"))
    try:
        made.start()
        yield made
    finally:
        made.kill()


LOADED = """
import sys, mlflow, numpy
mlflow.set_tracking_uri(sys.argv[1])
print(len(mlflow.pyfunc.load_model("models:/served/1").predict(numpy.zeros((5, 4)))["label"]))
"""


@pytest.mark.slow
def test_a_server_has_the_model_and_gives_it_to_another_machine(bench, server, tmp_path_factory):
    done = bench("train", *QUICK[:3], f"tracking.uri={server.uri}")
    (run,) = done.runs
    for said in ("version 1 (", "version 1 already ("):
        assert said in bench("register", run, "served").out
    rows = server.rows("SELECT source, run_id FROM model_versions")
    ((mlflow, _),) = server.runs(run)
    assert rows == [(f"runs:/{mlflow}/model", mlflow)]
    shutil.rmtree(bench.store)
    loaded = subprocess.run(
        [sys.executable, "-c", LOADED, server.uri],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env=mlflow_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout == "5\n"

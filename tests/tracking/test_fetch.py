import json
import re
import subprocess
import sys
from math import inf, nan

import pytest
import yaml

from nnlab.errors import UserError
from nnlab.tracking.fetch import fetch
from nnlab.tracking.process import mlflow_environment

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")


@pytest.fixture
def fetched(store, tmp_path):
    """Fetches; what the files say."""

    def run(selector):
        fetch(store, selector, tmp_path)
        return json.loads((tmp_path / "logged.json").read_text())

    return run


@pytest.fixture
def named(store, sent):
    """Makes a run in MLflow that has this id of ours."""

    def make(name, **settings):
        projection = sent(**settings)
        store.client.set_tag(projection.run_id, "nnlab.run", name)
        return projection

    return make


def refused(fetched, selector):
    with pytest.raises(UserError) as error:
        fetched(selector)
    return str(error.value)


def test_everything_of_a_run_comes_from_mlflow(fetched, sent, tmp_path):
    projection = sent([{"train/loss": 0.1 + 0.2}, {"train/loss": nan}, {"train/loss": 1e-300}])
    for file in (*projection.path.iterdir(), projection.path):
        file.rmdir() if file.is_dir() else file.unlink()
    logged = fetched(projection.path.name)
    assert logged["run"] == projection.path.name
    assert logged["mlflow"] == projection.run_id
    assert (logged["status"], logged["name"][:6]) == ("FINISHED", "train-")
    assert logged["tags"]["nnlab.weights_sha256"] == "ab"
    assert repr(logged["metrics"]["train/loss"]) == repr([[0, 0.1 + 0.2], [1, nan], [2, 1e-300]])
    assert logged["metrics"]["train/accuracy"] == [[0, 0.5], [1, 0.5], [2, 0.5]]
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert config == {"seed": 0, "optimizer": {"name": "sgd", "lr": 0.1}}
    assert json.loads((tmp_path / "environment.json").read_text())["nnlab"] == "0"


def test_a_run_is_named_by_either_id_or_a_beginning_of_it(fetched, named):
    projection = named("c0de00000001")
    for selector in ("c0de00000001", "c0de0", projection.run_id, projection.run_id[:20]):
        assert fetched(selector)["mlflow"] == projection.run_id


def test_a_beginning_of_several_ids_lists_them(fetched, named):
    named("ddd000000001")
    named("ddd000000002")
    message = refused(fetched, "ddd00")
    assert message.startswith("ddd00 begins the ids of 2 runs: ")
    assert {"ddd000000001", "ddd000000002"} == set(re.findall(r"ddd0{8}\d", message))
    assert message.endswith("; give more of it")


def test_a_whole_id_is_not_mistaken_for_the_beginning_of_another(fetched, named):
    whole = named("eee0000000")
    named("eee000000001")
    assert fetched("eee0000000")["mlflow"] == whole.run_id


def test_an_unknown_id_suggests_the_nearest(fetched, named):
    named("fade00000001")
    assert refused(fetched, "fade00000002") == (
        "no run of nnlab in MLflow has an id that begins with fade00000002 "
        "(did you mean fade00000001?)"
    )


@pytest.mark.parametrize("text", ["", "ab", "xyz", "digits", "a" * 33, "abc%", "ABC", "abc'"])
def test_what_cannot_be_an_id_is_refused(fetched, text):
    message = refused(fetched, text)
    assert message == f"a run is named by 3 to 32 of the characters 0-9 a-f, but got {text!r}"


def test_the_best_of_a_study_is_its_best_trial(fetched, named):
    trial = named("bbb000000001", kind="trial")
    study = named("bbb000000002", kind="study", reports=[], tags={"nnlab.best_run": "bbb000000001"})
    for selector in ("bbb000000002", study.run_id):
        assert fetched(f"best of {selector}")["mlflow"] == trial.run_id
    assert refused(fetched, "bbb000000002") == (
        "bbb000000002 is a study; `best of bbb000000002` is its best trial"
    )


def test_the_best_of_what_is_no_study_or_has_none_is_refused(fetched, named):
    trial = named("aaa000000001", kind="trial")
    assert refused(fetched, "best of aaa000000001") == (
        f"'best of aaa000000001' needs a study, but run {trial.run_id} is a trial"
    )
    named("aaa000000002", kind="study", reports=[])
    assert refused(fetched, "best of aaa000000002") == "study aaa000000002 has no complete trial"


def test_values_that_are_not_finite_come_back_as_they_were(fetched, sent):
    values = [1.0, nan, inf, -inf, 0.1 + 0.2]
    logged = fetched(sent([{"train/loss": value, "lr": inf} for value in values]).run_id)
    assert repr(logged["metrics"]["train/loss"]) == repr([[k, v] for k, v in enumerate(values)])
    assert logged["metrics"]["lr"] == [[k, inf] for k in range(5)]
    assert "non_finite" not in logged["metrics"]
    steps = {step for points in logged["metrics"].values() for step, _ in points}
    assert steps == set(range(5))


def test_more_values_than_a_tag_holds_come_back_from_the_journal(fetched, sent, store):
    values = [(inf, -inf, 0.5)[k % 3] for k in range(1500)]
    projection = sent([{"train/loss": value} for value in values])
    assert "cut" in store.client.get_run(projection.run_id).data.tags["non_finite/train/loss"]
    logged = fetched(projection.run_id)
    assert logged["metrics"]["train/loss"] == [[k, v] for k, v in enumerate(values)]


def test_a_tag_that_is_cut_without_the_journal_is_refused(fetched, sent, store, tmp_path):
    projection = sent([{"train/loss": inf}] * 1000)
    folder = store.artifacts / "unit" / projection.run_id / "artifacts"
    (folder / "journal.jsonl").write_text("x\n")
    assert refused(fetched, projection.run_id) == (
        f"run {projection.run_id} has no whole artifact journal.jsonl"
    )


@pytest.mark.parametrize("name", ["config.yaml", "environment.json"])
def test_a_run_without_its_artifacts_is_refused_by_name(fetched, sent, store, name):
    projection = sent()
    folder = store.artifacts / "unit" / projection.run_id / "artifacts"
    (folder / name).unlink()
    assert refused(fetched, projection.run_id) == (
        f"run {projection.run_id} has no artifact {name} in MLflow"
    )


def test_runs_of_others_are_not_ours(store, fetched):
    other = store.client.create_run(store.experiment("unit")).info.run_id
    assert refused(fetched, other).startswith("no run of nnlab in MLflow has an id that begins")


@pytest.mark.slow
def test_the_process_says_one_line_and_exits_with_2(tmp_path):
    command = [sys.executable, "-m", "nnlab.tracking.fetch", "sqlite:///none/mlflow.db", "abc", "."]
    done = subprocess.run(
        command, cwd=tmp_path, env=mlflow_environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "there is no MLflow database none/mlflow.db (--store or --uri names it)\n"
    )
    assert list(tmp_path.iterdir()) == []

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from math import inf, nan

import pytest
import yaml

from nnlab.errors import UserError
from nnlab.tracking import artifacts
from nnlab.tracking.fetch import _trainings, fetch, fetch_several, fetch_trials, fetch_whole
from nnlab.tracking.process import mlflow_environment
from nnlab.tracking.projection import Projection

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


@pytest.mark.parametrize("text", ["", "abc%", "abc'", "a/b", "-a", "a" * 201, "' OR 1=1 --"])
def test_what_can_be_neither_an_id_nor_a_name_is_refused(fetched, text):
    message = refused(fetched, text)
    assert message == (
        f"a run is named by 3 to 32 of the characters 0-9 a-f, or by its name, but got {text!r}"
    )


@pytest.mark.parametrize("text", ["ab", "xyz", "digits", "a" * 33, "ABC"])
def test_a_name_that_no_run_has_is_refused(fetched, text):
    assert refused(fetched, text) == f"no run of nnlab in MLflow has the id or the name {text}"


def test_a_run_is_named_by_its_name_if_no_other_has_it(fetched, named, store):
    one, two = named("bad000000001"), named("bad000000002")
    for projection in (one, two):
        store.client.update_run(projection.run_id, name="my run")
    assert refused(fetched, "my run") in (
        "my run is the name of 2 runs: bad000000001, bad000000002; give an id",
        "my run is the name of 2 runs: bad000000002, bad000000001; give an id",
    )
    store.client.update_run(two.run_id, name="mine")
    assert fetched("mine")["mlflow"] == two.run_id


SEVERAL = {"seed": 0, "seeds": 2, "optimizer": {"name": "sgd", "lr": 0.1}}


@pytest.fixture
def member(store, finished):
    """Makes the run of a seed of that run, with weights; its MLflow id."""

    def make(parent, k):
        path = finished(kind="member", parent=parent.name, tags={"nnlab.member": str(k)})
        (path / "weights.npz").write_bytes(b"%d" % k)
        projection = Projection(path, store)
        projection.advance(last=True)
        return projection.run_id

    return make


def test_all_files_of_a_run_that_say_how_it_came_about(store, finished, member, tmp_path):
    path = finished(config=SEVERAL)
    for name in ("uncommitted.diff", "weights.npz"):
        (path / name).write_bytes(name.encode())
    projection = Projection(path, store)
    projection.advance(last=True)
    for k in (1, 0, 2):  # the config has no third one
        member(path, k)
    (tmp_path / "whole").mkdir()
    fetch_whole(store, projection.run_id, tmp_path / "whole")
    assert {str(file.relative_to(tmp_path / "whole")): file.read_bytes()
            for file in tmp_path.glob("whole/**/weights.npz")} == {
        "weights.npz": b"weights.npz", "members/0/weights.npz": b"0", "members/1/weights.npz": b"1",
    }  # fmt: skip
    for name in ("journal.jsonl", "uncommitted.diff", "config.yaml", "environment.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (path / name).read_bytes()
    logged = json.loads((tmp_path / "whole" / "logged.json").read_text())
    assert logged["params"].items() >= {"seed": "0", "seeds": "2", "optimizer.lr": "0.1"}.items()


def test_two_trainings_of_one_number_are_refused(store, finished, member, tmp_path):
    path = finished(config=SEVERAL)
    projection = Projection(path, store)
    projection.advance(last=True)
    both = {member(path, 1), member(path, 1)}
    with pytest.raises(UserError, match="both say that they are number 1") as error:
        fetch_whole(store, projection.run_id, tmp_path)
    assert both < set(re.findall("[0-9a-f]{32}", str(error.value)))


@pytest.mark.parametrize(
    ("config", "trainings"),
    [
        ({}, 1),
        ({"seeds": 3}, 3),
        ({"seeds": 4, "validation": {"name": "kfold", "folds": 5}}, 20),
        ({"seeds": 1001}, 1),  # refused when it is parsed
        ({"seeds": -2, "validation": {"folds": -3}}, 1),
        ({"seeds": "x", "validation": 7}, 1),
    ],
)
def test_so_many_trainings_are_fetched_as_the_config_has(config, trainings):
    assert _trainings(config) == trainings


def test_a_journal_that_is_too_large_is_not_compared(store, sent, tmp_path, monkeypatch):
    projection = sent()
    monkeypatch.setattr(artifacts, "LARGEST", {**artifacts.LARGEST, "journal.jsonl": 100})
    fetch_whole(store, projection.run_id, tmp_path)
    assert not (tmp_path / "journal.jsonl").exists()
    assert (
        (tmp_path / "not_compared.txt")
        .read_text()
        .startswith(
            f"run {projection.run_id}: the artifact journal.jsonl may have 100 bytes, and has "
        )
    )


def test_several_runs_go_to_a_folder_each_with_what_is_wrong(store, sent, tmp_path):
    one, two = sent(), sent()
    (store.artifacts / "unit" / two.run_id / "artifacts" / "config.yaml").unlink()
    (tmp_path / "several").mkdir()
    fetch_several(store, [one.run_id, two.run_id], tmp_path / "several")
    assert (tmp_path / "several" / one.run_id / "journal.jsonl").exists()
    assert (tmp_path / "several" / two.run_id / "error.txt").read_text() == (
        f"run {two.run_id} has no artifact config.yaml in MLflow"
    )


def test_the_trials_of_a_study_are_in_their_order_and_the_last_attempt_counts(
    store, named, tmp_path
):
    named("50d000000000", kind="study", reports=[], tags={"nnlab.best_run": "50d000000002"})
    runs = {}
    for k, (number, state) in enumerate(
        [(10, "PRUNED"), (2, "KILLED"), (2, "COMPLETE"), (0, None)]
    ):
        tags = {"nnlab.study": "50d000000000", "nnlab.trial": str(number)}
        tags |= {"nnlab.trial_state": state} if state else {}
        runs[k] = named(f"50d00000000{k + 1}", kind="trial", tags=tags)
    fetch_trials(store, "50d000000000", tmp_path)
    told = json.loads((tmp_path / "trials.json").read_text())
    assert (told["study"], told["best"]) == ("50d000000000", "50d000000002")
    assert [(t["trial"], t["run"], t["state"]) for t in told["trials"]] == [
        (0, "50d000000004", "FINISHED"),
        (2, "50d000000003", "COMPLETE"),
        (10, "50d000000001", "PRUNED"),
    ]
    assert [t["mlflow"] for t in told["trials"]] == [runs[k].run_id for k in (3, 2, 0)]
    with pytest.raises(UserError, match=r"a study has trials, but .+ is a trial"):
        fetch_trials(store, "50d000000001", tmp_path)


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


def test_a_study_is_named_by_its_sweep_if_that_has_no_other(fetched, named, store):
    trial = named("bcd000000001", kind="trial")
    study = named("bcd000000002", kind="study", tags={"nnlab.best_run": "bcd000000001"})
    store.client.update_run(study.run_id, name="s_1-fe2a")
    store.client.update_run(trial.run_id, name="sx1-fe2b")
    assert fetched("best of s_1")["mlflow"] == trial.run_id
    assert refused(fetched, "s_1-fe2").endswith("(did you mean s_1-fe2a?)")
    other = named("bcd000000003", kind="study")
    store.client.update_run(other.run_id, name="s_1-0123")
    message = refused(fetched, "best of s_1")
    assert message.startswith("s_1 is the sweep of 2 studies: ")
    assert "s_1-fe2a" in message and "s_1-0123" in message


def test_values_that_are_not_finite_come_back_as_they_were(fetched, sent):
    values = [1.0, nan, inf, -inf, 0.1 + 0.2]
    logged = fetched(sent([{"train/loss": value, "lr": inf} for value in values]).run_id)
    assert repr(logged["metrics"]["train/loss"]) == repr([[k, v] for k, v in enumerate(values)])
    assert logged["metrics"]["lr"] == [[k, inf] for k in range(5)]
    assert "non_finite" not in logged["metrics"]
    steps = {step for points in logged["metrics"].values() for step, _ in points}
    assert steps == set(range(5))


def test_what_a_list_of_runs_shows_and_every_value_of_a_step_come_too(fetched, sent, database):
    projection = sent([{"train/loss": 0.5}, {"train/loss": 0.25, "lr": nan}])
    assert fetched(projection.run_id)["latest"] == {
        "train/loss": 0.25, "train/accuracy": 0.5, "epoch": 1 / 3, "time/seconds": 0.125,
        "non_finite": 1.0,
    }  # fmt: skip
    where = f"run_uuid = '{projection.run_id}' AND key = 'train/loss'"
    with closing(sqlite3.connect(database.path)) as connection:
        connection.execute(f"UPDATE latest_metrics SET value = 9.0 WHERE {where}")
        connection.execute(
            "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) SELECT key, 7.0, "
            f"timestamp - 1, run_uuid, step, is_nan FROM metrics WHERE {where} AND step = 0"
        )
        connection.commit()
    logged = fetched(projection.run_id)
    assert logged["latest"]["train/loss"] == 9.0
    assert sorted(logged["metrics"]["train/loss"]) == [[0, 0.5], [0, 7.0], [1, 0.25]]


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

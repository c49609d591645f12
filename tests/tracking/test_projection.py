import json
import sys
from math import inf, nan

import pytest
from mlflow.exceptions import MlflowException

from nnlab.runs.journal import JournalError, read
from nnlab.tracking.projection import STATE, Projection
from nnlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")

INFINITY = sys.float_info.max


def journal_points(path):
    """(key, step, value, time) of a journal's reports."""
    return {
        (key, record["step"], float(value), record["time"])
        for record in read(path / "journal.jsonl")
        if record["type"] == "report"
        for key, value in (record["metrics"] | {"time/seconds": record["seconds"]}).items()
    }


def test_everything_in_the_journal_is_in_the_database_once(database, sent):
    reports = [{"train/loss": 1 / (k + 1)} for k in range(7)]
    projection = sent(reports, tags={"mine": "yes"})
    points = database.points(projection.run_id)
    assert set(points.values()) == {1}
    assert {point[:4] for point in points} == journal_points(projection.path)

    records = read(projection.path / "journal.jsonl")
    name, status, began, ended = database.run(projection.run_id)
    assert (name, status) == (records[0]["name"], "FINISHED")
    assert (began, ended) == (records[0]["time"], records[-1]["time"])
    assert database.params(projection.run_id) == {
        "seed": "0",
        "optimizer.name": "sgd",
        "optimizer.lr": "0.1",
    }
    tags = database.tags(projection.run_id)
    assert tags["nnlab.run"] == records[0]["run"] == projection.path.name
    assert tags["mine"] == "yes"
    assert {key: tags[f"nnlab.{key}"] for key in ("kind", "version", "git_commit", "status")} == {
        "kind": "train",
        "version": "0",
        "git_commit": "c0ffee",
        "status": "FINISHED",
    }


def test_artifacts_are_the_run_s_files_and_its_curves(store, sent):
    projection = sent()
    artifacts = {file.path for file in store.client.list_artifacts(projection.run_id)}
    assert artifacts == {"config.yaml", "environment.json", "journal.jsonl", "curves.png"}


@pytest.mark.parametrize(
    "lost",
    [
        {"sent": 0},
        {"sent": 3},
        {"sent": 0, "done": False},
        {"run": "", "sent": 0, "done": False},
        None,
    ],
    ids=str,
)
def test_a_run_sent_again_changes_nothing(store, database, sent, lost):
    """`lost` is what a crash kept from being remembered; None is the whole file."""
    projection = sent([{"train/loss": value} for value in (3.0, nan, inf, 1.0)])
    before = database.sizes()
    points, tags = database.points(projection.run_id), database.tags(projection.run_id)

    file = projection.path / STATE
    if lost is None:
        file.unlink()
    else:
        file.write_text(json.dumps(json.loads(file.read_text()) | lost))
    again = Projection(projection.path)
    again.advance(Store(store.uri, store.artifacts), last=True)
    assert again.run_id == projection.run_id
    assert database.sizes() == before
    assert database.points(projection.run_id) == points
    assert database.tags(projection.run_id) == tags
    assert database.run(projection.run_id)[1] == "FINISHED"


def failing_once(real, done):
    """The same call, which raises the first time, after it was done or before."""
    failed = []

    def call(*arguments, **options):
        if failed:
            return real(*arguments, **options)
        failed.append(True)
        if done:
            real(*arguments, **options)
        raise MlflowException("the connection is lost")

    return call


@pytest.mark.parametrize(
    "calls",
    [
        ["create_run"],
        ["create_run", "search_runs"],
        ["log_batch"],
        ["log_artifact"],
        ["set_terminated"],
        ["create_run", "log_batch", "log_artifact", "set_terminated"],
    ],
    ids=",".join,
)
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
def test_a_call_that_fails_is_made_again_whether_it_was_done_or_not(
    store, database, finished, monkeypatch, calls, done
):
    path = finished()
    for name in calls:
        monkeypatch.setattr(store.client, name, failing_once(getattr(store.client, name), done))
    runs = database.sizes()["runs"]
    projection = Projection(path)
    for _ in calls:
        with pytest.raises(MlflowException):
            projection.advance(store, last=True)
        projection = Projection(path)  # as another process would find it
    projection.advance(store, last=True)
    assert projection.done
    assert database.sizes()["runs"] == runs + 1
    points = database.points(projection.run_id)
    assert set(points.values()) == {1}
    assert {point[:4] for point in points} == journal_points(path)
    assert database.run(projection.run_id)[1] == "FINISHED"


def test_values_that_are_not_finite_are_kept(store, database, sent):
    projection = sent([{"train/loss": value} for value in (1.0, nan, inf, -inf)])
    stored = {
        step: (v, n) for k, step, v, _, n in database.points(projection.run_id) if k == "train/loss"
    }
    assert stored[0] == (1.0, 0)
    assert stored[1][1] == 1  # is NaN
    assert stored[2] == (INFINITY, 0)
    assert stored[3] == (-INFINITY, 0)
    history = store.client.get_metric_history(projection.run_id, "train/loss")
    assert repr([point.value for point in history]) == repr([1.0, nan, INFINITY, -INFINITY])


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_curves_of_nothing_finite_are_drawn_all_the_same(sent, value):
    projection = sent([{"train/loss": value, "validation/loss": value}] * 3)
    assert (projection.path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_long_param_says_that_it_is_cut(database, sent):
    config = {f"p{length}": "x" * length for length in (10, 6000, 6001, 100_000)}
    params = database.params(sent(config=config).run_id)
    assert params["p10"] == config["p10"]
    assert params["p6000"] == config["p6000"]
    for key in ("p6001", "p100000"):
        assert len(params[key]) <= 6000
        assert params[key].startswith("x" * 5900)
        assert params[key].endswith("... (cut; whole in the artifact config.yaml)")


def test_more_than_fits_a_batch_arrives_whole(database, sent):
    config = {f"p{k}": k for k in range(250)}
    reports = [{f"m{k}": float(step * k) for k in range(50)} for step in range(45)]
    projection = sent(reports, config=config, tags={f"t{k}": str(k) for k in range(230)})
    assert database.params(projection.run_id) == {key: str(k) for key, k in config.items()}
    assert {point[:4] for point in database.points(projection.run_id)} == journal_points(
        projection.path
    )
    tags = database.tags(projection.run_id)
    assert {key: tags[key] for key in tags if key.startswith("t")} == {
        f"t{k}": str(k) for k in range(230)
    }


def test_a_run_that_is_being_written_goes_on_until_its_end(store, database, new_run):
    with new_run() as run:
        run.journal.append("report", step=0, metrics={"train/loss": 1.0}, seconds=0.0)
        run.journal.sync()
        projection = Projection(run.path)
        projection.advance(store, last=True)
        assert not projection.done
        assert database.run(projection.run_id)[1] == "RUNNING"
    projection.advance(store, last=True)
    assert projection.done
    assert database.run(projection.run_id)[1] == "FINISHED"


def test_a_run_whose_process_died_is_marked_killed_once_nobody_will_write_it(
    store, database, finished
):
    path = finished([{"train/loss": 1.0}, {"train/loss": 0.5}])
    journal = path / "journal.jsonl"
    *lines, end = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines) + end[:20])  # torn in its last word
    projection = Projection(path)
    projection.advance(store, last=False)
    assert not projection.done
    assert database.run(projection.run_id)[1] == "RUNNING"
    projection.advance(store, last=True)
    assert projection.done
    assert database.run(projection.run_id)[1] == "KILLED"
    tags = database.tags(projection.run_id)
    assert (tags["nnlab.status"], tags["nnlab.stop_rule"]) == ("KILLED", "died")
    assert {point[:4] for point in database.points(projection.run_id)} == journal_points(path)


def test_a_run_that_never_wrote_a_record_is_done_without_a_trace(store, database, tmp_path):
    before = database.sizes()
    projection = Projection(tmp_path)
    projection.advance(store, last=False)
    assert not projection.done
    projection.advance(store, last=True)
    assert projection.done
    assert database.sizes() == before


@pytest.mark.parametrize("experiment", ["unit", "another"])
def test_a_trial_is_nested_in_its_study_whatever_its_experiment(database, sent, experiment):
    study = sent([], kind="study")
    trial = sent(kind="trial", parent=study.path.name, experiment=experiment)
    assert database.tags(trial.run_id)["mlflow.parentRunId"] == study.run_id
    assert "mlflow.parentRunId" not in database.tags(study.run_id)


def test_a_damaged_journal_is_an_error_that_says_where(store, finished):
    path = finished()
    journal = path / "journal.jsonl"
    text = journal.read_bytes()
    second = text.index(b"\n") + 1
    journal.write_bytes(text.replace(b'"train/loss":1.0', b'"train/loss":2.0', 1))
    with pytest.raises(JournalError, match=f"is damaged at byte {second}: record 1 was expected"):
        Projection(path).advance(store, last=True)

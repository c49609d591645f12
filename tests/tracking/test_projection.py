import json
import os
from math import inf, isfinite, nan

import pytest
from mlflow.exceptions import MlflowException

from nnlab.runs.journal import JournalError, read
from nnlab.runs.run import Run
from nnlab.tracking.projection import BusyError, Projection
from nnlab.tracking.sent import STATE, claim, complete
from nnlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")


def report(run, reports):
    for step, metrics in enumerate(reports):
        metrics = {"train/accuracy": 0.5, "epoch": step / 3} | metrics
        run.journal.append("report", step=step, metrics=metrics, seconds=step / 8)


def journal_points(path):
    """(key, step, value, time) of a journal's finite values."""
    return {
        (key, record["step"], float(value), record["time"])
        for record in read(path / "journal.jsonl")
        if record["type"] == "report"
        for key, value in (record["metrics"] | {"time/seconds": record["seconds"]}).items()
        if isfinite(float(value))
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
    assert (tags["stop_reason"], tags["nnlab.stop_rule"]) == ("done", "done")
    owner = records[0]["owner"]
    assert {key: tags[f"nnlab.{key}"] for key in owner} == {k: str(v) for k, v in owner.items()}


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
        ((uri, state),) = json.loads(file.read_text()).items()
        file.write_text(json.dumps({uri: state | lost}))
    again = Projection(projection.path, Store(store.uri, store.artifacts))
    again.advance(last=True)
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
@pytest.mark.usefixtures("as_of_a_server")
def test_a_call_that_fails_is_made_again_whether_it_was_done_or_not(
    store, database, finished, monkeypatch, calls, done
):
    fail_once_and_go_on(store, store.client, database, finished, monkeypatch, calls, done)


@pytest.mark.parametrize(
    "calls", [["find"], ["log"], ["keep"], ["find", "log", "keep"]], ids=",".join
)
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
def test_what_fails_of_a_local_database_is_done_again_whether_it_was_done_or_not(
    store, database, finished, monkeypatch, calls, done
):
    fail_once_and_go_on(store, store, database, finished, monkeypatch, calls, done)


def fail_once_and_go_on(store, owner, database, finished, monkeypatch, calls, done):
    path = finished()
    for name in calls:
        monkeypatch.setattr(owner, name, failing_once(getattr(owner, name), done))
    runs = database.sizes()["runs"]
    projection = Projection(path, store)
    for _ in calls:
        with pytest.raises(MlflowException):
            projection.advance(last=True)
        projection.close()
        projection = Projection(path, store)  # as another process would find it
    projection.advance(last=True)
    assert projection.done
    assert database.sizes()["runs"] == runs + 1
    points = database.points(projection.run_id)
    assert set(points.values()) == {1}
    assert {point[:4] for point in points} == journal_points(path)
    assert database.run(projection.run_id)[1] == "FINISHED"


def test_values_that_are_not_finite_are_beside_the_curve_and_not_in_it(database, sent):
    values = (1.0, nan, inf, -inf, 2.0)
    projection = sent([{"train/loss": value, "lr": value, "fine": 3.0} for value in values])
    points = database.points(projection.run_id)
    assert {(step, value) for key, step, value, *_ in points if key == "train/loss"} == {
        (0, 1.0),
        (4, 2.0),
    }
    assert {(step, value) for key, step, value, *_ in points if key == "non_finite"} == {
        (1, 2.0),
        (2, 2.0),
        (3, 2.0),
    }
    assert not any(is_nan for *_, is_nan in points)
    tags = database.tags(projection.run_id)
    assert {key: tags[key] for key in tags if key.startswith("non_finite")} == dict.fromkeys(
        ("non_finite/train/loss", "non_finite/lr"), "1:NaN,2:Infinity,3:-Infinity"
    )


def test_what_is_not_finite_comes_together_though_it_is_sent_in_parts(
    store, database, new_run, monkeypatch
):
    monkeypatch.setattr("nnlab.tracking.projection.SEND_SECONDS", 0)
    with new_run() as run:
        for step, value in enumerate((nan, 1.0, inf)):
            run.journal.append("report", step=step, metrics={"loss": value}, seconds=0.0)
            run.journal.sync()
            projection = Projection(run.path, store)  # each a process of its own
            projection.advance(last=False)
            projection.close()
    assert database.tags(projection.run_id)["non_finite/loss"] == "0:NaN,2:Infinity"


def test_long_tags_say_that_they_are_cut(store, database, new_run):
    with new_run() as run:
        report(run, [{"train/loss": inf}] * 1000)
        run.end("FAILED", "raised", "x" * 9000)
    projection = Projection(run.path, store)
    projection.advance(last=True)
    tags = database.tags(projection.run_id)
    for key, start in {"non_finite/train/loss": "0:Infinity,1:Inf", "stop_reason": "xxx"}.items():
        assert 7900 < len(tags[key]) <= 8000
        assert tags[key].startswith(start)
        assert tags[key].endswith("... (cut; whole in the artifact journal.jsonl)")
    assert database.run(projection.run_id)[1] == "FAILED"


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
        projection = Projection(run.path, store)
        projection.advance(last=True)
        assert not projection.done
        assert not projection.left
        assert database.run(projection.run_id)[1] == "RUNNING"
    projection.advance(last=True)
    assert projection.done
    assert database.run(projection.run_id)[1] == "FINISHED"


def test_a_run_whose_process_died_is_marked_killed_once_nobody_will_write_it(store, database, died):
    path = died(torn=b'{"crc":"0000')
    projection = Projection(path, store)
    projection.advance(last=False)
    assert not projection.done
    assert database.run(projection.run_id)[1] == "RUNNING"
    projection.advance(last=True)
    assert projection.done
    end = read(path / "journal.jsonl")[-1]
    assert database.run(projection.run_id)[1::2] == ("KILLED", end["time"])
    tags = database.tags(projection.run_id)
    assert (tags["nnlab.status"], tags["nnlab.stop_rule"]) == ("KILLED", "died")
    assert tags["nnlab.evidence"] == end["evidence"]
    assert f"process {tags['nnlab.pid']} is gone" in end["evidence"]
    assert {point[:4] for point in database.points(projection.run_id)} == journal_points(path)


def test_a_run_that_may_live_elsewhere_is_left_as_it_is(store, database, new_run):
    run = new_run()
    run.journal.append("report", step=0, metrics={"train/loss": 1.0}, seconds=0.0)
    run.journal.close()  # and this process lives
    projection = Projection(run.path, store)
    projection.advance(last=True)
    assert not projection.done
    assert projection.left.startswith("process ")
    assert database.run(projection.run_id)[1] == "RUNNING"
    assert {point[:4] for point in database.points(projection.run_id)} == journal_points(run.path)
    assert not complete(run.path, store.uri)
    assert [record["type"] for record in read(run.path / "journal.jsonl")] == ["start", "report"]


@pytest.mark.parametrize("shown", [True, False], ids=["its end was shown", "it was not"])
def test_a_run_that_goes_on_after_its_end_is_running_again_and_then_ends_anew(
    store, database, died, shown
):
    path = died()
    projection = Projection(path, store)
    projection.advance(last=True)
    assert database.run(projection.run_id)[1] == "KILLED"
    with Run.reopen(path) as run:
        run.journal.sync()
        assert not complete(path, store.uri)
        again = Projection(path, store)
        if shown:
            again.advance(last=True)
            assert not again.done
            assert database.run(again.run_id)[1] == "RUNNING"
            tags = database.tags(again.run_id)
            assert tags["nnlab.status"] == "RUNNING"
            assert tags["nnlab.pid"] == str(os.getpid()) != str(run.past.start["owner"]["pid"])
            assert not {"stop_reason", "nnlab.stop_rule", "nnlab.evidence"} & set(tags)
        metrics = {"train/loss": 0.1, "train/accuracy": 0.5, "epoch": 2 / 3}
        run.journal.append("report", step=2, metrics=metrics, seconds=1.0)
    again.advance(last=True)
    assert again.done
    assert complete(path, store.uri)
    assert again.run_id == projection.run_id
    tags = database.tags(again.run_id)
    assert (tags["nnlab.status"], tags["stop_reason"]) == ("FINISHED", "done")
    assert "nnlab.evidence" not in tags
    assert database.run(again.run_id)[1] == "FINISHED"
    points = database.points(again.run_id)
    assert set(points.values()) == {1}
    assert {point[:4] for point in points} == journal_points(path)


def test_a_run_that_goes_on_is_not_done_because_its_first_part_is(store, sent):
    projection = sent()
    run = Run.reopen(projection.path)  # its record may not be on disk yet
    again = Projection(projection.path, store)
    again.advance(last=False)
    assert not again.done
    again.close()
    run.journal.close()


def test_one_process_at_a_time_sends_a_run_and_the_next_begins_where_it_ended(
    store, database, finished
):
    path = finished()
    claimed = claim(path)
    waiting = Projection(path, store)
    with pytest.raises(BusyError, match="another process is sending it"):
        waiting.advance(last=True)
    claimed.close()
    other = Projection(path, store)
    other.advance(last=True)
    sizes = database.sizes()
    waiting.advance(last=True)
    assert waiting.done
    assert waiting.run_id == other.run_id
    assert (other.new, waiting.new) == (True, False)
    assert database.sizes() == sizes


@pytest.mark.usefixtures("as_of_a_server")
def test_a_twin_that_a_server_made_late_is_removed(store, database, finished, monkeypatch):
    path = finished()
    real = store.client.create_run
    late = []

    def create_run(*arguments):
        late.append(arguments)
        if len(late) == 1:
            raise MlflowException("no answer")
        return real(*arguments)

    monkeypatch.setattr(store.client, "create_run", create_run)
    projection = Projection(path, store)
    with pytest.raises(MlflowException):
        projection.advance(last=True)
    log_artifact = store.client.log_artifact

    def then(*arguments):  # the first creation is done when the second has been
        if len(late) == 2:
            real(*late[0])
            late.append(None)
        return log_artifact(*arguments)

    monkeypatch.setattr(store.client, "log_artifact", then)
    projection.advance(last=True)
    stages = database.rows(
        "SELECT run_uuid, lifecycle_stage FROM runs JOIN tags USING (run_uuid) "
        "WHERE key = 'nnlab.run' AND tags.value = ?",
        path.name,
    )
    assert len(stages) == 2
    assert dict(stages)[projection.run_id] == "active"
    assert sorted(stage for _, stage in stages) == ["active", "deleted"]


def test_a_run_that_another_database_is_said_to_have_is_sent_anew(store, database, finished):
    path = finished()
    file = path / STATE
    projection = Projection(path, store)
    projection.advance(last=True)
    ((uri, state),) = json.loads(file.read_text()).items()
    file.write_text(json.dumps({uri: state | {"run": "0" * 32, "done": False}}))
    store.client.delete_run(projection.run_id)
    again = Projection(path, Store(store.uri, store.artifacts))
    again.advance(last=True)
    assert again.run_id not in (projection.run_id, "0" * 32)
    assert {p[:4] for p in database.points(again.run_id)} == journal_points(path)


def test_nothing_of_the_senders_own_nor_of_a_folder_is_an_artifact(store, finished):
    path = finished()
    (path / "checkpoints").mkdir()
    (path / "checkpoints" / "40.npz").write_bytes(b"x")
    projection = Projection(path, store)
    projection.advance(last=True)
    artifacts = {file.path for file in store.client.list_artifacts(projection.run_id)}
    assert artifacts == {"config.yaml", "environment.json", "journal.jsonl", "curves.png"}
    assert {"mlflow.json", "mlflow.lock", "checkpoints"} < {file.name for file in path.iterdir()}


def test_what_is_shown_is_on_disk_before(store, new_run, monkeypatch):
    events = []
    real = store.client.create_run
    monkeypatch.setattr("os.fsync", lambda descriptor: events.append("fsync"))
    monkeypatch.setattr(store.client, "create_run", lambda *a: events.append("made") or real(*a))
    run = new_run()
    run.journal.sync()
    events.clear()
    projection = Projection(run.path, store)
    projection.advance(last=False)
    assert events[:2] == ["fsync", "made"]
    projection.close()
    run.journal.close()


def test_a_member_whose_parent_is_nowhere_is_a_run_of_its_own(database, sent):
    projection = sent(kind="member", parent="0123456789ab")
    assert "mlflow.parentRunId" not in database.tags(projection.run_id)


def test_a_member_waits_for_its_parent_on_disk(store, finished):
    study = finished([], kind="study")
    trial = Projection(finished(kind="trial", parent=study.name), store)
    with pytest.raises(LookupError, match=f"its parent {study.name} is not in MLflow yet"):
        trial.advance(last=True)
    Projection(study, store).advance(last=True)
    trial.advance(last=True)
    assert trial.done


def test_a_run_that_never_wrote_a_record_is_done_without_a_trace(store, database, tmp_path):
    before = database.sizes()
    projection = Projection(tmp_path, store)
    projection.advance(last=False)
    assert not projection.done
    projection.advance(last=True)
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
    projection = Projection(path, store)
    with pytest.raises(JournalError, match=f"is damaged at byte {second}: record 1 was expected"):
        projection.advance(last=True)
    projection.close()


@pytest.fixture
def reproduction(new_run):
    """Makes a finished run that reproduced the run with that MLflow id; its directory."""

    def make(original):
        with new_run(kind="reproduction") as run:
            report(run, [{"train/loss": 1.0}])
            run.journal.append("reproduced", of=original, tags={"nnlab.reproduced": "identical"})
        return run.path

    return make


def test_a_reproduction_tags_the_original(store, database, sent, reproduction):
    original = sent().run_id
    before = database.tags(original)
    projection = Projection(reproduction(original), store)
    projection.advance(last=True)
    assert projection.done
    assert database.tags(original) == before | {"nnlab.reproduced": "identical"}
    assert "nnlab.reproduced" not in database.tags(projection.run_id)


def test_an_original_that_cannot_be_tagged_does_not_keep_the_reproduction_out(
    store, database, sent, reproduction, capsys
):
    gone = sent().run_id
    store.client.delete_run(gone)
    for original in (gone, "0" * 32, "no id at all"):
        projection = Projection(reproduction(original), store)
        projection.advance(last=True)
        assert projection.done
        assert database.run(projection.run_id)[1] == "FINISHED"
        assert f"run {original} could not be tagged: " in capsys.readouterr().err
    assert "nnlab.reproduced" not in database.tags(gone)


@pytest.mark.usefixtures("as_of_a_server")
def test_a_server_that_does_not_answer_is_told_of_the_original_later(
    store, database, sent, reproduction, monkeypatch
):
    original = sent().run_id
    projection = Projection(reproduction(original), store)
    log_batch = store.client.log_batch

    def away(run, **what):
        if run == original:
            raise MlflowException("no answer")
        log_batch(run, **what)

    with monkeypatch.context() as patch:
        patch.setattr(store.client, "log_batch", away)
        patch.setattr(type(store), "reachable", lambda store: False)
        with pytest.raises(MlflowException, match="no answer"):
            projection.advance(last=True)
    assert not projection.done
    projection.advance(last=True)
    assert projection.done
    assert database.tags(original)["nnlab.reproduced"] == "identical"

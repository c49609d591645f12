"""What is written by SQL is what MLflow writes: the source are its own calls, on another run."""

import sqlite3
from contextlib import closing

import pytest

from nnlab.tracking import rows
from nnlab.tracking.entries import Point
from nnlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")

PARAMS = {"seed": "0", "optimizer.lr": "0.1", "text": "ü \U0001f600 'quoted\" ; --"}
TAGS = {"mine": "yes", "nnlab.status": "RUNNING", "empty": ""}
POINTS = [
    Point(f"part {k}/loss", 0.1 * step - k + 1e-300, 1_763_683_200_000 + step, step)
    for step in (0, 10, 5, 7)
    for k in range(3)
]
PARTS = [  # params, points, tags of one call after another
    (PARAMS, POINTS, TAGS),
    (PARAMS, POINTS, TAGS),  # again
    ({"late": "1"}, POINTS[:2], {"mine": "no"}),
    ({}, [Point("part 0/loss", value, 1_763_683_200_010, 10) for value in (3.0, -3.0)], {}),
    ({}, [Point("part 1/loss", 1.5, 1_763_683_200_009, 9), Point("n", 1, 1, 2**40)], {}),
]


@pytest.fixture
def twins(store):
    """Two new runs: MLflow's id of each."""
    experiment = store.experiment("unit")
    return [store.client.create_run(experiment, 1, {}, "twin").info.run_id for _ in range(2)]


def everything(database, mlflow_id):
    columns = {
        "metrics": "key, value, timestamp, step, is_nan",
        "latest_metrics": "key, value, timestamp, step, is_nan",
        "params": "key, value",
        "tags": "key, value",
    }
    return {
        table: sorted(
            database.rows(
                f"SELECT {those}, {', '.join(f'typeof({one})' for one in those.split(', '))} "
                f"FROM {table} WHERE run_uuid = ?",
                mlflow_id,
            )
        )
        for table, those in columns.items()
    }


def test_every_row_is_as_mlflow_writes_it(store, database, twins, monkeypatch):
    ours, theirs = twins
    for params, points, tags in PARTS:
        store.log(ours, params=params, points=points, tags=tags)
        with monkeypatch.context() as patch:
            patch.setattr(Store, "_database", None)
            store.log(theirs, params=params, points=points, tags=tags)
        assert everything(database, ours) == everything(database, theirs)
    latest = {row[0]: row[1] for row in everything(database, ours)["latest_metrics"]}
    assert latest["part 0/loss"] == 3.0
    assert len(everything(database, ours)["metrics"]) == len(POINTS) + 4


def test_mlflow_reads_what_was_written(store, twins):
    store.log(twins[0], params=PARAMS, points=POINTS, tags=TAGS)
    data = store.client.get_run(twins[0]).data
    assert data.params == PARAMS
    assert data.metrics == {point.key: point.value for point in POINTS if point.step == 10}
    history = store.client.get_metric_history(twins[0], "part 1/loss")
    assert {(m.step, m.timestamp, m.value) for m in history} == {
        (p.step, p.time, p.value) for p in POINTS if p.key == "part 1/loss"
    }
    assert TAGS.items() < data.tags.items()


def test_all_or_nothing(store, database, twins):
    store.log(twins[0], params={"seed": "0"})
    before = everything(database, twins[0])
    with pytest.raises(ValueError, match="seed is '0', and cannot be '1'"):
        store.log(twins[0], params={"seed": "1", "new": "1"}, points=POINTS, tags=TAGS)
    assert everything(database, twins[0]) == before
    with pytest.raises(sqlite3.Error):
        store.log(twins[0], points=POINTS, tags={"of no type": object()})
    assert everything(database, twins[0]) == before


def test_a_run_that_is_deleted_or_not_there_takes_nothing(store, database, twins):
    store.client.delete_run(twins[0])
    before = database.sizes()
    for run, why in ((twins[0], "deleted"), ("0" * 32, "not there")):
        with pytest.raises(LookupError, match=f"run {run} is {why}"):
            store.log(run, points=POINTS)
    assert database.sizes() == before


def test_it_waits_for_who_writes_and_tells_whom_it_did_not_outwait(
    store, database, twins, monkeypatch
):
    monkeypatch.setattr(rows, "BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(database.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            store.log(twins[0], points=POINTS)
    store.log(twins[0], points=POINTS)
    assert len(everything(database, twins[0])["metrics"]) == len(POINTS)


def test_runs_are_found_as_mlflow_finds_them(store, monkeypatch):
    experiment = store.experiment("unit")
    made = [
        store.client.create_run(experiment, began, {"nnlab.run": name}).info.run_id
        for name, began in (("aa11", 5), ("aa11", 7), ("aa1", 6), ("aa11", 6), ("aa11", 8))
    ]
    store.client.delete_run(made[3])
    found = store._all("aa11")
    monkeypatch.setattr(Store, "_database", None)
    assert found == store._all("aa11") == [made[4], made[1], made[0]]


def test_files_become_artifacts_as_mlflow_makes_them(store, twins, tmp_path, monkeypatch):
    files = [tmp_path / "weights.npz", tmp_path / "ü.txt"]
    for file in files:
        file.write_bytes(file.name.encode())
    ours, theirs = twins
    store.keep(ours, files)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "_database", None)
        store.keep(theirs, files)
    listed = [
        {(one.path, one.file_size, one.is_dir) for one in store.client.list_artifacts(run)}
        for run in twins
    ]
    assert listed[0] == listed[1]
    assert {path for path, *_ in listed[0]} == {file.name for file in files}
    (tmp_path / "loaded").mkdir()
    store.client.download_artifacts(ours, "ü.txt", str(tmp_path / "loaded"))
    assert (tmp_path / "loaded" / "ü.txt").read_text(encoding="utf-8") == "ü.txt"


def test_artifacts_that_are_kept_elsewhere_go_through_mlflow(store, twins, tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "artifacts", lambda *_: None)
    sent = []
    monkeypatch.setattr(store.client, "log_artifact", lambda *what: sent.append(what))
    store.keep(twins[0], [tmp_path / "one"])
    assert sent == [(twins[0], str(tmp_path / "one"))]

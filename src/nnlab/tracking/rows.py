"""What there are hundreds of in a run, written into a local MLflow database by SQL: params, points
of metrics, tags.

MLflow's `log_batch` makes an object of each value and takes a transaction and more for each of the
three: 80 ms for a run of 360 points, where this takes 10. MLflow itself makes runs, inputs and
states. Its version is pinned, and a test holds that the rows are those that it would write.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from nnlab.tracking.entries import Point

BUSY_SECONDS = 20
"""How long another process may hold the database; MLflow waits as long."""
_TAG = """
INSERT INTO tags (run_uuid, key, value) VALUES (?, ?, ?)
ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value
"""
_METRIC = """
INSERT OR IGNORE INTO metrics (step, timestamp, value, key, run_uuid, is_nan)
VALUES (?, ?, ?, ?, ?, 0)
"""
_LATEST = """
INSERT INTO latest_metrics (step, timestamp, value, key, run_uuid, is_nan)
VALUES (?, ?, ?, ?, ?, 0)
ON CONFLICT (key, run_uuid) DO UPDATE
SET value = excluded.value, timestamp = excluded.timestamp, step = excluded.step, is_nan = 0
WHERE (excluded.step, excluded.timestamp, excluded.value) > (step, timestamp, value)
"""
_FIND = """
SELECT run_uuid FROM tags JOIN runs USING (run_uuid)
WHERE key = 'nnlab.run' AND value = ? AND lifecycle_stage = 'active'
ORDER BY start_time DESC, run_uuid
"""


def log(
    database: Path,
    mlflow_id: str,
    params: Mapping[str, str],
    points: Iterable[Point],
    tags: Mapping[str, str],
) -> None:
    """Add them to the run, all of them or none. What is there already stays as it is, but tags.

    Raises `LookupError` where there is no such run or it is deleted, `ValueError` where a param
    has another value.
    """
    rows = sorted((one.step, one.time, one.value, one.key, mlflow_id) for one in points)
    latest = {key: (step, time, value, key, run) for step, time, value, key, run in rows}
    with _transaction(database) as connection:
        _check_active(connection, mlflow_id)
        _check_same(connection, mlflow_id, params)
        new = [(mlflow_id, *param) for param in params.items()]
        connection.executemany(
            "INSERT OR IGNORE INTO params (run_uuid, key, value) VALUES (?, ?, ?)", new
        )
        connection.executemany(_METRIC, rows)
        connection.executemany(_LATEST, latest.values())
        connection.executemany(_TAG, [(mlflow_id, *tag) for tag in tags.items()])


def find(database: Path, run: str) -> list[str]:
    """The MLflow ids of all runs that are this run of ours, but deleted ones."""
    with closing(sqlite3.connect(database, timeout=BUSY_SECONDS)) as connection:
        return [mlflow_id for (mlflow_id,) in connection.execute(_FIND, (run,))]


def artifacts(database: Path, mlflow_id: str) -> Path | None:
    """The folder of a run's artifacts; None where it is no folder of this machine."""
    with closing(sqlite3.connect(database, timeout=BUSY_SECONDS)) as connection:
        found = "SELECT artifact_uri FROM runs WHERE run_uuid = ?"
        (uri,) = connection.execute(found, (mlflow_id,)).fetchone()
    parsed = urlparse(uri)
    return Path(url2pathname(parsed.path)) if parsed.scheme == "file" else None


@contextmanager
def _transaction(database: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(database, timeout=BUSY_SECONDS)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")  # or it may have to give up where it begins to write
        yield connection


def _check_active(connection: sqlite3.Connection, mlflow_id: str) -> None:
    found = "SELECT lifecycle_stage FROM runs WHERE run_uuid = ?"
    stage = connection.execute(found, (mlflow_id,)).fetchone()
    if stage != ("active",):
        raise LookupError(f"run {mlflow_id} is {'deleted' if stage else 'not there'}")


def _check_same(connection: sqlite3.Connection, mlflow_id: str, params: Mapping[str, str]) -> None:
    logged = "SELECT key, value FROM params WHERE run_uuid = ?"
    for key, value in connection.execute(logged, (mlflow_id,)) if params else ():
        if params.get(key, value) != value:
            raise ValueError(f"run {mlflow_id}: {key} is {value!r}, and cannot be {params[key]!r}")

"""A store that was moved: where its artifacts are now.

MLflow keeps the absolute place of every experiment's artifacts and has no call to change it. So
this is told to the database itself; MLflow's version is pinned, and a test holds the tables.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

ARTIFACTS = "artifacts"


def follow_the_artifacts(database: Path) -> None:
    """Have the database look for artifacts in the folder beside it, where it looks for them in
    one that it was moved or copied from."""
    with closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        for experiment, old in connection.execute(
            "SELECT experiment_id, artifact_location FROM experiments"
        ).fetchall():
            new = _moved(old, database.resolve().parent / ARTIFACTS)
            if new:
                connection.execute(
                    "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
                    (new, experiment),
                )
                connection.execute(
                    "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) "
                    "WHERE experiment_id = ? AND substr(artifact_uri, 1, ?) = ?",
                    (new, len(old) + 1, experiment, len(old), old),
                )


def _moved(location: str, beside: Path) -> str | None:
    """Where the artifacts of that location are now, if it is not there."""
    if not location.startswith("file:"):
        return None
    old = Path(url2pathname(urlparse(location).path))
    new = beside / old.name
    if old == new or old.parent.name != ARTIFACTS:
        return None
    gone = beside.is_dir() and not old.parent.exists()
    return new.as_uri() if new.is_dir() or gone else None

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
    one that it was moved or copied from: the folder beside it has some of them."""
    beside = database.resolve().parent / ARTIFACTS
    with closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        rows = connection.execute("SELECT experiment_id, artifact_location FROM experiments")
        places = {experiment: (uri, _folder(uri)) for experiment, uri in rows.fetchall()}
        left = {old.parent for _, old in places.values() if old and (beside / old.name).is_dir()}
        for experiment, (uri, old) in places.items():
            if old and old.parent in left - {beside}:
                new = (beside / old.name).as_uri()
                connection.execute(
                    "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
                    (new, experiment),
                )
                connection.execute(
                    "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) "
                    "WHERE experiment_id = ? AND substr(artifact_uri, 1, ?) = ?",
                    (new, len(uri) + 1, experiment, len(uri), uri),
                )


def _folder(uri: str) -> Path | None:
    """The folder of an experiment's artifacts, if it lies in one of ours."""
    if not uri.startswith("file:"):
        return None
    folder = Path(url2pathname(urlparse(uri).path))
    return folder if folder.parent.name == ARTIFACTS else None

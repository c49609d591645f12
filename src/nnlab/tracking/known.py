"""What MLflow has of our runs, read without importing it, which takes two seconds.

A local database is read by SQL, a server by its REST API. MLflow's version is pinned, so what is
read here stays as it is; a test on a database of MLflow's own holds it.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

from nnlab.errors import first_line
from nnlab.runs.owner import Owner

FIRST_SECONDS, PAGE_SECONDS = 3.0, 15.0
"""How long a server may take for its first answer, and for each page of runs."""
_PAGE = 500
_TAGS = ("nnlab.run", "nnlab.kind", "nnlab.pid", "nnlab.started", "nnlab.boot", "nnlab.host")
_QUERY = f"""
SELECT run_uuid, name, status, lifecycle_stage, key, value FROM tags JOIN runs USING (run_uuid)
WHERE key IN ({", ".join("?" * len(_TAGS))})
"""  # noqa: S608 (question marks alone)
_WRONG = (  # a file that is no database, a server that is away or not MLflow's
    sqlite3.Error,
    OSError,
    HTTPException,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)


class UnreadableError(Exception):
    """What MLflow has cannot be read."""


class NotCheckedError(UnreadableError):
    """It is kept where MLflow alone can read it."""


@dataclass(frozen=True)
class Known:
    """A run of ours as MLflow has it."""

    mlflow: str
    """MLflow's id."""
    name: str
    status: str
    stage: str
    """`active` or `deleted`."""
    tags: dict[str, str]
    """Who and what it is."""

    @property
    def run(self) -> str:
        """Our id."""
        return self.tags["nnlab.run"]

    @property
    def owner(self) -> Owner:
        """Who wrote it last."""
        return Owner.of_tags(self.tags)


def known(uri: str) -> list[Known]:
    """Every run of ours that this database or server has, deleted ones too.

    Raises `UnreadableError` if it does not answer, `NotCheckedError` if it is of another kind.
    """
    try:
        if uri.startswith("sqlite:///"):
            return list(_of_database(Path(uri.removeprefix("sqlite:///"))))
        if uri.startswith(("http://", "https://")):
            return list(_of_server(uri.rstrip("/")))
    except _WRONG as error:
        reason = str(getattr(error, "reason", "")) or first_line(error)
        raise UnreadableError(f"{uri} cannot be read: {reason}") from error
    raise NotCheckedError(f"{uri} is not checked: SQLite files and servers alone are")


def _of_database(path: Path) -> Iterator[Known]:
    if not path.exists():
        return
    found: dict[str, Known] = {}
    # not mode=ro: what a process that died in a transaction left has to be undone to be read
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=10)) as base:
        base.execute("PRAGMA query_only = ON")
        for mlflow, name, status, stage, key, value in base.execute(_QUERY, _TAGS):
            run = found.setdefault(mlflow, Known(mlflow, name, status, stage, {}))
            run.tags[key] = value
    yield from (run for run in found.values() if "nnlab.run" in run.tags)


def _of_server(uri: str) -> Iterator[Known]:
    experiments = [
        experiment["experiment_id"]
        for experiment in _pages(uri, "experiments", {"view_type": "ALL"}, FIRST_SECONDS)
    ]
    wanted = {
        "experiment_ids": experiments,
        "filter": "tags.`nnlab.run` LIKE '%'",
        "run_view_type": "ALL",
    }
    for run in _pages(uri, "runs", wanted, PAGE_SECONDS) if experiments else ():
        tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
        info = run["info"]
        yield Known(info["run_id"], info["run_name"], info["status"], info["lifecycle_stage"], tags)


def _pages(uri: str, what: str, wanted: dict[str, Any], seconds: float) -> Iterator[Any]:
    """What a search of the REST API gives, page by page."""
    token = ""
    while True:
        body = json.dumps({**wanted, "max_results": _PAGE, "page_token": token}).encode()
        request = Request(  # noqa: S310 (http or https)
            f"{uri}/api/2.0/mlflow/{what}/search", body, {"Content-Type": "application/json"}
        )
        with urlopen(request, timeout=seconds) as answer:  # noqa: S310
            page = json.load(answer)
        yield from page.get(what, ())
        token = page.get("next_page_token", "")
        if not token:
            return

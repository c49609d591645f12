"""`nnlab info RUN`: what a run is, what it was trained on, and how far it came."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from nnlab.commands.options import check_uri, found_store, parser
from nnlab.errors import UserError
from nnlab.runs.destination import own_database
from nnlab.runs.past import directories, find, glance

if TYPE_CHECKING:
    from nnlab.reproduction.logged import Logged

_BEST_OF = "best of "


def run(arguments: Sequence[str]) -> int:
    """Exit code 0; 2 if there is no such run."""
    made = parser("info", "What a run is, what it was trained on, and how far it came.")
    made.add_argument(
        "run", nargs="+", metavar="RUN", help="an id or its beginning, a name, or: best of STUDY"
    )
    made.add_argument("--json", action="store_true", help="for programs")
    options = made.parse_args(arguments)
    if options.uri:
        check_uri(options.uri)
    selector = " ".join(options.run)
    if " " in selector and not re.fullmatch(rf"{_BEST_OF}\S+", selector):
        raise UserError(f"one run at a time, or `best of STUDY`, but got {selector!r}")
    told = _told(found_store(options), selector, options.uri)
    if options.json:
        from nnlab.runs.journal import in_json

        print(json.dumps(in_json(told), indent=1))
    else:
        from nnlab.commands.summary import show

        show(told)
    return 0


def _told(store: Path, selector: str, uri: str | None) -> dict[str, Any]:
    """What is known of the run: by its directory or, where there is none, by the tracker."""
    from nnlab.runs.overrides import overrides
    from nnlab.runs.summary import summary

    path = directory(store, selector)
    told = _tracked(store, selector, uri) if path is None else summary(path)
    if path is not None:
        told["mlflow"] = _mlflow(path, uri)
    told["overrides"] = overrides(told["config"]) if told["kind"] != "study" else []
    return told


def check_selector(selector: str) -> None:
    """Raise `UserError` for a text that names no run: of several words but 'best of STUDY'."""
    if " " in selector and not re.fullmatch(rf"{_BEST_OF}\S+", selector):
        raise UserError(f"a run is an id, a name, or 'best of STUDY', but got {selector!r}")


def directory(store: Path, selector: str) -> Path | None:
    """The directory of the run; None where the store has no such run.

    Raises `UserError` where there are several, or the study has no best trial.
    """
    text = selector.removeprefix(_BEST_OF)
    paths = list(directories(store))
    if any(path.name.startswith(text) for path in paths):
        path = find(store, text)
    else:
        named = [one for one in paths if (at := glance(one)) and at.start["name"] == text]
        if len(named) > 1:
            ids = ", ".join(one.name for one in named)
            raise UserError(f"{text} is the name of {len(named)} runs: {ids}")
        if not named:
            return None
        (path,) = named
    return _best(path) if selector.startswith(_BEST_OF) else path


def _best(study: Path) -> Path | None:
    """The directory of a study's best trial, if it is still there."""
    from nnlab.runs.summary import summary

    told = summary(study)
    if told["kind"] != "study":
        raise UserError(f"`best of` needs a study, but {told['name']} is a {told['kind']}")
    if told["best"] is None:
        raise UserError(f"study {told['run']} has no complete trial")
    path = study.with_name(told["best"])
    return path if path.is_dir() else None


def _mlflow(path: Path, uri: str | None) -> dict[str, str] | None:
    """The tracker that the run went to, and the id that it has there."""
    from nnlab.tracking.sent import destination, sent

    at = glance(path)
    place = uri or (destination(at.start, path.parents[1]) if at else None)
    known = sent(path, place) if place else None
    return {"uri": str(place), "run": known.run} if known and known.run else None


def _tracked(store: Path, selector: str, uri: str | None) -> dict[str, Any]:
    """What the tracker alone knows of the run; raises `UserError` if it is not there either."""
    with TemporaryDirectory() as folder:
        found, place = fetched(store, selector, uri, Path(folder))
        return logged(found, Path(folder), place)


def fetched(store: Path, selector: str, uri: str | None, folder: Path) -> tuple[Logged, str]:
    """The run as the tracker knows it, its files in `folder`, and the tracker that was asked."""
    from nnlab.reproduction.logged import fetch
    from nnlab.tracking.sent import sqlite_file

    place = uri or own_database(store)
    database = sqlite_file(place)
    if database is not None and not database.exists():
        find(store, selector.removeprefix(_BEST_OF))  # it says what there is
    try:
        return fetch(place, selector, folder), place
    except UserError as error:
        raise UserError(f"{store}/runs has no run {selector}, and {place}: {error}") from error


def logged(found: Logged, folder: Path, uri: str) -> dict[str, Any]:
    """What `runs.summary` tells of a directory, of a run as the tracker knows it."""
    from nnlab.runs.about import DATA
    from nnlab.runs.run import HASHES

    tags, last = found.tags, found.last_step
    metrics = {name: value for (step, name), value in found.points.items() if step == last}
    data = folder / DATA
    return {
        "run": found.run,
        "name": found.name,
        "kind": tags["nnlab.kind"],
        "parent": None,
        "members": [],
        "experiment": None,
        "state": found.status,
        "rule": tags.get("nnlab.stop_rule"),
        "reason": tags.get("stop_reason", "the tracker knows no reason"),
        "began": None,
        "last_written": None,
        "resumed": 0,
        "evaluations": len({step for step, _ in found.points}),
        "step": last,
        "epoch": metrics.pop("epoch", 0.0),
        "seconds": None,
        "metrics": metrics,
        "trials": {},
        "best": None,
        "config": found.config,
        "data": json.loads(data.read_text(encoding="utf-8")) if data.exists() else None,
        "weights": tags.get(HASHES[0]),
        "averaged": tags.get(HASHES[1]),
        "tags": dict(tags),
        "mlflow": {"uri": uri, "run": found.mlflow},
        "directory": None,
        "files": [],
    }

"""`nnlab register RUN NAME`: a run's model becomes a version of a model in MLflow's registry."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnlab.commands.console import say
from nnlab.commands.info import check_selector, directory
from nnlab.commands.options import check_uri, found_store, parser, store_option
from nnlab.core.laws import LawError
from nnlab.errors import UserError
from nnlab.runs.destination import check_model_name, own_database


def run(arguments: Sequence[str]) -> int:
    """Exit code 0 if the run is a version of the model, be it one already; 2 if it cannot be."""
    made = parser("register", "Make a run's model a version of a model in MLflow's registry.")
    made.add_argument("run", metavar="RUN", help="an id or its beginning, or 'best of STUDY'")
    made.add_argument("name", metavar="NAME", help="of the registered model")
    options = made.parse_args(arguments)
    if options.uri:
        check_uri(options.uri)
    try:
        check_model_name(NAME=options.name)
    except LawError as error:
        raise UserError(str(error)) from error
    check_selector(options.run)
    store = found_store(options)
    path = directory(store, options.run)
    if path is None:
        raise UserError(f"there is no run {options.run} in {store}/runs: its weights are needed")
    register(path, options.name, options.uri)
    return 0


def register(path: Path, name: str, uri: str | None = None) -> None:
    """Register the run in that directory, and say as what; `uri` instead of its own tracker.

    Raises `UserError` where the run has no model, or MLflow does not take it.
    """
    model = Model.of(path)
    uri = uri or model.uri
    if uri is None:
        raise UserError(f"run {path.name} is in no MLflow (tracking=none), so it has no registry")
    option = "" if uri == own_database(path.parents[1]) else f" --uri {uri}"
    command = f"nnlab reproduce {path.name}{store_option(path.parents[1])}{option}"
    wanted = {
        "path": str(path.absolute()),
        "name": name,
        "tags": model.tags,
        "description": f"{model.said}\n\n    {command}",
    }
    version, new = _registered(uri, wanted)
    already = "" if new else " already"
    said = f"run {path.name} is {name} version {version}{already}"
    say(f"registered: {said} (models:/{name}/{version})")


@dataclass(frozen=True)
class Model:
    """What a run's directory says of its model: where it is shown, and what is told of it."""

    uri: str | None
    tags: dict[str, str]
    said: str

    @classmethod
    def of(cls, path: Path) -> Model:
        """Raises `UserError` unless the run came to its end with finite weights, which are those
        that its journal says, and can be served."""
        import numpy as np

        from nnlab import serving
        from nnlab.runs.journal import JournalError, read
        from nnlab.runs.past import JOURNAL, Past
        from nnlab.runs.run import HASHES, WEIGHTS
        from nnlab.runs.weights import digest
        from nnlab.tracking.sent import destination

        try:
            past = Past(read(path / JOURNAL))
        except (JournalError, OSError) as error:
            raise UserError(str(error)) from error
        name = f"{past.start['name']} (run {path.name})"
        if past.start["kind"] == "study":
            raise UserError(f"{name} is a study; 'best of {path.name}' is its best trial")
        if past.members:
            several = ", ".join(past.members)
            raise UserError(f"{name} is several trainings, each a model; register one: {several}")
        if past.resumable or not (path / WEIGHTS).exists():
            raise UserError(f"{name} has not come to its end: it has no weights to register")
        model = serving.load(path)
        if digest(model.theta, model.buffers) != past.tags.get(HASHES[1]):
            raise UserError(
                f"{name}: {WEIGHTS} does not hold the weights that its journal tells of"
            )
        if not np.isfinite(model.theta).all():
            raise UserError(f"{name} has diverged: its weights are not finite")
        study = _study(path, past.start)
        hashes = {key: past.tags[key] for key in HASHES if key in past.tags}
        tags = {f"nnlab.{key}": value for key, value in study.items()} | hashes
        said = past.start["name"]
        if study:
            said += f", a trial of study {study['study']}: {study['metric']} = {study['value']}"
        return cls(destination(past.start, path.parents[1]), tags, said)


def _study(path: Path, start: Any) -> dict[str, str]:
    """The study of a trial, what it searched for, and what the trial reached; empty where there is
    none, or its directory is gone."""
    from nnlab.runs.journal import JournalError, read
    from nnlab.runs.past import JOURNAL

    if start["kind"] != "trial":
        return {}
    try:
        first, *records = read(path.with_name(start["parent"]) / JOURNAL)
    except (JournalError, OSError, ValueError):
        return {"study": start["parent"]}
    told = [one for one in records if one["type"] == "told" and one["run"] == path.name]
    if not told or told[-1]["values"] is None:
        return {"study": start["parent"]}
    values = ", ".join(map(str, told[-1]["values"]))
    metric = first["params"]["sweep.metric"]
    return {"study": start["parent"], "metric": metric, "value": values}


def _registered(uri: str, wanted: dict[str, Any]) -> tuple[int, bool]:
    """What the registering process says: the version, and whether it is new."""
    from nnlab.tracking.process import mlflow_command, mlflow_environment

    done = subprocess.run(
        mlflow_command("nnlab.tracking.registration", uri),
        input=json.dumps(wanted),
        env=mlflow_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise UserError(lines[-1] if lines else f"{uri} did not register run {wanted['path']}")
    said = json.loads(done.stdout.splitlines()[-1])
    return said["version"], said["new"]

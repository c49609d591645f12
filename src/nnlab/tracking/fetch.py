"""The fetching process: what MLflow knows of a run, as files.

    python -m nnlab.tracking.fetch URI SELECTOR FOLDER

SELECTOR is an MLflow run id, an nnlab run id, a unique prefix of either, or `best of STUDY`. The
run's `config.yaml`, `environment.json` and `data.json` are downloaded to FOLDER, and `logged.json`
is written there: ids, tags, status and every metric point. A line that says what is wrong goes to
standard error, with exit code 2.
"""

import json
import math
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from nnlab.errors import UserError, first_line
from nnlab.names import nearest
from nnlab.runs.about import DATA
from nnlab.runs.journal import JournalError, number, read
from nnlab.runs.past import CONFIG, ENVIRONMENT, JOURNAL
from nnlab.tracking.entries import CUT, NON_FINITE, non_finite
from nnlab.tracking.sent import sqlite_file
from nnlab.tracking.store import Store

LOGGED = "logged.json"


def fetch(store: Store, selector: str, folder: Path) -> None:
    """Write the files of the run that `selector` names."""
    client = store.client
    run = _selected(store, selector)
    for name in (CONFIG, ENVIRONMENT):
        try:
            client.download_artifacts(run.info.run_id, name, str(folder))
        except (MlflowException, OSError) as error:
            raise UserError(f"run {run.info.run_id} has no artifact {name} in MLflow") from error
    with suppress(MlflowException, OSError):  # an older run has none
        client.download_artifacts(run.info.run_id, DATA, str(folder))
    logged = {
        "mlflow": run.info.run_id,
        "run": run.data.tags["nnlab.run"],
        "name": run.info.run_name,
        "status": run.info.status,
        "tags": dict(run.data.tags),
        "metrics": _metrics(client, run, folder),
    }
    (folder / LOGGED).write_text(json.dumps(logged), encoding="utf-8")


def _metrics(client: MlflowClient, run: Run, folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every metric's points, those that are not finite too."""
    points = {}
    for key in sorted({*run.data.metrics} - {NON_FINITE}):
        history = client.get_metric_history(run.info.run_id, key)
        points[key] = [(point.step, point.value) for point in history]
    for tag, value in run.data.tags.items():
        if tag.startswith(f"{NON_FINITE}/"):
            key = tag.removeprefix(f"{NON_FINITE}/")
            wrong = _journaled(client, run, folder, key) if CUT in value else non_finite(value)
            points[key] = sorted((*points.get(key, []), *wrong), key=lambda point: point[0])
    return points


def _journaled(client: MlflowClient, run: Run, folder: Path, key: str) -> list[tuple[int, float]]:
    """The points of a metric that are not finite, where a tag is too short for them."""
    try:
        if not (folder / JOURNAL).exists():
            client.download_artifacts(run.info.run_id, JOURNAL, str(folder))
        records = read(folder / JOURNAL)
    except (MlflowException, OSError, JournalError) as error:
        raise UserError(f"run {run.info.run_id} has no whole artifact {JOURNAL}") from error
    values = [
        (record["step"], number(record["metrics"][key]))
        for record in records
        if record["type"] == "report" and key in record["metrics"]
    ]
    return [(step, value) for step, value in values if not math.isfinite(value)]


def _selected(store: Store, selector: str) -> Run:
    """The one run that is meant."""
    study = re.fullmatch(r"best of (\S+)", selector)
    run = _one(store, study[1] if study else selector)
    kind = run.data.tags["nnlab.kind"]
    if study or kind == "study":
        if kind != "study":
            raise UserError(f"{selector!r} needs a study, but run {run.info.run_id} is a {kind}")
        if not study:
            raise UserError(f"{selector} is a study; `best of {selector}` is its best trial")
        if "nnlab.best_run" not in run.data.tags:
            raise UserError(f"study {study[1]} has no complete trial")
        run = _one(store, run.data.tags["nnlab.best_run"])
    return run


def _one(store: Store, text: str) -> Run:
    """The run with this id, or with the one id that begins so."""
    if not re.fullmatch(r"[0-9a-f]{3,32}", text):
        raise UserError(f"a run is named by 3 to 32 of the characters 0-9 a-f, but got {text!r}")
    client = store.client
    experiments = store.experiments()
    found: dict[str, Run] = {}
    for condition in (f"tags.`nnlab.run` LIKE '{text}%'", f"attributes.run_id LIKE '{text}%'"):
        for run in client.search_runs(experiments, condition, max_results=10):
            if "nnlab.run" in run.data.tags:
                found[run.info.run_id] = run
    for run in found.values():
        if text in (run.info.run_id, run.data.tags["nnlab.run"]):
            return run
    if not found:
        runs = client.search_runs(experiments, "tags.`nnlab.run` LIKE '%'", max_results=1000)
        near = nearest(text, [run.data.tags["nnlab.run"] for run in runs])
        raise UserError(f"no run of nnlab in MLflow has an id that begins with {text}{near}")
    if len(found) > 1:
        ids = ", ".join(run.data.tags["nnlab.run"] for run in found.values())
        raise UserError(f"{text} begins the ids of {len(found)} runs: {ids}; give more of it")
    return next(iter(found.values()))


def main() -> None:
    """The process."""
    uri, selector, folder = sys.argv[1:]
    try:
        database = sqlite_file(uri)
        if database and not database.exists():
            raise UserError(f"there is no MLflow database {database} (--store or --uri names it)")
        fetch(Store(uri, Path(folder)), selector, Path(folder))
    except UserError as error:
        _fail(error)
    except Exception as error:  # whatever MLflow, its database or its server raises
        _fail(f"{uri} cannot be read: {first_line(error)}")


def _fail(what: Any) -> None:
    print(what, file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()

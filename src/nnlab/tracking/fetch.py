"""The fetching process: what MLflow knows of a run, as files.

    python -m nnlab.tracking.fetch URI SELECTOR FOLDER [WHAT]

SELECTOR is an MLflow run id, an nnlab run id, a unique prefix of either, a name that one run has,
or `best of STUDY`. The run's `config.yaml`, `environment.json` and `data.json` are downloaded to
FOLDER, and `logged.json` is written there: ids, tags, params, status, every metric point,
and the last ones as a list of runs shows them. A line that says what is wrong goes to standard
error, with exit code 2. WHAT is

    facts    that (the default)
    whole    also `journal.jsonl`, `uncommitted.diff` and `weights.npz`; those of the weights that
             its seeds and folds have are in FOLDER/members/0, 1, ...; where the journal is larger
             than is read, it is not there, and FOLDER/not_compared.txt says so
    several  the same of several runs: SELECTOR is MLflow ids with commas between them, each run's
             files are in FOLDER/ID, and what is wrong with one is in FOLDER/ID/error.txt
    trials   only `trials.json`: what MLflow knows of the trials of a study, in their order
"""

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from nnlab.errors import UserError, first_line
from nnlab.runs.about import DATA
from nnlab.runs.config import MOST
from nnlab.runs.journal import JournalError, each, number
from nnlab.runs.past import CONFIG, ENVIRONMENT, JOURNAL, TRIAL_STATE
from nnlab.runs.plain import Config, load
from nnlab.runs.records import check
from nnlab.runs.run import DIFF, WEIGHTS
from nnlab.tracking.artifacts import POINTS, TooLargeError, download, limit_memory
from nnlab.tracking.entries import CUT, NON_FINITE, non_finite
from nnlab.tracking.selection import every, one, selected
from nnlab.tracking.sent import sqlite_file
from nnlab.tracking.store import Store

LOGGED, TRIALS, MEMBERS, ERROR = "logged.json", "trials.json", "members", "error.txt"
NOT_COMPARED = "not_compared.txt"
WHOLE = (JOURNAL, DIFF, WEIGHTS)


def fetch(store: Store, selector: str, folder: Path) -> None:
    """Write the files of the run that `selector` names."""
    client = store.client
    run = selected(store, selector)
    _fetch(client, run, folder)


def fetch_whole(store: Store, selector: str, folder: Path) -> None:
    """Write all files of the run that `selector` names that say how it came about."""
    _fetch_whole(store, selected(store, selector), folder)


def fetch_several(store: Store, ids: Sequence[str], folder: Path) -> None:
    """Write the files of each of these runs to a folder of its own."""
    for id in ids:
        if not re.fullmatch("[0-9a-f]{32}", id):  # it names a folder here
            raise UserError(f"an MLflow run has an id of 32 characters 0-9 a-f, but got {id!r}")
        (folder / id).mkdir()
        try:
            _fetch_whole(store, store.client.get_run(id), folder / id)
        except (UserError, MlflowException, OSError, ValueError, KeyError) as error:
            (folder / id / ERROR).write_text(first_line(error), encoding="utf-8")


def fetch_trials(store: Store, selector: str, folder: Path) -> None:
    """Write what is known of a study's trials: of each the run that began last."""
    study = one(store, selector)
    kind = study.data.tags["nnlab.kind"]
    if kind != "study":
        raise UserError(f"a study has trials, but {study.info.run_name} is a {kind}")
    condition = f"tags.`nnlab.study` = '{study.data.tags['nnlab.run']}'"
    latest: dict[int, Run] = {}
    for run in sorted(every(store, condition), key=lambda run: int(run.info.start_time)):
        latest[int(run.data.tags["nnlab.trial"])] = run
    trials = [
        {
            "trial": number,
            "run": run.data.tags["nnlab.run"],
            "mlflow": run.info.run_id,
            "name": run.info.run_name,
            "state": run.data.tags.get(TRIAL_STATE, run.info.status),
        }
        for number, run in sorted(latest.items())
    ]
    told = {
        "study": study.data.tags["nnlab.run"],
        "name": study.info.run_name,
        "best": study.data.tags.get("nnlab.best_run"),
        "trials": trials,
    }
    (folder / TRIALS).write_text(json.dumps(told), encoding="utf-8")


def _fetch_whole(store: Store, run: Run, folder: Path) -> None:
    _fetch(store.client, run, folder)
    for name in WHOLE:
        try:
            _download(store.client, run, name, folder)
        except TooLargeError as error:
            if name != JOURNAL:
                raise
            (folder / JOURNAL).unlink(missing_ok=True)
            (folder / NOT_COMPARED).write_text(str(error), encoding="utf-8")
    for k, member in _members(store, run, _trainings(load(folder / CONFIG))).items():
        into = folder / MEMBERS / str(k)
        into.mkdir(parents=True)
        _download(store.client, member, WEIGHTS, into)


def _trainings(config: Config) -> int:
    """How many seeds and folds that config has; 1 where it cannot be parsed."""
    validation = config.get("validation")
    folds = validation.get("folds", 1) if isinstance(validation, Mapping) else 1
    seeds = config.get("seeds", 1)
    if not (isinstance(seeds, int) and isinstance(folds, int) and min(seeds, folds) >= 1):
        return 1
    return seeds * folds if seeds * folds <= MOST else 1


def _members(store: Store, run: Run, trainings: int) -> dict[int, Run]:
    """The runs of its seeds and folds by their numbers; others are passed over."""
    found: dict[int, Run] = {}
    if trainings == 1:
        return found
    for member in every(store, f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"):
        text = member.data.tags.get("nnlab.member", "")
        if re.fullmatch("[0-9]{1,6}", text) and int(text) < trainings:
            other = found.setdefault(int(text), member)
            if other is not member:
                both = f"{other.info.run_id} and {member.info.run_id}"
                raise UserError(
                    f"run {run.info.run_id} has one training of each number, but {both} "
                    f"both say that they are number {int(text)} (nnlab.member)"
                )
    return found


def _fetch(client: MlflowClient, run: Run, folder: Path) -> None:
    for name in (CONFIG, ENVIRONMENT):
        if not _download(client, run, name, folder):
            raise UserError(f"run {run.info.run_id} has no artifact {name} in MLflow")
    _download(client, run, DATA, folder)  # an older run has none
    logged = {
        "mlflow": run.info.run_id,
        "run": run.data.tags["nnlab.run"],
        "name": run.info.run_name,
        "status": run.info.status,
        "tags": dict(run.data.tags),
        "params": dict(run.data.params),
        "metrics": _metrics(client, run, folder),
        "latest": dict(run.data.metrics),
    }
    (folder / LOGGED).write_text(json.dumps(logged), encoding="utf-8")


def _download(client: MlflowClient, run: Run, name: str, folder: Path) -> bool:
    """Download an artifact; False where there is none."""
    return download(client, run.info.run_id, name, folder)


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
        there = _download(client, run, JOURNAL, folder)
        records = list(each(folder / JOURNAL)) if there else []
        if not records:
            raise JournalError("it is not there")
        check(records)
    except (OSError, JournalError) as error:
        raise UserError(f"run {run.info.run_id} has no whole artifact {JOURNAL}") from error
    values = [
        (record["step"], number(record["metrics"][key]))
        for record in records
        if record["type"] == "report" and key in record["metrics"]
    ]
    return [(step, value) for step, value in values if not math.isfinite(value)]


def main() -> None:
    """The process."""
    uri, selector, folder, *what = sys.argv[1:]
    try:
        database = sqlite_file(uri)
        if database and not database.exists():
            raise UserError(f"there is no MLflow database {database} (--store or --uri names it)")
        limit_memory()
        store, into = Store(uri, Path(folder)), Path(folder)
        match what:
            case ["whole"]:
                fetch_whole(store, selector, into)
            case ["several"]:
                fetch_several(store, selector.split(","), into)
            case ["trials"]:
                fetch_trials(store, selector, into)
            case _:
                fetch(store, selector, into)
    except UserError as error:
        _fail(error)
    except MemoryError:
        _fail(f"{uri} has more of {selector} than is read: it takes more than {POINTS:,} bytes")
    except Exception as error:  # whatever MLflow, its database or its server raises
        _fail(f"{uri} cannot be read: {first_line(error)}")


def _fail(what: Any) -> None:
    print(what, file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()

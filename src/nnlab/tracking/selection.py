"""Which run of a tracker is meant: by an id or its beginning, a name, or `best of STUDY`."""

import re
from collections.abc import Iterator

from mlflow.entities import Run

from nnlab.errors import UserError
from nnlab.names import nearest
from nnlab.tracking.store import Store


def selected(store: Store, selector: str) -> Run:
    """The one run that is meant."""
    study = re.fullmatch(r"best of (\S+)", selector)
    run = one(store, study[1] if study else selector)
    kind = run.data.tags["nnlab.kind"]
    if study or kind == "study":
        if kind != "study":
            raise UserError(f"{selector!r} needs a study, but run {run.info.run_id} is a {kind}")
        if not study:
            raise UserError(f"{selector} is a study; `best of {selector}` is its best trial")
        if "nnlab.best_run" not in run.data.tags:
            raise UserError(f"study {study[1]} has no complete trial")
        run = one(store, run.data.tags["nnlab.best_run"])
    return run


def one(store: Store, text: str) -> Run:
    """The run with this id, or with the one id that begins so, or with this name."""
    client = store.client
    experiments = store.experiments()
    if not re.fullmatch(r"[0-9a-f]{3,32}", text):
        return _called(store, text)
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


def _called(store: Store, name: str) -> Run:
    """The one run with this name."""
    if not re.fullmatch(r"\w[\w .-]{0,199}", name, re.ASCII):
        raise UserError(
            f"a run is named by 3 to 32 of the characters 0-9 a-f, or by its name, but got {name!r}"
        )
    found = [
        run
        for run in store.client.search_runs(
            store.experiments(), f"attributes.run_name = '{name}'", max_results=10
        )
        if "nnlab.run" in run.data.tags
    ]
    if not found:
        return _study_of(store, name)
    if len(found) > 1:
        ids = ", ".join(run.data.tags["nnlab.run"] for run in found)
        raise UserError(f"{name} is the name of {len(found)} runs: {ids}; give an id")
    return found[0]


def _study_of(store: Store, sweep: str) -> Run:
    """The one study of the sweep with this name, which is the study's but for its end."""
    client, experiments = store.client, store.experiments()
    ended = re.compile(re.escape(sweep) + "-[0-9a-f]{4}")
    studies = {
        run.info.run_name: run
        for run in every(store, "tags.`nnlab.kind` = 'study'")
        if ended.fullmatch(run.info.run_name)
    }
    if len(studies) == 1:
        return studies.popitem()[1]
    if studies:
        which = ", ".join(studies)
        raise UserError(f"{sweep} is the sweep of {len(studies)} studies: {which}; give one")
    runs = client.search_runs(experiments, "tags.`nnlab.run` LIKE '%'", max_results=1000)
    near = nearest(sweep, [run.info.run_name for run in runs])
    raise UserError(f"no run of nnlab in MLflow has the id or the name {sweep}{near}")


def every(store: Store, condition: str) -> Iterator[Run]:
    """Every run of which that is so."""
    experiments, token = store.experiments(), None
    while True:
        page = store.client.search_runs(experiments, condition, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return

"""MLflow's store, opened: a database that is created once, under a lock, or a server.

Imports MLflow (two seconds); only the tracking and fetching processes do.
"""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import zip_longest
from pathlib import Path

import mlflow
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from nnlab.runs.atomic import replacing
from nnlab.tracking import rows
from nnlab.tracking.entries import Point, batches
from nnlab.tracking.moved import follow_the_artifacts
from nnlab.tracking.sent import sqlite_file

_KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI's view for trainings
_PROBE_SECONDS = 2.0
_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_METRICS = 1000  # MLflow's limit per batch


class Store:
    """An MLflow store, connected when it is first used."""

    def __init__(self, uri: str, artifacts: Path) -> None:
        self.uri = uri
        self.artifacts = artifacts
        self._experiments: dict[str, str] = {}
        self._runs: dict[str, str] = {}

    @cached_property
    def client(self) -> MlflowClient:
        """The client. A new database is created by one process while others wait."""
        if (database := sqlite_file(self.uri)) is not None:
            ready(database)
            with suppress(sqlite3.OperationalError):  # it may be for reading only
                follow_the_artifacts(database)
        return _connected(self.uri)

    @property
    def _database(self) -> Path | None:
        """The file of a local database, which is there; None for a server."""
        _ = self.client
        return sqlite_file(self.uri)

    def reachable(self) -> bool:
        """Does the server answer at all, whatever it says? True of a database in a file."""
        if not self.uri.startswith(("http:", "https:")):
            return True
        try:
            http_request(  # type: ignore[no-untyped-call]
                get_default_host_creds(self.uri),  # type: ignore[no-untyped-call]
                "/health",
                "GET",
                max_retries=0,
                timeout=_PROBE_SECONDS,
                raise_on_status=False,
            )
        except MlflowException:
            return False
        return True

    def experiment(self, name: str) -> str:
        """The id of the experiment, created if need be.

        Artifacts of a local database go to our folder; those of a server where it keeps them.
        """
        if name not in self._experiments:
            self._experiments[name] = self._experiment(name)
        return self._experiments[name]

    def create(self, run: str, experiment: str, time: int, tags: dict[str, str], name: str) -> str:
        """The MLflow id of a new run of ours."""
        made = self.client.create_run(experiment, time, tags, name)
        self._runs[run] = made.info.run_id
        return self._runs[run]

    def find(self, run: str) -> str | None:
        """The MLflow id of a run of ours, if it is there."""
        if run not in self._runs:
            found = self._all(run)
            if not found:
                return None
            self._runs[run] = found[0]
        return self._runs[run]

    def log(
        self,
        mlflow_id: str,
        *,
        params: Mapping[str, str] | None = None,
        points: Sequence[Point] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Add them to a run; what is there already stays as it is, but tags."""
        if not (params or points or tags):
            return
        if self._database is not None:
            rows.log(self._database, mlflow_id, params or {}, points, tags or {})
            return
        groups = [points[k : k + _METRICS] for k in range(0, len(points), _METRICS)]
        for some_params, some_points, some_tags in zip_longest(
            batches(params or {}), groups, batches(tags or {})
        ):
            self.client.log_batch(
                mlflow_id,
                params=[Param(key, value) for key, value in (some_params or {}).items()],
                metrics=[Metric(p.key, p.value, p.time, p.step) for p in some_points or ()],
                tags=[RunTag(key, value) for key, value in (some_tags or {}).items()],
            )

    def keep(self, mlflow_id: str, files: Sequence[Path]) -> None:
        """Make the files artifacts of a run, each whole or as it was."""
        folder = rows.artifacts(self._database, mlflow_id) if self._database is not None else None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            if folder is None:
                self.client.log_artifact(mlflow_id, str(file))
            else:
                with replacing(folder / file.name, f".{os.getpid()}") as aside:
                    shutil.copy2(file, aside)

    def has(self, mlflow_id: str) -> bool:
        """Is there a run with this MLflow id, be it deleted?"""
        try:
            self.client.get_run(mlflow_id)
        except MlflowException as error:
            if error.error_code == _ABSENT:
                return False
            raise
        return True

    def remove_twins(self, run: str, mlflow_id: str) -> None:
        """Delete what a server made of this run of ours beside this one: one that did not answer
        when it was to create a run may have created it, then or much later. Nothing was ever
        sent to such a run; a copy that somebody made of a run is none.
        """
        for twin in self._all(run):
            if twin != mlflow_id:
                made = self.client.get_run(twin)
                if made.info.status == "RUNNING" and not made.data.params and not made.data.metrics:
                    self.client.delete_run(twin)

    def remove_tag(self, mlflow_id: str, key: str) -> None:
        """Remove a tag; it need not be there."""
        try:
            self.client.delete_tag(mlflow_id, key)
        except MlflowException as error:
            if error.error_code != _ABSENT:
                raise

    def experiments(self) -> list[str]:
        """The ids of all experiments."""
        return [experiment.experiment_id for experiment in self.client.search_experiments()]

    def _all(self, run: str) -> list[str]:
        """The MLflow ids of all runs that are this run of ours, but deleted ones."""
        if self._database is not None:
            return rows.find(self._database, run)
        found = self.client.search_runs(
            self.experiments(), f"tags.`nnlab.run` = '{run}'", ViewType.ACTIVE_ONLY
        )
        return [one.info.run_id for one in found]

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is None:
            local = sqlite_file(self.uri) is not None
            location = (self.artifacts / name).resolve().as_uri() if local else None
            try:
                return str(self.client.create_experiment(name, location, _KIND))
            except MlflowException:  # another process was faster
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)


def ready(database: Path) -> None:
    """Return when the database is there, whole: MLflow's migrations break a fresh SQLite file when
    two processes run them at once, or when one is killed in them.

    One process creates it aside, under a lock. The lock's file says afterwards that this version
    of MLflow has opened the database; to open it then takes no lock.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    marker = database.with_name(f"{database.name}.lock")
    if _is_ready(database, marker):
        return
    with _locked(marker):
        if _is_ready(database, marker):
            return
        marker.write_text("", encoding="utf-8")
        if database.exists() and database.stat().st_size:
            _connected(f"sqlite:///{database}")  # one of MLflow's own, or of an earlier version
        else:
            aside = database.with_name(f"{database.name}.new")
            for left in (aside, aside.with_name(f"{aside.name}-journal")):
                left.unlink(missing_ok=True)
            _connected(f"sqlite:///{aside}")
            aside.replace(database)
        marker.write_text(mlflow.__version__, encoding="utf-8")


def _is_ready(database: Path, marker: Path) -> bool:
    try:
        said = marker.read_text(encoding="utf-8")
        return said == mlflow.__version__ and database.stat().st_size > 0
    except FileNotFoundError:
        return False


def _connected(uri: str) -> MlflowClient:
    client = MlflowClient(tracking_uri=uri)
    client.search_experiments(max_results=1)
    return client


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

"""MLflow's store, opened: a database that is created once, under a lock, or a server.

Imports MLflow (two seconds); only the tracking and fetching processes do.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

_SQLITE = "sqlite:///"
_KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI's view for trainings


class Store:
    """An MLflow store, connected when it is first used."""

    def __init__(self, uri: str, artifacts: Path) -> None:
        self.uri = uri
        self.artifacts = artifacts
        self._experiments: dict[str, str] = {}
        self._runs: dict[str, str] = {}

    @cached_property
    def client(self) -> MlflowClient:
        """The client. A new database is migrated by one process while others wait."""
        with _first_creation(self.uri):
            client = MlflowClient(tracking_uri=self.uri)
            client.search_experiments(max_results=1)
        return client

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
            found = self.client.search_runs(self.experiments(), f"tags.`nnlab.run` = '{run}'")
            if not found:
                return None
            self._runs[run] = found[0].info.run_id
        return self._runs[run]

    def experiments(self) -> list[str]:
        """The ids of all experiments."""
        return [experiment.experiment_id for experiment in self.client.search_experiments()]

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


def sqlite_file(uri: str) -> Path | None:
    """The file of a local database; None for a server."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


@contextmanager
def _first_creation(uri: str) -> Iterator[None]:
    """MLflow's migrations break a fresh SQLite file when two processes run them at once."""
    database = sqlite_file(uri)
    if database is None:
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f"{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

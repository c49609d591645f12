"""A store that is moved or copied, with a real database of MLflow's."""

import shutil

import pytest

from nnlab.tracking.projection import Projection
from nnlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")


@pytest.fixture
def lab(store, tmp_path, finished):
    """A store with a database and a run in it; its folder, and the run's id in MLflow."""
    folder = tmp_path / "lab"
    folder.mkdir()
    shutil.copy(store.uri.removeprefix("sqlite:///"), folder / "mlflow.db")
    projection = Projection(finished(experiment="one"), at(folder))
    projection.advance(last=True)
    at(folder).experiment("empty")
    return folder, projection.run_id


def at(folder):
    return Store(f"sqlite:///{folder}/mlflow.db", folder / "artifacts")


def places(store, run):
    """Where the store looks for a run's artifacts, and for those of new ones."""
    experiments = [store.client.get_experiment_by_name(name) for name in ("one", "empty")]
    uri = store.client.get_run(run).info.artifact_uri
    return [uri, *(experiment.artifact_location for experiment in experiments)]


def expected(folder, run):
    artifacts = (folder / "artifacts").as_uri()
    return [f"{artifacts}/one/{run}/artifacts", f"{artifacts}/one", f"{artifacts}/empty"]


def test_the_artifacts_of_a_moved_store_are_found(lab, tmp_path):
    folder, run = lab
    assert places(at(folder), run) == expected(folder, run)
    moved = tmp_path / "with a space"
    folder.rename(moved)
    assert places(at(moved), run) == expected(moved, run)
    assert {file.path for file in at(moved).client.list_artifacts(run)} >= {"config.yaml"}
    assert not folder.exists()


def test_a_copy_has_artifacts_of_its_own(lab, tmp_path):
    folder, run = lab
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert places(at(copy), run)[:2] == expected(copy, run)[:2]
    assert places(at(folder), run) == expected(folder, run)


def test_the_artifacts_of_a_store_that_has_its_database_elsewhere_stay(lab, tmp_path):
    folder, run = lab
    database = tmp_path / "shared" / "mlflow.db"
    database.parent.mkdir()
    (folder / "mlflow.db").rename(database)
    shared = Store(f"sqlite:///{database}", folder / "artifacts")
    assert places(shared, run) == expected(folder, run)

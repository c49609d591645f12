"""A run's model in MLflow's registry: once, whatever interrupts it, and loaded by MLflow."""

import subprocess
import sys

import mlflow
import numpy as np
import pytest
import yaml
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from nnlab import serving
from nnlab.errors import UserError
from nnlab.runs.compose import compose
from nnlab.runs.config import parse
from nnlab.runs.environment import Environment
from nnlab.runs.execution import Execution
from nnlab.runs.run import Run
from nnlab.tracking import registration
from nnlab.tracking.process import mlflow_environment
from nnlab.tracking.projection import Projection
from nnlab.tracking.registration import Registered, Wanted, register
from nnlab.tracking.sent import claim
from nnlab.tracking.store import Store

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning"),
]
FACTS = {"nnlab": "0", "git": {"commit": "c", "dirty": False}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, store):
    """A real run that is in MLflow: its config, its directory and its last metrics."""
    return train(tmp_path_factory.mktemp("trained"), store)


def train(folder, store):
    composed = compose(["data=iris", "model=linear", "stopping.max_epochs.epochs=2"])
    tracking = {**composed["tracking"], "uri": store.uri, "experiment": "unit"}
    config = parse({**composed, "store": str(folder), "tracking": tracking})
    execution = Execution(config)
    with (
        Run.of(config, "train", environment=Environment(FACTS, "")) as run,
        execution.recorded(run) as reports,
    ):
        *_, last = reports
        execution.keep_weights(run)
    projection = Projection(run.path, store)
    projection.advance(last=True)
    assert projection.done
    return config, run.path, last.metrics


@pytest.fixture
def wanted(trained, request):
    """The run, under a name of the test's own."""
    _, path, _ = trained
    return Wanted(path, request.node.name.replace("[", "-").strip("]"), {"study": "s"}, "how\n\nto")


def versions(store, name):
    return MlflowClient(store.uri, store.uri).search_model_versions(f"name = '{name}'")


def test_a_version_is_linked_to_its_run_and_says_what_it_is(store, database, wanted):
    assert register(store, wanted) == Registered(1, new=True)
    (version,) = versions(store, wanted.name)
    assert version.tags == {"nnlab.run": wanted.path.name, "study": "s"}
    assert (version.description, version.status) == ("how\n\nto", "READY")
    assert database.tags(version.run_id)["nnlab.run"] == wanted.path.name


def test_mlflow_loads_it_and_predicts_what_the_run_measured(store, trained, wanted, monkeypatch):
    config, path, metrics = trained
    register(store, wanted)
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", store.uri)
    model = mlflow.pyfunc.load_model(f"models:/{wanted.name}/1")
    dataset, source = config.experiment.data.load(), config.experiment.data
    rows = config.experiment.validation.divide(dataset, source.test, source.split_seed).test
    said = model.predict(dataset.x[rows])
    accuracy = np.mean(said["label"] == np.array(dataset.classes)[dataset.y[rows]])
    assert accuracy == metrics["test/accuracy_ema"]
    ours = serving.load(path).predict(dataset.x[rows])
    assert all((said[key] == ours[key]).all() for key in ours)
    with pytest.raises(MlflowException, match="shape"):  # by the model's signature
        model.predict(np.zeros((2, 5)))


def test_a_model_is_the_files_of_its_run_and_no_pickle(trained, tmp_path):
    _, path, _ = trained
    registration.write(tmp_path / "model", path, "id")
    files = {str(one.relative_to(tmp_path / "model")) for one in tmp_path.rglob("*.*")}
    assert {f"data/run/{name}" for name in serving.FILES} <= files
    assert not {name for name in files if name.endswith((".pkl", ".pickle", ".py"))}
    said = yaml.safe_load((tmp_path / "model" / "MLmodel").read_text())
    flavor = said["flavors"]["python_function"]
    assert (flavor["loader_module"], flavor["data"]) == ("nnlab.serving", "data/run")
    assert list(said["flavors"]) == ["python_function"]
    assert "python_model" not in flavor


def test_the_example_is_zeros_not_somebodys_data(trained, tmp_path):
    _, path, _ = trained
    registration.write(tmp_path / "model", path, "id")
    assert (tmp_path / "model" / "input_example.json").read_text() == "[[0.0, 0.0, 0.0, 0.0]]"


def test_the_same_run_again_is_no_second_version(store, wanted):
    assert register(store, wanted).new
    assert register(store, wanted) == Registered(1, new=False)
    assert len(versions(store, wanted.name)) == 1


def test_another_name_is_another_model_with_the_same_files(store, wanted, monkeypatch):
    register(store, wanted)
    monkeypatch.setattr(registration, "write", None)  # they are there
    other = Wanted(wanted.path, f"{wanted.name} 2", {}, "")
    assert register(store, other) == Registered(1, new=True)


class StopError(Exception):
    """The process ends here."""


CALLS = ("log_artifacts", "log_artifact", "create_registered_model", "create_model_version")


@pytest.mark.parametrize(
    ("when", "call"), [("before", CALLS[0]), *(("after", call) for call in CALLS)]
)
def test_ended_between_any_two_steps_it_is_one_version_when_done_again(
    store, wanted, monkeypatch, tmp_path, call, when
):
    _, path, _ = train(tmp_path, store)
    wanted = Wanted(path, wanted.name, {}, "")
    real = getattr(MlflowClient, call)

    def stopping(*arguments, **settings):
        if when == "after":
            real(*arguments, **settings)
        raise StopError

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, call, stopping)
        with pytest.raises(StopError):
            register(store, wanted)
    done = register(store, wanted)
    (version,) = versions(store, wanted.name)
    assert done == Registered(1, new=(call, when) != ("create_model_version", "after"))
    artifacts = store.client.list_artifacts(version.run_id, "model")
    assert {"model/MLmodel", "model/data"} <= {one.path for one in artifacts}


def test_a_run_that_is_not_all_in_mlflow_is_refused(store, wanted, finished):
    path = finished()
    with pytest.raises(UserError, match=r"is not completely in .*: `nnlab sync` sends it"):
        register(store, Wanted(path, wanted.name, {}, ""))


def test_a_run_of_another_database_is_refused(folder, wanted):
    other = Store(f"sqlite:///{folder}/other.db", folder)
    with pytest.raises(UserError, match="is not completely in"):
        register(other, wanted)
    assert not (folder / "other.db").exists()


def test_a_run_that_is_being_sent_is_refused(store, wanted):
    with claim(wanted.path), pytest.raises(UserError, match="is being sent to MLflow; try again"):
        register(store, wanted)


def test_a_server_that_is_away_is_one_line(wanted):
    away = Store("http://127.0.0.1:9", wanted.path.parent)
    with pytest.raises(UserError, match=r"^http://127.0.0.1:9 does not answer$"):
        register(away, wanted)


def test_the_process_says_one_line_when_the_registry_fails(wanted, tmp_path):
    said = f'{{"path": "{wanted.path}", "name": "x", "tags": {{}}, "description": ""}}'
    done = subprocess.run(
        [sys.executable, "-P", "-m", "nnlab.tracking.registration", "file:/nowhere"],
        input=said,
        env=mlflow_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert "is not completely in file:/nowhere" in done.stderr.splitlines()[-1]

"""The data sets of runs in MLflow's database."""

from contextlib import suppress

import pytest
from mlflow.exceptions import MlflowException

from nnlab.data.sources.bundled import Iris
from nnlab.runs.about import described
from nnlab.tracking.projection import Projection

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")


@pytest.fixture
def with_data(finished):
    """Makes a finished run that says what its data are; its directory."""

    def make(data=None, **settings):
        from nnlab.runs.run import Run

        data = data or described({"data": {"name": "iris"}}, Iris().split())
        original = Run.__enter__

        def enter(run):
            run.journal.append("data", **data)
            return original(run)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Run, "__enter__", enter)
            return finished(**settings)

    return make


def inputs(database, mlflow):
    """(name, digest, tags) of every data set that a run has."""
    rows = database.rows(
        "SELECT input_uuid, name, digest FROM inputs JOIN datasets ON source_id = dataset_uuid "
        "WHERE destination_id = ? AND source_type = 'DATASET' AND destination_type = 'RUN'",
        mlflow,
    )
    tags = "SELECT name, value FROM input_tags WHERE input_uuid = ?"
    return [(name, digest, dict(database.rows(tags, one))) for one, name, digest in rows]


def sent_whole(path, store):
    projection = Projection(path, store)
    projection.advance(last=True)
    assert projection.done
    return projection


def test_a_run_has_its_data_as_an_input(database, store, with_data):
    projection = sent_whole(with_data(), store)
    ((name, digest, tags),) = inputs(database, projection.run_id)
    assert (name, digest) == ("iris", Iris().load().fingerprint[:12])
    assert tags["mlflow.data.context"] == "train 102, validation 24, test 24"
    (used,) = store.client.get_run(projection.run_id).inputs.dataset_inputs
    assert used.dataset.name == "iris"
    said = database.tags(projection.run_id)["nnlab.leaks"]
    assert said == "no input of validation or test is in the training part"


def test_sending_again_changes_nothing(database, store, with_data):
    projection = sent_whole(with_data(), store)
    once = inputs(database, projection.run_id), database.sizes()
    datasets = database.rows("SELECT COUNT(*) FROM datasets")
    for name in ("mlflow.json", "mlflow.lock"):
        (projection.path / name).unlink()
    again = sent_whole(projection.path, store)
    assert again.run_id == projection.run_id
    assert (inputs(database, projection.run_id), database.sizes()) == once
    assert database.rows("SELECT COUNT(*) FROM datasets") == datasets


def test_runs_of_the_same_data_share_the_data_set(database, store, with_data):
    runs = [sent_whole(with_data(experiment="shared data"), store) for _ in range(2)]
    query = "SELECT COUNT(*) FROM datasets WHERE experiment_id = ?"
    assert database.rows(query, int(runs[0].experiment)) == [(1,)]
    assert all(len(inputs(database, one.run_id)) == 1 for one in runs)


def test_what_was_refused_is_sent_later(database, store, with_data, monkeypatch):
    projection = Projection(with_data(), store)
    with monkeypatch.context() as patch:
        patch.setattr(store.client, "log_inputs", refuse)
        with suppress(MlflowException):
            projection.advance(last=True)
        assert not projection.done
    projection.advance(last=True)
    assert projection.done
    assert len(inputs(database, projection.run_id)) == 1


def refuse(*arguments):
    raise MlflowException("the server is away")


def test_data_that_leak_say_so_in_a_tag(database, store, with_data):
    data = described({"data": {"name": "iris"}}, Iris().split())
    data["leaks"]["test"] = {"same_target": 2, "another_target": 1}
    tags = database.tags(sent_whole(with_data(data), store).run_id)
    assert tags["nnlab.leaks"] == (
        "in the training part, too, are 0 of validation and 3 of test (1 with another target)"
    )

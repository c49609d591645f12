import pytest

from nnlab.core.laws import LawError
from nnlab.runs.destination import MLflow, Untracked

URIS = [
    "sqlite:///mlruns/mlflow.db",
    "sqlite:////tmp/a folder/mlflow.db",
    "http://127.0.0.1:5000",
    "https://mlflow.example.org/prefix/",
    "postgresql://user@host/db",
    "mysql+pymysql://host/db",
]
NO_URIS = [
    "",
    "mlruns",
    "file:///tmp/mlruns",
    "sqlite://",
    "sqlite:///",
    "http://",
    "ftp://host/x",
    "javascript:alert(1)",
    "http://a b",
    "databricks",
]


@pytest.mark.parametrize("uri", URIS)
def test_a_database_or_a_server_is_taken(uri):
    assert MLflow(uri).uri == uri


@pytest.mark.parametrize("uri", NO_URIS)
def test_anything_else_is_refused(uri):
    with pytest.raises(LawError, match=r"sqlite:///mlruns/mlflow\.db") as error:
        MLflow(uri)
    assert error.value.field == "uri"
    assert f"uri={uri!r}" in str(error.value)


@pytest.mark.parametrize("name", ["digits", "a", "3 layers - v1.0_b", "x" * 200])
def test_a_name_of_an_experiment(name):
    assert MLflow(experiment=name).experiment == name


@pytest.mark.parametrize(
    "name", ["", " a", ".hidden", "..", "a/b", "a\\b", "ä", "a\n", "x" * 201, "${x}", "-a"]
)
def test_a_name_that_is_no_name_of_a_folder_is_refused(name):
    with pytest.raises(LawError) as error:
        MLflow(experiment=name)
    assert error.value.field == "experiment"
    assert f"experiment={name!r}" in str(error.value)


def test_an_untracked_run_has_no_destination():
    assert Untracked().uri is None

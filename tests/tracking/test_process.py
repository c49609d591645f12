import os
import signal

import pytest

from nnlab.tracking.process import TrackingProcess, mlflow_environment

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")


@pytest.fixture
def process(store, tmp_path):
    """A tracking process; it is ended, whatever the test did."""
    made = TrackingProcess(store.uri, tmp_path)
    yield made
    made.finish()


@pytest.mark.slow
def test_a_run_that_is_followed_is_complete_when_the_process_has_finished(
    process, database, finished
):
    path = finished()
    process.follow(path)
    tracked = process.finish()
    assert tracked.errors == ()
    assert set(tracked.runs) == {path.name}
    mlflow = tracked.runs[path.name]["mlflow"]
    assert database.run(mlflow)[1] == "FINISHED"
    assert process.log.read_text() == ""


def test_a_process_that_dies_is_an_error_and_no_exception(process, finished):
    os.kill(process._process.pid, signal.SIGKILL)
    process._process.wait()
    process.follow(finished())
    tracked = process.finish()
    assert tracked.runs == {}
    assert tracked.errors == (f"the tracking process ended with code -9; see {process.log}",)


def test_nothing_leaves_the_machine_but_what_is_sent():
    environment = mlflow_environment()
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert environment["DO_NOT_TRACK"] == "true"
    assert environment["PATH"] == os.environ["PATH"]

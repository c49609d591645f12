import os
import signal
import time

import pytest

from nnlab.tracking.process import Tracked, TrackingProcess, mlflow_environment

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
    assert (tracked.failed, tracked.open) == ({}, {})
    assert set(tracked.runs) == {path.name}
    assert tracked.runs[path.name]["new"]
    mlflow = tracked.runs[path.name]["mlflow"]
    assert database.run(mlflow)[1] == "FINISHED"
    assert process.log.read_text() == ""


def test_a_process_that_dies_is_an_error_and_no_exception(process, finished):
    os.kill(process._process.pid, signal.SIGKILL)
    process._process.wait()
    paths = [finished(), finished()]
    for path in paths:
        process.follow(path)
    tracked = process.finish()
    why = f"the tracking process ended with code -9; see {process.log}"
    assert tracked == Tracked(failed={path.name: why for path in paths})
    assert tracked.errors == (why,)


@pytest.mark.slow
def test_a_process_that_is_left_completes_what_it_follows(process, database, finished):
    path = finished()
    process.follow(path)
    began = time.monotonic()
    process.leave()
    assert time.monotonic() - began < 5
    query = "SELECT status FROM runs JOIN tags USING (run_uuid) WHERE value = ?"
    while database.rows(query, path.name) != [("FINISHED",)]:
        assert time.monotonic() - began < 60
        time.sleep(0.1)


@pytest.mark.slow
def test_earlier_runs_are_reaped_and_sent_or_counted(store, database, died, finished, tmp_path):
    """Those of the store that went to the same tracker and are not followed."""
    dead, ended = died(uri=store.uri), finished(uri=store.uri)
    process = TrackingProcess(store.uri, tmp_path)
    tracked = process.finish()
    assert tracked == Tracked(reaped=1, unsent=1)
    query = "SELECT status FROM runs JOIN tags USING (run_uuid) WHERE value = ?"
    assert database.rows(query, dead.name) == [("KILLED",)]
    assert database.rows(query, ended.name) == []


def test_nothing_leaves_the_machine_but_what_is_sent():
    environment = mlflow_environment()
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert environment["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert environment["DO_NOT_TRACK"] == "true"
    assert environment["PATH"] == os.environ["PATH"]

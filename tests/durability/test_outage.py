"""A real MLflow server that hangs, is killed, comes back or never does, under a real training."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import isfinite
from typing import ClassVar

import pytest

from nnlab.runs.journal import read
from nnlab.tracking.process import mlflow_environment

pytestmark = pytest.mark.slow
PATIENCE = 120
"""Seconds; nothing takes a tenth of it on a quiet machine."""


class Server:
    """A server of MLflow's own, on this machine alone."""

    def __init__(self, folder):
        self.database = folder / "mlflow.db"
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self, wait=True):
        command = [sys.executable, "-P", "-m", "mlflow", "server", "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.database}"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env={**mlflow_environment(), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if wait:
            until(self.answers)

    def answers(self):
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def signal(self, number):
        os.killpg(self.process.pid, number)

    def kill(self):
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def rows(self, query, *values):
        if not self.database.exists():
            return []
        with closing(sqlite3.connect(self.database, timeout=20)) as connection:
            return connection.execute(query, values).fetchall()

    def runs(self, run):
        """(MLflow id, status) of each active run that is this run of ours."""
        return self.rows(
            "SELECT run_uuid, status FROM runs JOIN tags USING (run_uuid) WHERE tags.key = "
            "'nnlab.run' AND tags.value = ? AND lifecycle_stage = 'active'",
            run,
        )

    def points(self, run):
        """(key, step, value, time) of every point, in the order in which they came."""
        ((mlflow, _),) = self.runs(run)
        return self.rows(
            "SELECT key, step, value, timestamp FROM metrics WHERE run_uuid = ? ORDER BY rowid",
            mlflow,
        )


def until(condition):
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(tmp_path_factory.mktemp("server"))
    made.start()
    yield made
    made.kill()


def training(seconds, uri):
    """A training that reports often for so long."""
    rules = ["stopping=time_budget", f"stopping.time_budget.seconds={seconds}"]
    return ["train", f"tracking.uri={uri}", "evaluate_every=200 steps", *rules]


def in_journal(lab, run):
    return [
        (key, record["step"], float(value), record["time"])
        for record in read(lab.store / "runs" / run / "journal.jsonl")
        if record["type"] == "report"
        for key, value in (record["metrics"] | {"time/seconds": record["seconds"]}).items()
        if isfinite(float(value))
    ]


def check_all_is_there_once(lab, server, run):
    """Every point is there once, those of a metric in their order, and the run has ended."""
    expected, found = in_journal(lab, run), server.points(run)
    assert len(expected) > 100
    assert set(Counter(found).values()) == {1}
    assert set(found) == set(expected)
    for key in {key for key, *_ in expected}:
        assert [p for p in found if p[0] == key] == [p for p in expected if p[0] == key]
    assert [status for _, status in server.runs(run)] == ["FINISHED"]
    return len(expected)


def shown_points(server, run):
    """How many points MLflow has by now."""
    runs = server.runs(run)
    return len(server.points(run)) if len(runs) == 1 else 0


def test_a_server_that_hangs_in_the_middle_and_wakes_up_later(lab, server, shown):
    with lab.start(*training(8, server.uri)) as process:
        (run,) = lab.wait_for_runs(process, set(), seconds=PATIENCE)
        until(lambda: shown_points(server, run) > 50)
        server.signal(signal.SIGSTOP)
        try:
            out, err = process.communicate(timeout=PATIENCE)
            assert (process.returncode, err) == (0, "")
            missing = f"not yet in MLflow: 1 run ({server.uri} does not answer); nothing is lost"
            assert out.count(missing) == 1
            assert "in MLflow: run" not in out
            refused = lab("sync", code=1).out
            assert f"not sent: 1 run ({server.uri} does not answer)" in refused
        finally:
            server.signal(signal.SIGCONT)
    until(server.answers)
    assert "sent 1 run to MLflow" in lab("sync").out
    points = check_all_is_there_once(lab, server, run)
    assert "sent 0 runs to MLflow; 1 was there already" in lab("sync").out
    assert check_all_is_there_once(lab, server, run) == points
    shown("MLflow's server hung, woke up, nnlab sync", f"{points} of {points} points once")


class Late(BaseHTTPRequestHandler):
    """Passes requests on to the server, but the first creation of a run only after the second
    one was answered, and nobody hears what came of it."""

    uri = ""
    created: ClassVar[list[str]] = []
    answered = threading.Event()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        creation = self.path.endswith("/runs/create")
        if creation:
            self.created.append(self.path)
            if len(self.created) == 1:
                self.answered.wait(PATIENCE)
                self.passed_on(body)
                return
        with self.passed_on(body) as answer:
            text = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
        if creation:
            self.answered.set()

    do_GET = do_PUT = do_PATCH = do_POST

    def passed_on(self, body):
        headers = {"Content-Type": self.headers.get("Content-Type", "application/json")}
        request = urllib.request.Request(
            self.uri + self.path, body or None, headers, method=self.command
        )
        try:
            return urllib.request.urlopen(request, timeout=PATIENCE)
        except urllib.error.HTTPError as error:
            return error

    def log_message(self, *_):
        pass


def test_a_run_that_the_server_makes_late_is_there_once(lab, server, shown):
    """The request to make it gets no answer, is made again, and then both are done."""
    Late.uri = server.uri
    with ThreadingHTTPServer(("127.0.0.1", 0), Late) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        out = lab(*training(13, f"http://127.0.0.1:{proxy.server_port}"))
        proxy.shutdown()
    (run,) = out.runs
    assert "in MLflow: run" in out.out
    assert len(Late.created) == 2
    query = "SELECT COUNT(*) FROM tags WHERE key = 'nnlab.run' AND value = ?"
    assert server.rows(query, run) == [(2,)]  # one of them deleted
    points = check_all_is_there_once(lab, server, run)
    shown("a run that MLflow's server made twice", f"{points} points, one run")


def test_a_server_that_is_killed_and_comes_back_and_two_syncs_at_once(lab, server, shown):
    with lab.start(*training(6, server.uri)) as process:
        (run,) = lab.wait_for_runs(process, set(), seconds=PATIENCE)
        until(lambda: shown_points(server, run) > 50)
        server.kill()
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert out.count("not yet in MLflow: 1 run") == 1
    before = len(server.points(run))
    assert 50 < before < len(in_journal(lab, run))

    (away,) = lab(*training(1, server.uri)).runs  # away from start to end
    assert "not sent: 2 runs" in lab("sync", code=1).out
    assert server.runs(away) == []

    server.start()
    with lab.start("sync") as first, lab.start("sync") as second:
        outs = [process.communicate(timeout=PATIENCE)[0] for process in (first, second)]
        assert [first.returncode, second.returncode] == [0, 0], outs
    points = [check_all_is_there_once(lab, server, name) for name in (run, away)]
    assert "sent 0 runs to MLflow; 2 were there already" in lab("sync").out
    shown("MLflow's server killed, back, two syncs at once", f"{sum(points)} points once")


def test_a_server_that_comes_back_while_the_command_runs_gets_all_from_it(lab, server, shown):
    server.kill()
    with lab.start(*training(20, server.uri)) as process:
        (run,) = lab.wait_for_runs(process, set(), seconds=PATIENCE)
        process.send_signal(signal.SIGSTOP)  # a busy machine may need long to start the server
        server.start()
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "in MLflow: run" in out
    assert "not yet in MLflow" not in out
    points = check_all_is_there_once(lab, server, run)
    shown("MLflow's server away at the start, back in the middle", f"{points} points, no sync")

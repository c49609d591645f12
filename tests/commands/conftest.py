"""Commands as a user runs them, in temporary folders; what they left, read by other means."""

import json
import os
import pty
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlparse

import pytest

NNLAB = str(Path(sys.executable).with_name("nnlab"))


class Lab:
    """A folder in which commands are run."""

    def __init__(self, folder):
        self.folder = folder
        self.store = folder / "mlruns"
        self.database = self.store / "mlflow.db"

    def __call__(self, *arguments, code=0, script=NNLAB, **environment):
        """Run `nnlab ARGUMENTS`, which must exit with that code and without a traceback."""
        done = subprocess.run(
            [script, *arguments] if script == NNLAB else [sys.executable, script, *arguments],
            cwd=self.folder,
            env=os.environ | {"COLUMNS": "200"} | environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        runs = re.findall(r"  run ([0-9a-f]{12})$", done.stdout, re.MULTILINE)
        return SimpleNamespace(out=done.stdout, err=done.stderr, runs=runs)

    @contextmanager
    def start(self, *arguments):
        """The command as a process that runs on, in a group of its own as under a shell.

        It heeds an interrupt though the tests may run where interrupts are ignored (nohup, &).
        """
        with subprocess.Popen(
            [NNLAB, *arguments],
            cwd=self.folder,
            env=os.environ | {"COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def runs(self):
        """Ids of the runs that have a directory."""
        return {path.name for path in self.store.glob("runs/*")}

    def records(self, run):
        """What is in a run's journal, but a last line that is torn."""
        text = (self.store / "runs" / run / "journal.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def journals(self):
        """The journals by run, of all runs that have a first record: a kill may come before it."""
        journals = {}
        for run in self.runs():
            with suppress(FileNotFoundError):
                journals[run] = self.records(run)
        return {run: journal for run, journal in journals.items() if journal}

    def wait_for_runs(self, process, known, number=1, seconds=60):
        """Wait until that many runs that are not `known` have a few reports each; their ids."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and process.poll() is None:
            found = [run for run in self.runs() - known if self._reports(run) >= 4]
            if len(found) >= number:
                return found
            time.sleep(0.05)
        raise AssertionError("no run has come so far")

    def _reports(self, run):
        with suppress(FileNotFoundError):
            return sum(record["type"] == "report" for record in self.records(run))
        return 0

    def rows(self, query, *values):
        """What the database says."""
        with closing(sqlite3.connect(self.database, timeout=20)) as connection:
            return connection.execute(query, values).fetchall()

    def wait_until_none_runs(self, seconds=60):
        """Until MLflow has nothing RUNNING: tracking processes may still be at work."""
        deadline = time.monotonic() + seconds
        while running := self.rows("SELECT name, start_time FROM runs WHERE status = 'RUNNING'"):
            assert time.monotonic() < deadline, running
            time.sleep(0.1)

    def change(self, query, *values):
        """Change the database; exactly one row must change."""
        with closing(sqlite3.connect(self.database)) as connection:
            assert connection.execute(query, values).rowcount == 1
            connection.commit()

    def logged(self, run):
        """What MLflow's database has about a run of ours."""
        ((mlflow,),) = self.rows(
            "SELECT run_uuid FROM tags WHERE key = 'nnlab.run' AND value = ?", run
        )
        ((name, status, uri),) = self.rows(
            "SELECT name, status, artifact_uri FROM runs WHERE run_uuid = ?", mlflow
        )
        tables = {
            table: dict(self.rows(f"SELECT key, value FROM {table} WHERE run_uuid = ?", mlflow))
            for table in ("tags", "params")
        }
        points = self.rows(
            "SELECT key, step, value, timestamp, is_nan FROM metrics WHERE run_uuid = ?", mlflow
        )
        artifacts = Path(urlparse(uri).path)
        return SimpleNamespace(
            mlflow=mlflow, name=name, status=status, points=points, artifacts=artifacts, **tables
        )

    def status(self, run):
        """The status in MLflow; None where the run is not there yet."""
        query = (
            "SELECT status FROM runs JOIN tags USING (run_uuid) WHERE key = 'nnlab.run' "
            "AND value = ?"
        )
        return next((status for (status,) in self.rows(query, run)), None)


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """The folder whose database all tests share: to create one takes seconds."""
    return Lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture
def bench(tmp_path):
    """A folder of a test's own, for commands without tracking."""
    return Lab(tmp_path)


@pytest.fixture
def on_a_terminal():
    """Runs a command on a terminal; its exit code, and what was shown without colours."""

    def run(lab, *arguments):
        ours, theirs = pty.openpty()
        with os.fdopen(ours, "rb") as terminal:
            process = subprocess.Popen(
                [NNLAB, *arguments],
                cwd=lab.folder,
                env=os.environ | {"COLUMNS": "120", "LINES": "40", "TERM": "xterm"},
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
            )
            os.close(theirs)
            shown = []
            with suppress(OSError):  # what Linux says when the other end is closed
                while part := terminal.read1():
                    shown.append(part)
            code = process.wait()
        text = b"".join(shown).decode()
        return code, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")

    return run


@pytest.fixture
def twin(lab, trained, tmp_path):
    """Another folder with a copy of the database, which a test may tamper with."""
    made = Lab(tmp_path)
    made.store.mkdir()
    shutil.copy(lab.database, made.database)
    return made


@pytest.fixture(scope="session")
def trained(lab):
    """The first training of all, in an empty folder."""
    return lab("train", "stopping.max_epochs.epochs=3", "seed=7")


@pytest.fixture(scope="session")
def swept(lab, trained):
    """A sweep of six trials, two at a time."""
    return lab("sweep", "trials=6", "workers=2", "stopping.max_epochs.epochs=8")


@pytest.fixture(scope="session")
def grid(lab, trained):
    """Two trainings of one command: one does well, one diverges."""
    return lab(
        "train",
        "--multirun",
        "optimizer.lr=0.05,1e30",
        "stopping.max_epochs.epochs=2",
        "data=iris",
        code=1,
    )


@pytest.fixture(scope="session")
def interrupted(lab, trained):
    """A training that was interrupted from the keyboard, which reaches its whole group."""
    known = lab.runs()
    with lab.start("train", "data=iris", "stopping.max_epochs.epochs=100000") as process:
        (run,) = lab.wait_for_runs(process, known)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    return SimpleNamespace(run=run, code=process.returncode, out=out, err=err)

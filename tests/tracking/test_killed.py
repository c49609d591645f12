"""Nothing stays RUNNING when the command that started it is killed."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from nnlab.runs.environment import Environment
from nnlab.runs.run import Run
from nnlab.tracking.process import mlflow_command, mlflow_environment

ENVIRONMENT = Environment({"nnlab": "0", "git": {"commit": None, "dirty": None}}, "")


def test_every_run_is_completed_though_nobody_listens_any_more(tmp_path):
    paths = []
    for name in ("first", "second"):
        with Run(
            tmp_path,
            kind="train",
            name=name,
            experiment="x",
            config={"a": 1},
            environment=ENVIRONMENT,
        ) as run:
            paths.append(run.path)
    ours, theirs = os.pipe()
    os.close(ours)  # who started it is dead
    with (tmp_path / "log").open("w") as log:
        subprocess.run(
            mlflow_command(
                "nnlab.tracking.projector", f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "a")
            ),
            input="".join(f"{path}\n" for path in paths), text=True, stdout=theirs, stderr=log,
            env=mlflow_environment(), timeout=120, check=False,
        )  # fmt: skip
    os.close(theirs)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        statuses = database.execute("SELECT status FROM runs").fetchall()
    assert statuses == [("FINISHED",), ("FINISHED",)]


@pytest.mark.slow
def test_a_killed_sweep_end_to_end(tmp_path):
    import time
    from pathlib import Path

    nnlab = Path(sys.executable).with_name("nnlab")
    command = [nnlab, "sweep", "workers=2", "stopping.max_epochs.epochs=100000", "pruner=none"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("mlruns/runs/*/journal.jsonl"))) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(12)  # until all three are in MLflow
        process.kill()
    deadline = time.monotonic() + 60
    statuses = []
    while statuses != [("KILLED",)] * 3:
        assert time.monotonic() < deadline, statuses
        time.sleep(0.5)
        with closing(sqlite3.connect(tmp_path / "mlruns/mlflow.db", timeout=20)) as database:
            statuses = database.execute("SELECT status FROM runs").fetchall()

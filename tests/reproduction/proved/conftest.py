"""Runs of real commands in one tracker, each reproduced by the real command somewhere else."""

import json
import os
import re
import runpy
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import nnlab
from nnlab.runs.compose import packaged

collect_ignore = ["train_each.py"]  # a script

HERE = Path(__file__).parent
_COMMANDS = runpy.run_path(str(HERE.parents[1] / "commands" / "conftest.py"))
Lab, NNLAB = _COMMANDS["Lab"], _COMMANDS["NNLAB"]
SOURCES = Path(nnlab.__file__).parent
SIDE_BY_SIDE = 2
"""So many reproductions at a time."""


@dataclass(frozen=True)
class Wanted:
    """A reproduction: of which run, and what the command is given."""

    run: str
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Told:
    """What the command said; `report` is reproduction.json, empty where it made none."""

    code: int
    report: dict[str, Any]
    shown: str
    seconds: float


class Frozen(Lab):
    """A folder for commands of a copy of nnlab, which nobody edits while the tests run: the hash of
    the code is a part of what is compared."""

    def __init__(self, folder, code):
        super().__init__(folder)
        self.sources = code / "src"
        """The folder that has nnlab."""

    def __call__(self, *arguments, **options):
        return super().__call__(*arguments, **{"PYTHONPATH": str(self.sources)} | options)

    @contextmanager
    def start(self, *arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(self.sources))
            with super().start(*arguments) as process:
                yield process


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """The folder with the tracker that all of these tests share."""
    code = tmp_path_factory.mktemp("code")
    compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SOURCES, code / "src" / "nnlab", ignore=compiled)
    for folder in ("conf", "sweeps"):
        shutil.copytree(packaged(folder), code / folder, ignore=compiled)
    return Frozen(tmp_path_factory.mktemp("lab"), code)


@pytest.fixture(scope="session")
def train_each(lab):
    """Trains experiments, given by name as overrides, in one process; their runs by name."""

    def train(experiments):
        told = json.dumps([*experiments.values()])
        runs = lab(told, script=str(HERE / "train_each.py")).runs
        return dict(zip(experiments, runs, strict=True))

    return train


@pytest.fixture(scope="session")
def reproduce(lab, tmp_path_factory):
    """Reproduces runs, each in a process, a working directory and a home of its own; by name, what
    will be said. `--json` is read, and what a person is shown."""

    def one(wanted):
        folder, uri = tmp_path_factory.mktemp("elsewhere"), f"sqlite:///{lab.database}"
        usual = {"COLUMNS": "200", "PYTHONPATH": str(lab.sources)}
        began = time.monotonic()
        done = subprocess.run(
            [NNLAB, "reproduce", wanted.run, "--uri", uri, "--json", *wanted.arguments],
            cwd=folder,
            env=os.environ | usual | {"HOME": str(folder)} | wanted.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        report = json.loads(done.stdout) if done.stdout else {}
        seconds = time.monotonic() - began
        return Told(done.returncode, report, re.sub(r"\s+", " ", done.stderr), seconds)

    pool = ThreadPoolExecutor(SIDE_BY_SIDE)
    yield lambda wanted: {name: pool.submit(one, each) for name, each in wanted.items()}
    pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def wanted():
    """A reproduction: `wanted(run, arguments, environment)`."""
    return Wanted


def pytest_terminal_summary(terminalreporter):
    """What was reproduced, and what came of it; only tests that passed have a row."""
    for name in ("24_runs", "controls"):
        file = f"tests/reproduction/proved/test_{name}.py"
        passed, failed = (
            [one for one in terminalreporter.stats.get(how, []) if file in one.nodeid]
            for how in ("passed", "failed")
        )
        table = [row for one in passed for key, row in one.user_properties if key == "shown"]
        if not table:
            continue
        width = max(len(what) for what, _ in table)
        terminalreporter.section(name.replace("_", " "))
        for what, held in table:
            terminalreporter.write_line(f"{what:<{width}}  {held}")
        same = sum(held.startswith("identical") for _, held in table)
        terminalreporter.write_line(f"{same} of {len(table) + len(failed)} are identical")

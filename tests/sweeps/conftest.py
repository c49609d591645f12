"""Sweeps on disk and in memory, without MLflow."""

import pytest

from nnlab.runs.destination import Untracked
from nnlab.runs.environment import Environment
from nnlab.runs.run import Run
from nnlab.sweeps.definition import Definition
from nnlab.sweeps.space import Range

FACTS = {"nnlab": "0", "git": {"commit": None, "dirty": None}}


@pytest.fixture
def environment():
    """An environment that costs no calls of git."""
    return Environment(FACTS, "")


@pytest.fixture
def new_study(tmp_path, environment):
    """Makes runs of studies, to be written."""

    def make():
        return Run(
            tmp_path,
            kind="study",
            name="study",
            tracking=Untracked("tests"),
            config={"x": 1},
            environment=environment,
        )

    return make


@pytest.fixture
def study(new_study):
    """A study's run, being written."""
    with new_study() as run:
        yield run


@pytest.fixture
def definition():
    """Makes a definition; its arguments are what matters to a test."""

    def make(**settings):
        space = {"optimizer.lr": Range(1e-3, 1.0, log=True), "optimizer.momentum": Range(0.5, 0.9)}
        return Definition(**{"name": "unit", "space": space, "metric": "loss"} | settings)

    return make


@pytest.fixture
def sweep_file(tmp_path, monkeypatch):
    """Writes sweeps/NAME.yaml in the working directory, which is a temporary one."""
    monkeypatch.chdir(tmp_path)

    def write(name, text):
        (tmp_path / "sweeps").mkdir(exist_ok=True)
        (tmp_path / "sweeps" / f"{name}.yaml").write_text(text)

    return write

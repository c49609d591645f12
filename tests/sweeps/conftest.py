"""Sweeps on disk and in memory, without MLflow."""

import pytest

from nnlab.runs.destination import Untracked
from nnlab.runs.environment import Environment
from nnlab.runs.run import Run
from nnlab.sweeps.definition import Definition
from nnlab.sweeps.pruners import PRUNERS
from nnlab.sweeps.samplers import SAMPLERS
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
    """Makes a definition; its arguments are what matters to a test. Samplers and pruners may be
    named, and a metric and a direction may be alone."""

    def make(**settings):
        space = {"optimizer.lr": Range(1e-3, 1.0, log=True), "optimizer.momentum": Range(0.5, 0.9)}
        settings = {"name": "unit", "space": space, "metric": "loss"} | settings
        for alone, several in (("metric", "metrics"), ("direction", "directions")):
            if alone in settings:
                value = settings.pop(alone)
                settings[several] = (value,) if isinstance(value, str) else tuple(value)
        for key, table in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
            if isinstance(settings.get(key), str):
                settings[key] = table[settings[key]]()
        return Definition(**settings)

    return make


@pytest.fixture
def sweep_file(tmp_path, monkeypatch):
    """Writes sweeps/NAME.yaml in the working directory, which is a temporary one."""
    monkeypatch.chdir(tmp_path)

    def write(name, text):
        (tmp_path / "sweeps").mkdir(exist_ok=True)
        (tmp_path / "sweeps" / f"{name}.yaml").write_text(text)

    return write


def pytest_terminal_summary(terminalreporter):
    """What `make sweep-torture` prints at its end."""
    rows = [
        row
        for report in terminalreporter.stats.get("passed", [])
        for key, row in report.user_properties
        if key == "shown" and "tests/sweeps" in report.nodeid
    ]
    if rows:
        terminalreporter.section("sweeps")
        width = max(len(what) for what, _ in rows)
        for what, held in rows:
            terminalreporter.write_line(f"{what:<{width}}  {held}")

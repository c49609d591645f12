"""Commands as a user runs them, each test in an empty folder of its own."""

import runpy
from pathlib import Path

import pytest

Lab = runpy.run_path(str(Path(__file__).parents[1] / "commands" / "conftest.py"))["Lab"]


@pytest.fixture
def lab(tmp_path):
    """The folder: `lab("train", ...)` runs a command there."""
    return Lab(tmp_path)


_ROWS = pytest.StashKey[list[tuple[str, str]]]()


@pytest.fixture
def shown(request):
    """Adds a row to the table at the end: `shown("kill -9, resumed", "50 of 50 equal")`."""

    def add(what, held):
        request.config.stash.setdefault(_ROWS, []).append((what, held))

    return add


def pytest_terminal_summary(terminalreporter, config):
    """What `make durability` prints at its end: what was tried and what held."""
    rows = config.stash.get(_ROWS, [])
    if rows:
        terminalreporter.section("durability")
        width = max(len(what) for what, _ in rows)
        for what, held in rows:
            terminalreporter.write_line(f"{what:<{width}}  {held}")

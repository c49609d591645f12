"""Commands as a user runs them, each test in an empty folder of its own."""

import runpy
from pathlib import Path

import pytest

Lab = runpy.run_path(str(Path(__file__).parents[1] / "commands" / "conftest.py"))["Lab"]


@pytest.fixture
def lab(tmp_path):
    """The folder: `lab("train", ...)` runs a command there."""
    return Lab(tmp_path)


_ROWS = pytest.StashKey[dict[str, list[tuple[str, str]]]]()


@pytest.fixture
def shown(request):
    """Adds a row to the table at the end: `shown("kill -9, resumed", "50 of 50 equal")`."""

    def add(what, held):
        rows = request.config.stash.setdefault(_ROWS, {})
        rows.setdefault(request.node.nodeid, []).append((what, held))

    return add


def pytest_terminal_summary(terminalreporter, config):
    """What `make durability` prints at its end: what was tried and what held."""
    rows = config.stash.get(_ROWS, {})
    table = []
    for report in terminalreporter.stats.get("passed", []):
        if report.when == "call" and "tests/durability" in report.nodeid:
            name = report.nodeid.rpartition("::test_")[2].replace("_", " ")
            table += rows.get(report.nodeid, [(name, "held")])
    if table:
        terminalreporter.section("durability")
        width = max(len(what) for what, _ in table)
        for what, held in table:
            terminalreporter.write_line(f"{what:<{width}}  {held}")

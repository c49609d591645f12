"""Commands as a user runs them, each test in an empty folder of its own."""

import runpy
from pathlib import Path

import pytest

Lab = runpy.run_path(str(Path(__file__).parents[1] / "commands" / "conftest.py"))["Lab"]


@pytest.fixture
def lab(tmp_path):
    """The folder: `lab("train", ...)` runs a command there."""
    return Lab(tmp_path)


def pytest_terminal_summary(terminalreporter):
    """What `make durability` prints at its end: what was tried and what held."""
    table = []
    for report in terminalreporter.stats.get("passed", []):
        if report.when == "call" and "tests/durability" in report.nodeid:
            name = report.nodeid.rpartition("::test_")[2].replace("_", " ")
            rows = [row for key, row in report.user_properties if key == "shown"]
            table += rows or [(name, "held")]
    if table:
        terminalreporter.section("durability")
        width = max(len(what) for what, _ in table)
        for what, held in table:
            terminalreporter.write_line(f"{what:<{width}}  {held}")

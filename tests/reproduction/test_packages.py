"""What is installed of what a run had: names from the lock, versions from the run."""

from pathlib import Path

import pytest

from nnlab.errors import UserError
from nnlab.reproduction.packages import packages

ONE = "one==1.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb"
TWO = "two-parts==2.0 ; sys_platform != 'win32' \\\n    --hash=sha256:cc"
OLD = "fork==1.0 ; python_version < '3.12' \\\n    --hash=sha256:dd"
NEW = "fork==2.0 ; python_version >= '3.12' \\\n    --hash=sha256:ee"
BARE = "bare==3.0"
TEXT = "\n".join(["# a comment", ONE, "", TWO, OLD, NEW, BARE, ""])


@pytest.mark.parametrize(
    ("installed", "locked", "others", "left_out"),
    [
        ({"one": "1.0"}, (ONE,), (), ()),
        ({"Two_parts": "2.0"}, (TWO,), (), ()),  # as dist-info directories write it
        ({"one": "1.1", "two.parts": "2.0"}, (TWO,), ("one==1.1",), ()),
        ({"two_parts": "2.1+cpu"}, (), ("two-parts==2.1+cpu ; sys_platform != 'win32'",), ()),
        ({"fork": "1.0"}, (OLD,), (), ()),
        ({"fork": "2.0"}, (NEW,), (), ()),
        ({"fork": "1.5"}, (), ("fork==1.5",), ()),
        ({"bare": "3.0"}, (), ("bare==3.0",), ()),
        ({"evil": "6.6", "one": "1.0", "pip": "25"}, (ONE,), (), ("evil 6.6",)),
        ({}, (), (), ()),
    ],
)
def test_what_is_installed(installed, locked, others, left_out):
    found = packages(TEXT, {"installed": installed})
    assert (found.locked, found.others, found.left_out) == (locked, others, left_out)
    assert found.recorded
    assert len(found) == len(locked) + len(others) == len(found.names)


def test_an_older_run_recorded_a_few_and_the_lock_speaks_for_the_others():
    found = packages(TEXT, {"packages": {"one": "1.1", "two-parts": None, "gone": "1"}})
    assert found.locked == (TWO, OLD, NEW)
    assert found.others == ("one==1.1", "bare==3.0")
    assert found.left_out == ("gone 1",)
    assert not found.recorded


@pytest.mark.parametrize(
    "installed",
    [
        {"one": "1.0\n--index-url=x"},
        {"one": "1.0 --hash=x"},
        {"one": "@ file:///x"},
        {"one": "*"},
        {"one": ""},
        {"one": 1.0},
        {"one": "1" * 100},
        {"x\n": "1.0"},
        {"-e .": "1.0"},
        {"": "1.0"},
        ["one"],
        "one",
    ],
)
def test_what_is_no_list_of_packages_is_refused(installed):
    with pytest.raises(UserError, match=r"environment\.json"):
        packages(TEXT, {"installed": installed})


@pytest.mark.parametrize(
    "line", ["--index-url x", "-e .", "one", "one>=1", "one @ file:///x", "  one==1.0"]
)
def test_a_lock_names_versions_and_nothing_else(line):
    with pytest.raises(UserError, match="every entry of requirements/lock"):
        packages(f"{line}\n", {"installed": {}})


def test_the_projects_own_lock_is_one():
    text = (Path(__file__).parents[2] / "requirements" / "lock.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and line[0].isalnum()]
    versions = dict(line.partition(" ")[0].split("==") for line in lines)
    found = packages(text, {"installed": versions})
    assert not found.others and not found.left_out
    assert [one.splitlines()[0] for one in found.locked] == lines
    assert "\n".join(found.locked) == text.rstrip("\n")

"""Which source files differ, by commits and uncommitted diffs."""

import subprocess

import pytest

from nnlab.reproduction import code
from nnlab.reproduction.code import differing, sections

A = "diff --git a/src/nnlab/a.py b/src/nnlab/a.py\n@@ -1 +1 @@\n-x\n+y\n"
B = "diff --git a/src/nnlab/b.py b/src/nnlab/b.py\n@@ -1 +1 @@\n-x\n+y\n"
README = "diff --git a/README.md b/README.md\n@@ -1 +1 @@\n-x\n+y\n"
NEW = "# untracked: src/nnlab/new.py\n"


def at(commit):
    return {"git": {"commit": commit * 40}}


def test_a_diff_has_a_part_for_each_file():
    found = sections(A + README + NEW)
    assert list(found) == ["src/nnlab/a.py", "README.md", "src/nnlab/new.py"]
    assert found["src/nnlab/a.py"] == A
    assert sections("") == sections("nonsense\n") == {}


@pytest.mark.parametrize(
    ("then", "now", "files"),
    [
        (A, A, []),
        (A, "", ["a"]),
        ("", A, ["a"]),
        (A + B, B, ["a"]),
        (A, A.replace("+y", "+z"), ["a"]),
        (README, "", []),
        (NEW + A, B, ["a", "b", "new"]),
    ],
)
def test_of_one_commit_the_diffs_tell(then, now, files):
    found = differing(at("1"), then, at("1"), now)
    assert found == [f"src/nnlab/{name}.py" for name in files]


def test_of_two_commits_git_tells(monkeypatch):
    asked = []

    def changed(commit):
        asked.append(commit)
        return ["src/nnlab/b.py", "docs/x.md", "src/nnlab/conf/a.yaml"]

    monkeypatch.setattr(code, "changed_since", changed)
    assert differing(at("1"), A, at("2"), "") == ["src/nnlab/a.py", "src/nnlab/b.py"]
    assert asked == ["1" * 40]


@pytest.mark.parametrize("commit", [None, "", "1" * 39, "--output=/tmp/x", "HEAD", 7, ["1" * 40]])
def test_git_is_asked_of_a_commit_alone(commit, monkeypatch):
    monkeypatch.setattr(code, "changed_since", lambda commit: pytest.fail("it was asked"))
    assert differing({"git": {"commit": commit}}, "", at("2"), "") is None
    assert differing({}, "", at("2"), "") is None


def test_a_commit_that_is_not_there_is_unknown():
    assert differing(at("1"), "", at("2"), "") is None


def test_git_knows_what_changed_since_a_commit():
    """Of this repository: nothing changed since a commit but what `git status` says."""
    here = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    if not here:
        pytest.skip("this is no git repository")
    status = subprocess.run(
        ["git", "--no-optional-locks", "status", "--porcelain", "--untracked-files=no"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert (code.changed_since(here) == []) == (not status.strip())

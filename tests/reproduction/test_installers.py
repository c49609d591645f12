"""Virtual environments by made-up installers, which write down what they are told."""

import json
import os
import sys
from pathlib import Path

import pytest

from nnlab.errors import UserError
from nnlab.reproduction.installers import Pip, Uv, available, build, python_like
from nnlab.reproduction.packages import Packages

LOCKED = ("one==1.0 \\\n    --hash=sha256:aa", "two==2.0 \\\n    --hash=sha256:bb")
MINOR = f"3.{sys.version_info.minor}"
PROGRAM = f"""#!{sys.executable}
import json, os, sys
file = sys.argv[-1] if "-r" in sys.argv else None
told = {{"arguments": sys.argv[1:], "environment": dict(os.environ)}}
told["file"] = open(file).read() if file else None
with open(sys.argv[0] + ".log", "a") as log:
    log.write(json.dumps(told) + "\\n")
"""


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def told(program):
    lines = Path(f"{program}.log").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def uv(tmp_path):
    return executable(tmp_path / "bin" / "uv", PROGRAM)


def test_the_lock_is_installed_by_hashes_and_the_rest_from_wheels_alone(uv, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "x")
    monkeypatch.setenv("UV_INDEX_URL", "the user's")
    venv = tmp_path / "venv"
    build("/a/python", venv, Packages(LOCKED, ("three==3.1",), (), True), Uv(str(uv)))
    created, locked, others = told(uv)
    assert created["arguments"][0] == "venv"
    assert created["arguments"][-3:] == ["--python", "/a/python", str(venv)]
    for one in (locked, others):
        assert "--no-deps" in one["arguments"]
        assert one["arguments"][one["arguments"].index("--python") + 1] == str(venv)
    assert "--require-hashes" in locked["arguments"]
    assert locked["file"] == "".join(f"{line}\n" for line in LOCKED)
    assert others["file"] == "three==3.1\n"
    assert "--only-binary :all:" in " ".join(others["arguments"])
    for one in (created, locked, others):
        assert "PYTHONPATH" not in one["environment"]
        assert one["environment"]["UV_INDEX_URL"] == "the user's"
        assert one["environment"]["UV_PYTHON_DOWNLOADS"] == "never"


def test_pip_is_told_the_same(tmp_path):
    python = executable(tmp_path / "python", PROGRAM)
    inner = executable(tmp_path / "venv" / "bin" / "python", PROGRAM)
    build(str(python), tmp_path / "venv", Packages(LOCKED, ("three==3.1",), (), True), Pip())
    assert told(python)[0]["arguments"] == ["-m", "venv", str(tmp_path / "venv")]
    locked, others = (one["arguments"] for one in told(inner))
    assert locked[:3] == others[:3] == ["-m", "pip", "install"]
    assert "--no-deps" in locked and "--require-hashes" in locked
    assert "--no-deps" in others and "--only-binary" in others


def test_nothing_to_install_is_no_installation(uv, tmp_path):
    build("python", tmp_path / "venv", Packages((), (), (), True), Uv(str(uv)))
    assert len(told(uv)) == 1


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("error: a\\n  Caused by: no route to two (2.0)\\n", r"\(not to be had: two\): Caused by"),
        ("ERROR: No matching distribution found for one==1.0\\n", r"\(not to be had: one\): ERROR"),
        ("the disk is full\\n", "cannot be installed: the disk is full"),
        ("", "cannot be installed: exit code 4"),
    ],
)
def test_what_the_installer_says_last_is_said(tmp_path, said, words):
    text = f"#!/bin/sh\n[ $1 = venv ] && exit\nprintf '{said}' >&2\nexit 4\n"
    failing = executable(tmp_path / "uv", text)
    with pytest.raises(UserError, match=words):
        build("python", tmp_path / "venv", Packages(LOCKED, (), (), True), Uv(str(failing)))


def test_an_environment_that_cannot_be_made(tmp_path):
    failing = executable(tmp_path / "uv", "#!/bin/sh\necho no venv >&2\nexit 1\n")
    for program in (failing, tmp_path / "nothing"):
        with pytest.raises(UserError, match=r"the virtual environment cannot be made: .*[Nn]o"):
            build("python", tmp_path / "v", Packages((), (), (), True), Uv(str(program)))


def test_uv_is_taken_where_it_is(uv, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(uv.parent))
    assert available() == Uv(str(uv))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(uv.with_name("python")))
    assert available() == Uv(str(uv))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert available() == Pip()


def test_a_python_of_the_same_minor_version_is_found(tmp_path, monkeypatch):
    version = ".".join(map(str, sys.version_info[:3]))
    assert python_like(f"{MINOR}.99") == (sys.executable, version)
    shim = executable(tmp_path / "shims" / "python3.77", "#!/bin/sh\nexit 127\n")
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
    with pytest.raises(UserError, match=r"Python 3\.77\.1, but there is no python3\.77 on PATH"):
        python_like("3.77.1")
    shim.write_text("#!/bin/sh\necho 3.77.2\n")
    assert python_like("3.77.1") == (str(shim), "3.77.2")


@pytest.mark.parametrize(
    "recorded", [None, 3.11, "", "3", "3.11", "2.7.1", "3.11.7\n; x", "../3.11.7", "3.111.1"]
)
def test_what_is_no_version_of_python(recorded):
    with pytest.raises(UserError, match="a version of Python is like"):
        python_like(recorded)

import os
import platform
import shutil
import subprocess
from importlib.metadata import version

import numpy as np
import pytest
import threadpoolctl

import nnlab
from nnlab.runs import environment
from nnlab.runs.environment import capture, git_state, uncommitted_diff


def test_the_facts_of_this_process():
    facts = capture().facts
    assert facts["nnlab"] == nnlab.__version__
    assert facts["python"] == platform.python_version()
    assert facts["packages"]["numpy"] == np.__version__
    assert facts["packages"]["hydra-core"] == version("hydra-core")
    assert facts["machine"] == platform.machine()
    assert facts["cpus"] == os.cpu_count()
    assert set(facts["git"]) == {"commit", "dirty"}
    assert facts["blas"]
    assert all(library["num_threads"] >= 1 for library in facts["blas"])
    assert facts["cpu_features"]
    assert facts["installed"]["numpy"] == np.__version__
    assert facts["installed"]["hydra_core"] == version("hydra-core")
    assert len(facts["code"]) == 64


def test_the_blas_of_numpy_comes_first_whatever_the_order_of_loading(monkeypatch):
    """The system's list begins with SciPy's once something has imported that; then a run would
    differ from the next one of the same command."""
    folder = "/venv/lib/python3.12/site-packages"
    of_scipy = {"user_api": "blas", "filepath": f"{folder}/scipy.libs/lib1.so", "version": "1"}
    openmp = {"user_api": "openmp", "filepath": f"{folder}/scikit_learn.libs/libgomp.so"}
    for path in ("numpy.libs/lib2.so", "numpy/.dylibs/lib2.dylib"):
        of_numpy = {"user_api": "blas", "filepath": f"{folder}/{path}", "version": "2"}
        for loaded in ([of_numpy, of_scipy, openmp], [openmp, of_scipy, of_numpy]):
            monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda loaded=loaded: loaded)
            assert [one["version"] for one in capture().facts["blas"]] == ["2", "1"]


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr(environment, "_PACKAGES", ("numpy", "no-such-package-at-all"))
    packages = capture().facts["packages"]
    assert packages == {"numpy": np.__version__, "no-such-package-at-all": None}


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A made-up folder of code, in which nnlab believes to be."""
    for variable in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "environment.py").write_text("one = 1\n")
    monkeypatch.setattr(environment, "__file__", str(folder / "environment.py"))
    return folder


def git(folder, *arguments):
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    command = [shutil.which("git") or pytest.skip("git is not here"), "-C", str(folder), *who]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(code):
    git(code, "init")
    git(code, "add", ".")
    git(code, "commit", "-m", "one")
    return code


def test_code_outside_git_has_no_commit(code):
    assert git_state() == {"commit": None, "dirty": None}
    assert capture().diff == ""


def test_committed_code_is_its_commit(repository):
    assert git_state() == {"commit": git(repository, "rev-parse", "HEAD"), "dirty": False}
    assert uncommitted_diff() == ""
    assert capture().diff == ""


def test_changed_code_is_kept_as_a_difference(repository):
    (repository / "environment.py").write_text("one = 2\n")
    (repository / "new.py").write_text("two = 2\n")
    captured = capture()
    assert captured.facts["git"]["dirty"] is True
    lines = captured.diff.splitlines()
    assert {"-one = 1", "+one = 2", "# untracked: new.py"} <= set(lines)


def test_the_difference_keeps_ends_of_lines_and_bytes_that_are_no_text(repository):
    git(repository, "config", "diff.noprefix", "true")
    (repository / "environment.py").write_bytes(b"one = 2\r\n# \xff\n")
    diff = uncommitted_diff()
    assert "\n--- a/environment.py\n+++ b/environment.py\n" in diff
    assert b"+one = 2\r\n+# \xff\n" in diff.encode(errors="surrogateescape")


@pytest.mark.parametrize(
    ("command", "said"), [("diff", None), ("ls-files", None), ("diff", ""), ("status", None)]
)
def test_a_difference_that_git_does_not_tell_is_said_and_recorded(
    repository, monkeypatch, command, said
):
    (repository / "environment.py").write_text("one = 2\n")
    asked = environment._git
    monkeypatch.setattr(
        environment, "_git", lambda *given: said if given[0] == command else asked(*given)
    )
    if command == "status":  # it did not say whether there is a difference, but the next one does
        assert "+one = 2" in capture().diff
        return
    with pytest.warns(UserWarning, match=r"^the code is not as .+ uncommitted\.diff is not kept$"):
        captured = capture()
    assert captured.diff is None
    assert captured.facts["git"]["dirty"] is True
    assert captured.facts["git"]["diff"] is None


def test_staged_code_is_kept_as_a_difference(repository):
    (repository / "environment.py").write_text("one = 2\n")
    git(repository, "add", ".")
    assert git_state()["dirty"] is True
    assert "+one = 2" in uncommitted_diff()


def test_without_git_there_is_no_commit(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_state() == {"commit": None, "dirty": None}

"""Runs of a made-up nnlab in a git repository of its own, reproduced with their code."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from nnlab.commands import reproduce
from nnlab.errors import UserError
from nnlab.reproduction.checkout import recreate
from nnlab.reproduction.comparison import TOLERANCE
from nnlab.reproduction.logged import Logged
from nnlab.runs.environment import digest

MLFLOW = "0123456789abcdef" * 2
PYTHON = ".".join(map(str, sys.version_info[:3]))
CLI = """
import json, os, signal, sys, time
from pathlib import Path
from nnlab.marked import MARK

def main():
    said = {"mark": MARK, "arguments": sys.argv[1:], "cwd": os.getcwd(),
            "environment": dict(os.environ), "prefix": sys.prefix, "file": __file__}
    print(json.dumps(said), flush=True)
    if "NNLAB_DATA" in os.environ:  # the test's way to say: until a signal comes
        heard = []
        signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
        file = Path(os.environ["NNLAB_DATA"])
        file.write_text("begun")
        while not heard:
            time.sleep(0.05)
        time.sleep(0.3)  # for one too many
        file.write_text(f"heard {len(heard)}")
        sys.exit(7)
    sys.exit(3)
"""


def git(folder, *arguments):
    named = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    command = ["git", *named, "-c", "core.autocrlf=false", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


class Clone:
    """A repository of a made-up nnlab, whose first commit a run recorded."""

    def __init__(self, root):
        self.root = root
        self.file = root / "src" / "nnlab" / "cli.py"
        root.mkdir()
        git(root, "init", "--quiet", "--initial-branch=main")
        sources = {"__init__.py": "", "cli.py": CLI, "marked.py": "MARK = 'first'\n"}
        write(root, {f"src/nnlab/{name}": text for name, text in sources.items()})
        write(root, {"requirements/lock.txt": "# nothing\n", "notes/a.txt": "one\ntwo\n"})
        (root / "link").symlink_to("notes")
        self.first = self.commit("first")
        self.mark("second")
        self.second = self.commit("second")

    def mark(self, text):
        write(self.root, {"src/nnlab/marked.py": f"MARK = {text!r}\n"})

    def commit(self, message):
        git(self.root, "add", "--all")
        git(self.root, "commit", "--quiet", "--message", message)
        return git(self.root, "rev-parse", "HEAD").strip()

    def diff(self, change):
        """The diff, to the first commit, of what `change` does to its files."""
        other = self.root.with_name("other")
        git(self.root, "worktree", "add", "--quiet", "--detach", str(other), self.first)
        change(other)
        git(other, "add", "--all")
        text = git(other, "diff", "--no-color", "--binary", "HEAD")
        git(self.root, "worktree", "remove", "--force", str(other))
        return text

    def state(self):
        """What a user would miss: files, index, references, worktrees."""
        files = {path: path.read_bytes() for path in self.root.rglob("*") if path.is_file()}
        ours = {path: held for path, held in files.items() if ".git/objects" not in str(path)}
        return ours, git(self.root, "for-each-ref"), git(self.root, "worktree", "list")


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path / "clone")


@pytest.fixture
def work(tmp_path, monkeypatch):
    """The working directory of the command; temporary folders are made in another."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    for name in ("temporary", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("NNLAB_DATA", raising=False)
    return tmp_path / "work"


def logged(commit, diff=None, **facts):
    git_facts = {"commit": commit, "dirty": diff is not None}
    facts = {"git": git_facts, "python": PYTHON, "installed": {}, **facts}
    return Logged({}, facts, "abc123", MLFLOW, "digits", "FINISHED", {}, {}, diff=diff)


def options(**given):
    said = {"uri": "sqlite:///a.db", "store": "mlruns", "tolerance": TOLERANCE, "data": []}
    return Namespace(**said | {"trust_diff": False, "keep": None} | given)


def said(capfd):
    """What the run's own code printed, and what was said before."""
    shown = capfd.readouterr()
    return json.loads(shown.out), shown.err


def refused(clone, run, *words, **given):
    """It is an error with these words, after which everything is as it was."""
    before = clone.state()
    with pytest.raises(UserError) as caught:
        recreate(run, "abc", options(**given), clone.file)
    for word in words:
        assert word in str(caught.value)
    assert clone.state() == before
    assert not list(Path(os.environ["TMPDIR"]).iterdir())
    return str(caught.value)


def test_the_code_of_the_commit_runs_and_the_users_tree_is_as_it_was(clone, work, capfd):
    clone.mark("changed and not committed")
    git(clone.root, "add", "--all")
    clone.mark("changed once more")
    before = clone.state()
    assert recreate(logged(clone.first), "abc", options(), clone.file) == 3
    inner, outer = said(capfd)
    assert inner["mark"] == "first"
    uri = ["--uri", "sqlite:///a.db", "--store", "mlruns"]
    assert inner["arguments"] == ["reproduce", MLFLOW, *uri]
    assert inner["cwd"] == str(work)
    assert inner["prefix"].endswith("/venv")
    assert f"commit {clone.first[:12]}" in outer and "first" in outer
    assert clone.state() == before
    assert not list(Path(os.environ["TMPDIR"]).iterdir())


def test_what_was_said_here_is_said_to_the_runs_own_code(clone, work, capfd, monkeypatch):
    monkeypatch.setattr("nnlab.runs.plugged.hashes", lambda: {"mine.one": "0"})
    more = options(tolerance=1e-6, data=["a", "-b"], uri="http://127.0.0.1:1", store="s")
    recreate(logged(clone.first), "best of abc", more, clone.file)
    assert said(capfd)[0]["arguments"] == [
        *("reproduce", MLFLOW, "--uri", "http://127.0.0.1:1", "--store", "s"),
        *("--tolerance=1e-06", "--data=a", "--data=-b", "--plugin=mine.one"),
    ]


@pytest.mark.parametrize("field", ["mlflow", "run"])
def test_an_id_that_is_none_is_refused(clone, work, field):
    for id in ("--store=elsewhere", "../..", ""):
        run = replace(logged(clone.first), **{field: id})
        refused(clone, run, "a run's id has at most 32 characters 0-9 a-f", repr(id))


def test_the_callers_environment_does_not_reach_it(clone, work, capfd, monkeypatch):
    hostile = {
        "PYTHONPATH": str(work),
        "GIT_DIR": str(work),
        "GIT_INDEX_FILE": str(work / "index"),
        "OPENBLAS_CORETYPE": "Nehalem",
        "VIRTUAL_ENV": "x",
    }
    for name, value in hostile.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "mine")
    assert recreate(logged(clone.first), "abc", options(), clone.file) == 3
    environment = said(capfd)[0]["environment"]
    assert not {*hostile} & {*environment}
    assert environment["MLFLOW_TRACKING_TOKEN"] == "mine"


def test_no_hook_of_the_repository_runs(clone, work, tmp_path):
    for name in ("post-checkout", "post-index-change"):
        hook = clone.root / ".git" / "hooks" / name
        write(hook.parent, {name: f"#!/bin/sh\ntouch {tmp_path / 'hooked'}\n"})
        hook.chmod(0o755)
    control = tmp_path / "control"
    git(clone.root, "worktree", "add", "--quiet", "--detach", "--no-checkout", str(control))
    git(control, "read-tree", "HEAD")
    assert (tmp_path / "hooked").exists()
    (tmp_path / "hooked").unlink()
    assert recreate(logged(clone.first), "abc", options(), clone.file) == 3
    assert not (tmp_path / "hooked").exists()


def test_a_diff_is_applied_with_consent_and_the_worktree_says_the_same_diff(clone, work, capfd):
    def change(root):
        write(root, {"src/nnlab/marked.py": "MARK = 'diff'\n", "new.bin": "\0binary\0"})
        (root / "notes" / "a.txt").unlink()

    diff = clone.diff(change)
    recorded = f"{diff}# untracked: own.py\n# untracked: more.py\n"
    run = logged(clone.first, recorded)
    kept = work / "kept"
    assert recreate(run, "abc", options(trust_diff=True, keep=str(kept)), clone.file) == 3
    inner, outer = said(capfd)
    assert inner["mark"] == "diff"
    for words in (
        *("src/nnlab/marked.py (+1 -1)", "new.bin (binary)", "notes/a.txt (+0 -2)"),
        *("only its name was recorded: own.py", "only its name was recorded: more.py"),
        f"git worktree remove --force {kept / 'code'}",
    ):
        assert words in outer
    assert git(kept / "code", "diff", "--no-color", "--binary", "HEAD") == diff
    untracked = git(kept / "code", "ls-files", "--others").splitlines()
    assert all("__pycache__" in name for name in untracked)


def test_a_diff_is_not_applied_without_consent(clone, work):
    diff = clone.diff(lambda root: write(root, {"src/nnlab/marked.py": "MARK = 'theirs'\n"}))
    refused(clone, logged(clone.first, diff), "--trust-diff", "src/nnlab/marked.py (+1 -1)")


def test_the_same_diff_in_the_users_own_store_is_consent(clone, work, capfd):
    diff = clone.diff(lambda root: write(root, {"src/nnlab/marked.py": "MARK = 'mine'\n"}))
    own = work / "mlruns" / "runs" / "abc123" / "uncommitted.diff"
    write(own.parent, {own.name: diff})
    assert recreate(logged(clone.first, diff), "abc", options(), clone.file) == 3
    assert said(capfd)[0]["mark"] == "mine"
    refused(clone, logged(clone.first, diff.replace("mine", "your")), "--trust-diff")


FILE = """diff --git a/{0} b/{0}
new file mode {1}
index 0000000..5626abf
--- /dev/null
+++ b/{0}
@@ -0,0 +1 @@
+one
"""
RENAME = """diff --git a/{0} b/{1}
similarity index 100%
rename from {0}
rename to {1}
"""
BOMB = """diff --git a/x b/x
new file mode 100644
index 0000000000000000000000000000000000000000..5626abf0f72e58d7a153368ba57db4c673c0e171
GIT binary patch
literal {0}
KcmZQzU|?imU;qFB00IC3

literal 0
HcmV?d00001

"""
LINK = FILE.format("way", "120000").replace("+one\n", "+../outside\n\\ No newline at end of file\n")


@pytest.mark.parametrize(
    ("diff", "words"),
    [
        (FILE.format("../outside", "100644"), "inside the tree"),
        (FILE.format("notes/../../outside", "100644"), "inside the tree"),
        (FILE.format(".git/hooks/post-checkout", "100755"), "inside the tree"),
        (FILE.format("notes/.GIT/config", "100644"), "inside the tree"),
        (FILE.format("link/inside", "100644"), "does not fit"),  # beyond a link
        (RENAME.format("../outside", "here"), "git says"),
        (RENAME.format("notes/a.txt", "../outside"), "inside the tree"),
        (FILE.format("way", "120000"), "link or submodule 'way'"),
        (FILE.format("way", "160000"), "git says"),
        (LINK + FILE.format("way/x", "100644"), "git says"),
        (RENAME.format("link", "link2"), "link or submodule"),
        (BOMB.format(10**12), "1,000,000,000,000"),
        (FILE.format("src/nnlab/cli.py", "100644"), "does not fit"),  # it is there already
        ("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-nobody had\n", "git says"),
        ("something else\n", "git says"),
    ],
)
def test_a_diff_that_is_not_only_changes_of_files_in_the_tree(clone, work, diff, words):
    text = refused(clone, logged(clone.first, diff), words, trust_diff=True)
    assert "diff" in text
    assert not list(work.parent.rglob("outside"))


def aim_elsewhere(root):
    (root / "link").unlink()
    (root / "link").symlink_to("..")


def become_a_file(root):
    (root / "link").unlink()
    write(root, {"link": "notes"})


@pytest.mark.parametrize(
    "change", [aim_elsewhere, become_a_file, lambda root: (root / "link").unlink()]
)
def test_a_diff_that_changes_a_link(clone, work, change):
    run = logged(clone.first, clone.diff(change))
    refused(clone, run, "link or submodule 'link'", trust_diff=True)


def test_a_diff_that_is_not_there_and_other_code_are_said(clone, work, capfd):
    run = logged(clone.first, "", code="0" * 64)
    recreate(run, "abc", options(), clone.file)
    outer = said(capfd)[1]
    assert "the run has no uncommitted.diff" in outer
    assert "NOT the run's code" in outer
    sources = clone.root / "src" / "nnlab"
    git(clone.root, "checkout", "--quiet", clone.first)
    code = digest((str(file.relative_to(sources)), file) for file in sources.rglob("*.py"))
    recreate(logged(clone.first, code=code), "abc", options(), clone.file)
    outer = said(capfd)[1]
    assert "code" in outer and "NOT" not in outer and "no hash" not in outer


def test_what_is_missing_is_said(clone, work, monkeypatch):
    unknown = "f" * 40
    refused(clone, logged(None), "recorded no commit", "without --checkout")
    for nonsense in ("HEAD", "--upload-pack=x", clone.first[:12], 7):
        refused(clone, logged(nonsense), "40 or 64 of the characters", repr(nonsense))
    refused(clone, logged(unknown), f"commit {unknown} is not in", "`git fetch`")
    tree = git(clone.root, "rev-parse", f"{clone.first}^{{tree}}").strip()
    refused(clone, logged(tree), "is not in")
    refused(clone, logged(clone.first, python="3.99.1"), "Python 3.99.1", "no python3.99 on PATH")
    refused(clone, logged(clone.first, python="--help"), "a version of Python is like")
    refused(clone, logged(clone.first, installed=None), "recorded no packages")
    (work / "full").mkdir()
    write(work / "full", {"a": ""})
    refused(clone, logged(clone.first), "made anew or empty", keep="full")
    (clone.root / "requirements" / "lock.txt").unlink()
    refused(clone, logged(clone.commit("no lock")), "has no requirements/lock.txt")
    clone.file.unlink()
    refused(clone, logged(clone.commit("not nnlab")), "the repository is not nnlab's")


@pytest.mark.parametrize("option", ["--trust-diff", "--keep=x"])
def test_what_goes_with_checkout_alone(option):
    with pytest.raises(UserError, match="go with --checkout"):
        reproduce.run(["abc", option])


def test_a_shallow_clone_is_said_to_be_one(clone, work, tmp_path):
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", clone.root.as_uri(), str(shallow))
    with pytest.raises(UserError, match="shallow clone: `git fetch --unshallow`"):
        recreate(logged(clone.first), "abc", options(), shallow / "src" / "nnlab" / "cli.py")


def test_no_repository_and_no_git(clone, work, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"run from a clone .* not a git repository"):
        recreate(logged(clone.first), "abc", options(), work / "cli.py")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is no git on PATH"):
        recreate(logged(clone.first), "abc", options(), clone.file)


def test_without_a_network_it_is_said_what_cannot_be_had(clone, work, tmp_path, monkeypatch):
    entry = "numpy==2.0.0 \\\n    --hash=sha256:00\n"
    write(clone.root, {"requirements/lock.txt": entry, "tools/uv": "#!/bin/sh\n"})
    commit = clone.commit("numpy")
    script = "#!/bin/sh\n[ $1 = venv ] && exit\necho 'No route: numpy 2.0.0.' >&2\nexit 1\n"
    write(tmp_path, {"bin/uv": script})
    (tmp_path / "bin" / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    run = logged(commit, installed={"numpy": "2.0.0"})
    refused(clone, run, "(not to be had: numpy): No route: numpy 2.0.0.")


DRIVER = """
import sys
sys.path.insert(0, {tests!r})
from nnlab.cli import Interrupted, heed
from test_checkout import *
heed()
try:
    code = recreate(logged({commit!r}), "abc", options(), Path({file!r}))
except Interrupted:
    code = 99
sys.exit(code)
"""


@pytest.mark.parametrize("whole_group", [False, True])
def test_after_a_signal_nothing_is_left(clone, work, tmp_path, whole_group):
    before = clone.state()
    begun = tmp_path / "begun"
    tests = str(Path(__file__).parent)
    code = DRIVER.format(tests=tests, commit=clone.first, file=str(clone.file))
    environment = os.environ | {"NNLAB_DATA": str(begun)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        for _ in range(600):
            if begun.exists() or process.poll() is not None:
                break
            time.sleep(0.05)
        assert begun.exists(), process.stderr.read()
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGTERM)
        assert process.wait(timeout=60) == 7  # what the run's own code made of it
    assert begun.read_text() == "heard 1"
    assert clone.state() == before
    assert not list(Path(os.environ["TMPDIR"]).iterdir())


REPOSITORY = Path(__file__).parents[2]
"""That of nnlab itself."""
WEIGHTS = "nnlab.weights_sha256"
MAIN = "from nnlab.cli import main; main()"


def weights(store):
    """The hash of the weights that the only run of a store ended with."""
    (journal,) = store.glob("runs/*/journal.jsonl")
    records = map(json.loads, journal.read_text().splitlines())
    told = [one["tags"] for one in records if one["type"] == "tags"]
    (found,) = (tags[WEIGHTS] for tags in told if WEIGHTS in tags)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="the tests are in no repository")
def test_a_run_of_changed_code_is_reproduced_in_a_clone_that_has_moved_on(tmp_path):
    clone, folder = tmp_path / "clone", tmp_path / "elsewhere"
    folder.mkdir()
    git(tmp_path, "clone", "--quiet", str(REPOSITORY), str(clone))
    for name in ("src", "conf", "requirements"):  # what is not committed here, is there
        shutil.rmtree(clone / name)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, clone / name, ignore=ignored)
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--allow-empty", "--message", "as the tests are run")

    def nnlab(*arguments, code=0):
        environment = os.environ | {"PYTHONPATH": str(clone / "src")}
        done = subprocess.run(
            [sys.executable, "-P", "-c", MAIN, *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    source = clone / "src" / "nnlab" / "core" / "initialisers.py"
    before = source.read_text()
    changed = before.replace("return gain / sqrt(fan_in)", "return 1.01 * gain / sqrt(fan_in)")
    assert changed != before
    source.write_text(changed)
    experiment = ("train", "data=iris", "stopping.max_epochs.epochs=2", "seed=3")
    nnlab(*experiment)
    source.write_text(before)
    nnlab(*experiment, "tracking=none", "store=control")
    then, here = (weights(folder / store) for store in ("mlruns", "control"))
    assert then != here
    (run,) = (path.name for path in (folder / "mlruns" / "runs").iterdir())
    shutil.rmtree(folder / "mlruns" / "runs")  # the tracker alone is left
    done = nnlab("reproduce", run, "--checkout", "--trust-diff")
    assert "identical: the run is reproduced bit for bit" in done.stdout
    assert "NOT" not in done.stderr
    assert weights(folder / "mlruns") == then
    assert source.read_text() == before
    assert git(clone, "worktree", "list").count("\n") == 1

"""The disk is full in the middle of a training: a clear error, nothing lost, and it goes on."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from nnlab.runs.journal import being_written, read
from nnlab.runs.past import JOURNAL

pytestmark = pytest.mark.slow
NNLAB = str(Path(sys.executable).with_name("nnlab"))
TRAIN = ("train", "data=iris", "model=linear", "stopping.max_epochs.epochs=300")
ROOM = 100_000
"""Bytes: enough for the first half of the journal."""


def on_a_disk(folder, *arguments, limit=resource.RLIM_INFINITY):
    """A command on a disk where a file may have that many bytes: exit code and what it said. It
    finds no git, so that there is no file of uncommitted changes, which may be large."""
    done = subprocess.run(
        [NNLAB, *arguments],
        cwd=folder,
        env=os.environ | {"PATH": "/nowhere"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


def mount(*options):
    """Mount a small disk, or give it another size; is that permitted?"""
    try:
        done = subprocess.run(["mount", *map(str, options)], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own with little room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not mount("-t", "tmpfs", "-o", f"size={ROOM}", "nnlab-test", disk):
        pytest.skip("mounting a tmpfs is not permitted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The journal of the same training on a disk with room."""
    folder = tmp_path_factory.mktemp("room")
    code, told = on_a_disk(folder, *TRAIN, "tracking=none")
    assert code == 0, told
    return read(only(folder / "mlruns") / JOURNAL)


def only(store):
    """The directory of the only run."""
    (path,) = (store / "runs").iterdir()
    return path


def measured(records):
    """What a journal has besides times: its metrics, and the hashes of the weights."""
    points = [(one["step"], one["metrics"]) for one in records if one["type"] == "report"]
    tags = [one["tags"] for one in records if one["type"] == "tags"]
    return points, tags


def check_what_is_left(path, uninterrupted):
    """Whole records that are those of a training with room, and the lock is free."""
    records = read(path / JOURNAL)
    assert (path / JOURNAL).read_bytes().endswith(b"}\n")
    assert not being_written(path / JOURNAL)
    points, _ = measured(records)
    assert 30 < len(points) < 300
    assert points == measured(uninterrupted)[0][: len(points)]


def check_all_is_there(path, uninterrupted):
    records = read(path / JOURNAL)
    assert measured(records) == measured(uninterrupted)
    assert [one["n"] for one in records] == list(range(len(records)))
    assert records[-1]["status"] == "FINISHED"


def test_a_file_that_may_not_grow(tmp_path, uninterrupted):
    code, told = on_a_disk(tmp_path, *TRAIN, "tracking=none", limit=ROOM)
    path = only(tmp_path / "mlruns")
    assert code == 1
    assert f"{path.relative_to(tmp_path) / JOURNAL} cannot be written: " in told
    assert "File too large" in told
    check_what_is_left(path, uninterrupted)
    code, told = on_a_disk(tmp_path, "train", "--resume", path.name)
    assert code == 0, told
    check_all_is_there(path, uninterrupted)


def test_a_disk_that_is_full(tmp_path, small_disk, uninterrupted):
    code, told = on_a_disk(tmp_path, *TRAIN, "tracking=none", "store=disk/mlruns")
    path = only(small_disk / "mlruns")
    assert code == 1
    assert f"{path.relative_to(tmp_path) / JOURNAL} cannot be written: " in told
    assert "No space left on device" in told
    check_what_is_left(path, uninterrupted)
    code, told = on_a_disk(tmp_path, "train", "--resume", path.name, "--store", "disk/mlruns")
    assert code == 1, told  # there is still no room
    check_what_is_left(path, uninterrupted)
    assert mount("-o", "remount,size=10m", small_disk)
    code, told = on_a_disk(tmp_path, "train", "--resume", path.name, "--store", "disk/mlruns")
    assert code == 0, told
    check_all_is_there(path, uninterrupted)


def test_a_disk_that_is_full_while_the_run_is_shown_in_mlflow(tmp_path, small_disk, uninterrupted):
    there = f"tracking.uri=sqlite:///{tmp_path}/mlflow.db"
    code, told = on_a_disk(tmp_path, *TRAIN, "store=disk/mlruns", there)
    path = only(small_disk / "mlruns")
    assert code == 1
    assert "No space left on device" in told
    check_what_is_left(path, uninterrupted)
    assert mount("-o", "remount,size=10m", small_disk)
    code, told = on_a_disk(tmp_path, "train", "--resume", path.name, "--store", "disk/mlruns")
    assert code == 0, told
    assert "in MLflow: run " in told
    check_all_is_there(path, uninterrupted)
    assert on_a_disk(tmp_path, "doctor", "--store", "disk/mlruns") == (0, "1 run: all is well\n")

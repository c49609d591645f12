import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from nnlab.errors import UserError
from nnlab.tracking import artifacts
from nnlab.tracking.artifacts import LARGEST, POINTS, SPARED, download

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")


class Tracker:
    """Says of an artifact what it likes, and sends another one."""

    def __init__(self, size, said=None, path="data.json", is_dir=False):
        self.size, self.path, self.is_dir = size, path, is_dir
        self.file_size = size if said is None else said
        self.asked = []

    def list_artifacts(self, run):
        return [self]

    def download_artifacts(self, run, name, folder):
        self.asked.append(name)
        with (Path(folder) / name).open("wb") as file:
            written = 0
            while written < self.size:
                written += file.write(b" " * (1 << 20))


def test_an_artifact_is_downloaded(tmp_path):
    assert download(Tracker(10), "abc", "data.json", tmp_path)
    assert (tmp_path / "data.json").exists()


@pytest.mark.parametrize("tracker", [Tracker(0, path="x"), Tracker(0, is_dir=True)])
def test_what_is_not_there_or_a_folder_is_not_downloaded(tmp_path, tracker):
    assert not download(tracker, "abc", "data.json", tmp_path)
    assert not tracker.asked


def test_one_that_says_it_is_too_large_is_not_downloaded(tmp_path):
    tracker = Tracker(10, said=10_000_001)
    with pytest.raises(UserError) as error:
        download(tracker, "abc", "data.json", tmp_path)
    assert str(error.value) == (
        "run abc: the artifact data.json may have 10,000,000 bytes, and has 10,000,001 or more"
    )
    assert not tracker.asked


@pytest.mark.parametrize("said", [10, 0, None])
def test_one_that_is_larger_than_it_says_is_cut_off_by_the_system(tmp_path, said):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    tracker = Tracker(10**11, said=said or 0)
    with pytest.raises(UserError, match="may have 10,000,000 bytes, and has 10,000,001 or more"):
        download(tracker, "abc", "data.json", tmp_path)
    assert (tmp_path / "data.json").stat().st_size == LARGEST["data.json"] + 1
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == before


@pytest.mark.parametrize("said", [2000, 0])
def test_what_the_disk_has_no_room_for_is_refused(tmp_path, monkeypatch, said):
    free = SimpleNamespace(free=SPARED + 1000)
    monkeypatch.setattr(artifacts.shutil, "disk_usage", lambda folder: free)
    with pytest.raises(UserError, match=r"bytes or more, but there is room for 1,000 in .*TMPDIR"):
        download(Tracker(1 << 20, said=said), "abc", "data.json", tmp_path)
    assert sum(one.stat().st_size for one in tmp_path.iterdir()) <= 1001


def test_a_link_that_arrives_is_not_followed(tmp_path):
    class Linking(Tracker):
        def download_artifacts(self, run, name, folder):
            (Path(folder) / name).symlink_to("/etc/hostname")

    assert not download(Linking(10), "abc", "data.json", tmp_path)


def test_another_name_than_the_known_ones_is_none(tmp_path):
    with pytest.raises(KeyError):
        download(Tracker(10, path="../x"), "abc", "../x", tmp_path)


def test_the_fetching_process_takes_no_more_memory_than_it_may():
    code = (
        "from nnlab.tracking.artifacts import POINTS, limit_memory\n"
        "limit_memory()\nbytearray(POINTS // 2)\n"
        "try:\n    bytearray(POINTS + POINTS // 10)\nexcept MemoryError:\n    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"
    assert POINTS < 10**10

import fcntl
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from nnlab.data import catalogue, home
from nnlab.data.catalogue import File, Published
from nnlab.data.fetch import RESUMPTIONS, fetch, is_published
from nnlab.errors import UserError

CONTENT = np.random.default_rng(0).bytes(300_000)
DEAD = "http://127.0.0.1:9"
"""Nothing listens there."""


def published(*mirrors, content=CONTENT, names=("a.bin",)):
    files = [
        File(
            name,
            len(content),
            sha256(content).hexdigest(),
            tuple(f"{url}/{name}" for url in mirrors),
            (name.removesuffix(".bin"),),
        )
        for name in names
    ]
    return Published(("folder", "other"), tuple(files))


def quiet(file, there):
    pass


@pytest.fixture
def served(server):
    """The server, with the file as it is published."""
    (server.folder / "a.bin").write_bytes(CONTENT)
    return server


def ends(data_home):
    """What is in the folder: the names, without what would be gone on with."""
    return sorted(path.name for path in (data_home / "folder").iterdir())


def test_a_file_is_fetched_once(served, data_home):
    seen = []
    what = published(served.url)
    (path,) = fetch("it", what, lambda file, there: seen.append(there))
    assert path == data_home / "folder" / "a.bin"
    assert path.read_bytes() == CONTENT and is_published(path, what.files[0])
    assert seen == sorted(seen) and seen[-1] == len(CONTENT)
    assert fetch("it", what, quiet) == []
    assert served.asked == [("/a.bin", None)]
    assert ends(data_home) == ["a.bin"]


def test_only_what_is_missing_is_fetched(served, data_home):
    (served.folder / "b.bin").write_bytes(CONTENT)
    (data_home / "other").mkdir(parents=True)
    (data_home / "other" / "a").write_bytes(b"put there by hand, not compressed")
    assert len(fetch("it", published(served.url, names=("a.bin", "b.bin")), quiet)) == 1
    assert served.asked == [("/b.bin", None)]


@pytest.mark.parametrize("lengths", [True, False], ids=["Content-Length", "no Content-Length"])
def test_a_cut_connection_is_gone_on_with_where_it_ended(served, data_home, lengths):
    served.lengths, served.cuts = lengths, [100_000, 50_000]
    (path,) = fetch("it", published(served.url), quiet)
    assert path.read_bytes() == CONTENT
    assert [wanted for _, wanted in served.asked] == [None, "bytes=100000-", "bytes=150000-"]


def test_a_partial_file_of_an_earlier_process_is_gone_on_with(served, data_home):
    (data_home / "folder").mkdir(parents=True)
    (data_home / "folder" / "a.bin.part").write_bytes(CONTENT[:200_000])
    (path,) = fetch("it", published(served.url), quiet)
    assert path.read_bytes() == CONTENT
    assert served.asked == [("/a.bin", "bytes=200000-")]
    assert ends(data_home) == ["a.bin"]


@pytest.mark.parametrize("size", [100, len(CONTENT), len(CONTENT) + 1])
def test_a_partial_file_of_other_bytes_is_fetched_anew(served, data_home, size):
    (data_home / "folder").mkdir(parents=True)
    (data_home / "folder" / "a.bin.part").write_bytes(b"x" * size)
    (path,) = fetch("it", published(served.url), quiet)
    assert path.read_bytes() == CONTENT
    assert served.asked[-1] == ("/a.bin", None)


def test_a_server_without_ranges_begins_again(served, data_home):
    served.ranges, served.cuts = False, [100_000]
    (path,) = fetch("it", published(served.url), quiet)
    assert path.read_bytes() == CONTENT
    assert [wanted for _, wanted in served.asked] == [None, "bytes=100000-"]


def test_a_server_that_always_cuts_is_given_up(served, data_home):
    served.cuts = [1000] * 100
    with pytest.raises(UserError, match=f"ended too early {RESUMPTIONS} times"):
        fetch("it", published(served.url), quiet)
    assert len(served.asked) == RESUMPTIONS


def test_the_last_attempt_may_be_the_one_that_ends_it(served, data_home):
    served.cuts = [1000] * (RESUMPTIONS - 1)
    (path,) = fetch("it", published(served.url), quiet)
    assert path.read_bytes() == CONTENT


def test_the_next_mirror_is_tried(served, data_home):
    what = published(DEAD, f"{served.url}/nowhere", served.url)
    (path,) = fetch("it", what, quiet)
    assert path.read_bytes() == CONTENT
    assert served.asked == [("/nowhere/a.bin", None), ("/a.bin", None)]


def test_wrong_bytes_are_refused_and_do_not_stay(served, data_home):
    (served.folder / "a.bin").write_bytes(CONTENT[::-1])
    with pytest.raises(UserError) as error:
        fetch("it", published(served.url), quiet)
    assert sha256(CONTENT).hexdigest() in str(error.value)
    assert f"{served.url}/a.bin: refused and removed" in str(error.value)
    assert ends(data_home) == []


def test_wrong_bytes_of_one_mirror_do_not_spoil_the_next(served, data_home):
    (served.folder / "bad").mkdir()
    (served.folder / "bad" / "a.bin").write_bytes(CONTENT[::-1])
    (path,) = fetch("it", published(f"{served.url}/bad", served.url), quiet)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
@pytest.mark.parametrize("lengths", [True, False], ids=["Content-Length", "no Content-Length"])
def test_another_size_is_refused(served, data_home, size, lengths):
    served.lengths = lengths
    (served.folder / "a.bin").write_bytes((CONTENT + b"x")[:size])
    with pytest.raises(UserError, match=r"could not be fetched; of a\.bin") as error:
        fetch("it", published(served.url), quiet)
    if lengths:
        assert f"it has {size:,} bytes, not 300,000 as published" in str(error.value)
    elif size > len(CONTENT):
        assert "it has more than the 300,000 bytes" in str(error.value)
    else:
        assert "it ends after 299,999 of 300,000 bytes" in str(error.value)
    assert "a.bin" not in ends(data_home)


def test_a_server_without_end_does_not_fill_the_disk(served, data_home):
    served.lengths = False
    (served.folder / "a.bin").write_bytes(bytes(20_000_000))
    with pytest.raises(UserError, match="it has more than the 300,000 bytes"):
        fetch("it", published(served.url), quiet)
    assert (data_home / "folder" / "a.bin.part").stat().st_size <= len(CONTENT)


def test_offline_the_error_says_which_files_to_put_where(data_home):
    what = published(DEAD, DEAD + "0", names=("a.bin", "b.bin"))
    with pytest.raises(UserError) as error:
        fetch("it", what, quiet)
    said = str(error.value)
    assert "it could not be fetched" in said and "nnlab data fetch it" in said
    assert f"{DEAD}/a.bin: [Errno 111] Connection refused" in said
    assert f"put by hand into {data_home / 'folder'}" in said and "NNLAB_DATA" in said
    for name in ("a.bin", "b.bin"):
        assert re.search(rf"  {name} \(300,000 bytes\) from {DEAD}/{name}$", said, re.MULTILINE)


def test_a_mirror_of_ones_own_comes_first(served, data_home, monkeypatch):
    (served.folder / "folder").mkdir()
    (served.folder / "a.bin").rename(served.folder / "folder" / "a.bin")
    monkeypatch.setenv("NNLAB_MIRROR", served.url + "/")
    fetch("it", published(DEAD), quiet)
    assert served.asked == [("/folder/a.bin", None)]
    monkeypatch.setenv("NNLAB_MIRROR", "file:///etc")
    with pytest.raises(UserError, match="must be an http URL"):
        fetch("it", published(DEAD, names=("b.bin",)), quiet)


def test_a_folder_that_cannot_be_written_is_named(data_home):
    data_home.write_text("a file")
    with pytest.raises(UserError, match=f"{data_home / 'folder'} cannot be written to"):
        fetch("it", published(DEAD), quiet)


def test_a_full_disk_is_not_blamed_on_the_mirror(served, data_home, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"folder cannot be written to.*No space left"):
        fetch("it", published(served.url), quiet)


def test_who_waits_finds_the_file_there(served, data_home):
    """Threads have the folder's lock as processes do: each opens it."""
    (data_home / "folder").mkdir(parents=True)
    what, got = published(served.url), []
    threads = [
        threading.Thread(target=lambda: got.append(fetch("it", what, quiet))) for _ in range(4)
    ]
    descriptor = os.open(data_home / "folder", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    assert served.asked == []
    os.close(descriptor)
    for thread in threads:
        thread.join()
    assert sorted(map(len, got)) == [0, 0, 0, 1]
    assert len(served.asked) == 1


def test_processes_that_fetch_at_once_all_have_it(served, data_home):
    script = (
        "import sys; from nnlab.data.fetch import fetch;"
        "from nnlab.data.catalogue import File, Published;"
        "url, size, digest = sys.argv[1:];"
        "what = Published(('folder',), (File('a.bin', int(size), digest, (url,), ('a',)),));"
        "fetch('it', what, lambda file, there: None);"
        "print('done')"
    )
    command = [sys.executable, "-c", script, f"{served.url}/a.bin", str(len(CONTENT))]
    command.append(sha256(CONTENT).hexdigest())
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    for process in processes:
        assert process.communicate(timeout=60)[0] == b"done\n"
    assert (data_home / "folder" / "a.bin").read_bytes() == CONTENT
    assert len(served.asked) == 1


def test_the_catalogue_is_what_it_should_be():
    every = [
        catalogue.MNIST,
        catalogue.FASHION_MNIST,
        catalogue.KMNIST,
        catalogue.CIFAR10,
        catalogue.CALIFORNIA_HOUSING,
    ]
    files = [file for one in every for file in one.files]
    assert len({file.sha256 for file in files}) == len(files) == 14
    for file in files:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert len(set(file.urls)) >= 2
        assert all(re.match("https?://", url) for url in file.urls)


def test_california_is_what_scikit_learn_fetches():
    from sklearn.datasets import _california_housing

    (file,), archive = catalogue.CALIFORNIA_HOUSING.files, _california_housing.ARCHIVE
    assert (file.name, file.sha256) == (archive.filename, archive.checksum)
    assert archive.url in file.urls


def test_the_real_files_are_the_published_ones(shared_data):
    """But for one, which was compressed again."""
    known = {file.name: file for file in catalogue.MNIST.files}
    same = {name for name in known if is_published(shared_data / "mnist" / name, known[name])}
    assert known.keys() - same == {"train-images-idx3-ubyte.gz"}


def test_the_data_home_is_the_platforms_cache_unless_told(monkeypatch, tmp_path):
    monkeypatch.setenv("NNLAB_DATA", "~/data")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home.home() == tmp_path / "data"
    monkeypatch.delenv("NNLAB_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert home.home() == tmp_path / "cache" / "nnlab"


def test_files_are_found_in_the_folders_that_people_have(data_home):
    what = replace(published(DEAD), folders=("folder", "Folder/raw"))
    assert home.find(what) == {}
    raw = data_home / "Folder" / "raw"
    raw.mkdir(parents=True)
    (raw / "a.bin").write_bytes(b"1")
    assert home.find(what) == {"a.bin": (raw / "a.bin",)}
    (raw / "a").write_bytes(b"2")
    assert home.find(what) == {"a.bin": (raw / "a",)}
    assert not home.missing(what)

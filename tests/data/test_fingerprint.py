import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from nnlab.data import fingerprint
from nnlab.data.dataset import Dataset
from nnlab.data.fingerprint import FOLDER, anew, look

X = np.arange(120, dtype=np.uint8).reshape(30, 4)


@pytest.fixture(autouse=True)
def settled(monkeypatch, data_home):
    """Small files count as large ones, and a file that was just written as settled."""
    monkeypatch.setattr(fingerprint, "WORTH", 1)
    monkeypatch.setattr(fingerprint, "RACY", 0)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(X.tobytes())
    return path


@dataclass
class Reader:
    """Reads bytes, and counts how often content is hashed."""

    monkeypatch: pytest.MonkeyPatch
    hashed: int = 0

    def __post_init__(self):
        digest = fingerprint.digest

        def counted(*arrays, **named):
            self.hashed += 1
            return digest(*arrays, **named)

        self.monkeypatch.setattr(fingerprint, "digest", counted)

    def __call__(self, *paths, reading="bytes"):
        """The data set in these files."""
        files = look(*paths)
        x = np.concatenate([np.fromfile(path, np.uint8).reshape(-1, 4) for path in paths])
        return Dataset(x, np.zeros(len(x)), files=files, reading=reading)


@pytest.fixture
def read(monkeypatch):
    return Reader(monkeypatch)


def entries(data_home):
    return sorted((data_home / FOLDER).glob("*"))


def test_what_was_hashed_once_is_remembered(read, file, data_home):
    first = read(file).fingerprint
    assert first == replace(read(file), files=()).fingerprint
    read.hashed = 0
    assert read(file).fingerprint == first
    assert read.hashed == 0
    assert len(entries(data_home)) == 1


def test_the_memory_is_what_is_believed(read, file, data_home):
    """Else the test above would show nothing."""
    read(file).fingerprint  # noqa: B018
    (entry,) = entries(data_home)
    key = entry.read_text().split()[0]
    entry.write_text(f"{key}\n{'ab' * 32}\n{fingerprint._check(key, 'ab' * 32)}\n")
    assert read(file).fingerprint == "ab" * 32
    with anew():
        assert read(file).fingerprint == replace(read(file), files=()).fingerprint
    assert read(file).fingerprint != "ab" * 32  # and the memory is right again


def test_a_byte_that_changed_is_noticed_also_where_the_time_is_put_back(read, file, data_home):
    before, status = read(file).fingerprint, file.stat()
    content = bytearray(file.read_bytes())
    content[17] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = file.stat()
    assert (after.st_mtime_ns, after.st_size) == (status.st_mtime_ns, status.st_size)
    assert read(file).fingerprint != before
    assert read(file).fingerprint == replace(read(file), files=()).fingerprint
    assert len(entries(data_home)) == 1  # one for each data set, not for each of its states


@pytest.mark.parametrize("change", ["longer", "touched", "moved", "read otherwise"])
def test_another_state_of_the_file_is_hashed_anew(read, file, change):
    before, reading = read(file).fingerprint, "bytes"
    read.hashed = 0
    if change == "longer":
        file.write_bytes(X.tobytes() + b"1234")
    elif change == "touched":
        os.utime(file, ns=(0, 0))
    elif change == "moved":
        file = file.rename(file.with_name("other.bin"))
    else:
        reading = "bytes, in another way"
    assert (read(file, reading=reading).fingerprint == before) == (change != "longer")
    assert read.hashed == 1


def test_every_file_counts(read, file, tmp_path):
    other = tmp_path / "other.bin"
    other.write_bytes(b"abcd")
    both = read(file, other).fingerprint
    other.write_bytes(b"abce")
    assert read(file, other).fingerprint != both


def test_other_code_that_reads_is_another_reading(read, file, monkeypatch):
    read(file).fingerprint  # noqa: B018
    read.hashed = 0
    monkeypatch.setattr(fingerprint, "_code", lambda: ["other"])
    read(file).fingerprint  # noqa: B018
    assert read.hashed == 1


def test_a_file_that_was_just_changed_is_not_remembered(read, file, data_home, monkeypatch):
    monkeypatch.setattr(fingerprint, "RACY", 10**12)
    assert read(file).fingerprint == read(file).fingerprint
    assert (read.hashed, entries(data_home)) == (2, [])


def test_a_file_that_changes_while_it_is_read_is_not_remembered(read, file, data_home):
    dataset = read(file)
    file.write_bytes(b"x" * 120)
    assert dataset.fingerprint == replace(dataset, files=()).fingerprint
    assert entries(data_home) == []


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"zz", "cut", "another"])
def test_a_damaged_memory_is_none(read, file, data_home, damage):
    expected = read(file).fingerprint
    (entry,) = entries(data_home)
    whole = entry.read_bytes()
    if damage == "another":
        damage = whole.replace(expected.encode(), b"00" * 32)
    entry.write_bytes(whole[:-9] if damage == "cut" else damage)
    assert read(file).fingerprint == expected
    assert entry.read_bytes() == whole


def test_a_folder_that_cannot_be_written_is_no_matter(read, file, data_home):
    data_home.write_text("a file, not a folder")
    assert read(file).fingerprint == read(file).fingerprint
    assert read.hashed == 2


def test_nothing_is_left_of_a_write_that_fails(read, file, data_home, monkeypatch):
    def refused(*arguments):
        raise OSError("no")

    monkeypatch.setattr(Path, "replace", refused)
    read(file).fingerprint  # noqa: B018
    assert entries(data_home) == []


def test_small_data_and_data_without_files_ask_no_memory(file, read, data_home, monkeypatch):
    assert Dataset(X, np.zeros(30)).fingerprint == read(file).fingerprint
    read.hashed = 0
    monkeypatch.setattr(fingerprint, "WORTH", X.nbytes + 1)
    read(file).fingerprint  # noqa: B018
    assert read.hashed == 1


def test_anew_ends_with_its_block(read, file):
    with pytest.raises(ZeroDivisionError), anew():
        raise ZeroDivisionError
    read(file).fingerprint  # noqa: B018
    read.hashed = 0
    read(file).fingerprint  # noqa: B018
    assert read.hashed == 0

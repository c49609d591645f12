"""Files are read once for all trainings of a process."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nnlab.core.laws import LawError
from nnlab.data import fingerprint
from nnlab.data.sources import images, table
from nnlab.data.sources.images import Images
from nnlab.data.sources.table import Table
from nnlab.data.validation import KFold

TEXT = "a,y\n" + "".join(f"{k},{k % 2}\n" for k in range(20))


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    """A file that was just written counts as settled."""
    monkeypatch.setattr(fingerprint, "RACY", 0)


@pytest.fixture(params=["table", "images"])
def source(request, tmp_path):
    """A source of two files, or of files in two folders."""
    if request.param == "table":
        for name in ("t.csv", "u.csv"):
            (tmp_path / name).write_text(TEXT)
        return Table(path=f"{tmp_path}/t.csv", test_path=f"{tmp_path}/u.csv", target="y", test=0)
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for k in range(20):
            Image.fromarray(np.full((2, 2), k, np.uint8)).save(
                tmp_path / "images" / name / f"{k}.png"
            )
    return Images(path=f"{tmp_path}/images")


@pytest.fixture
def readings(monkeypatch):
    """The sources that were read from their files."""
    found = []
    for module, kind in ((table, Table), (images, Images)):
        read = kind._read

        def counted(self, *arguments, read=read):
            found.append(self)
            return read(self, *arguments)

        monkeypatch.setattr(module, kind.__name__, kind)
        monkeypatch.setattr(kind, "_read", counted)
    return found


def last_file(source):
    return Path(source.test_path if isinstance(source, Table) else f"{source.path}/b/9.png")


def otherwise(source):
    """The same files, read in another way."""
    other = {"separator": "comma"} if isinstance(source, Table) else {"mode": "grey"}
    return replace(source, **other)


def test_folds_and_checks_share_what_was_read(source, readings):
    first = source.load()
    for fold in KFold(3).members():
        source.split(fold)
    again = replace(source, scale="none", split_seed=7).load()
    assert again.x is first.x
    assert len(readings) == 1
    assert not any(one.flags.writeable for one in (first.x, first.y))
    with pytest.raises(ValueError, match="read-only"):
        first.x[0] = 1


def test_the_files_and_the_reading_are_told(source):
    dataset = source.load()
    found = {file.path for file in dataset.files}
    assert str(last_file(source)) in found
    assert len(found) == (2 if isinstance(source, Table) else 40)
    assert dataset.reading == replace(source, scale="none", split_seed=3).load().reading
    assert dataset.reading != otherwise(source).load().reading


def test_a_file_that_changed_is_read_again(source, readings):
    path = last_file(source)
    source.load()
    content, status = path.read_bytes(), path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    source.load()
    assert len(readings) == 2


def test_a_file_that_may_yet_change_is_read_again(source, readings, monkeypatch):
    monkeypatch.setattr(fingerprint, "RACY", 10**12)
    source.load()
    source.load()
    assert len(readings) == 2


def test_another_way_to_read_reads_again_and_one_data_set_is_kept(source, readings):
    other = otherwise(source)
    for one in (source, other, other, source):
        one.load()
    assert readings == [source, other, source]


def test_files_that_cannot_be_read_are_refused_as_ever(tmp_path):
    for _ in range(2):
        with pytest.raises(LawError, match="does not exist"):
            Table(path=str(tmp_path / "t.csv"), target="y").load()


def test_the_fingerprint_is_remembered(source, readings, data_home, monkeypatch):
    """Of tables and images, too: they are hashed once, though another process reads them."""
    from nnlab.data.sources import once

    monkeypatch.setattr(fingerprint, "WORTH", 1)
    digest, hashed = fingerprint.digest, []
    monkeypatch.setattr(
        fingerprint, "digest", lambda *of, **named: hashed.append(1) or digest(*of, **named)
    )
    first = source.load().fingerprint
    once._last.clear()
    dataset = source.load()
    assert dataset.fingerprint == first == replace(dataset, files=()).fingerprint
    assert (len(readings), len(hashed)) == (2, 2)  # the second is of the one without files

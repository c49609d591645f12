"""What is recorded of the user's own files."""

import os
import subprocess
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nnlab.data import fingerprint
from nnlab.data.fingerprint import FOLDER, look
from nnlab.data.own import Own
from nnlab.data.sources.bundled import Digits
from nnlab.data.sources.images import Images
from nnlab.data.sources.table import Table
from nnlab.data.validation import Given

TABLE = "".join(f"{k},{k * k % 7},{k % 2}\n" for k in range(40))


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,kind\n" + TABLE)
    return path


def pets(folder):
    for label, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for k in range(3):
            Image.fromarray(np.full((4, 5, 3), 40 * label + k, np.uint8)).save(
                folder / name / f"{k} {name}.png"
            )
    return folder


def plain(source):
    return {key: own.plain for key, own in source.load().own.items()}


def told_by_sha256sum(*paths):
    done = subprocess.run(["sha256sum", *paths], capture_output=True, text=True, check=True)
    return [line.split()[0].lstrip("\\") for line in done.stdout.splitlines()]


def test_a_file_has_the_sha256_of_its_bytes(table, monkeypatch):
    monkeypatch.chdir(table.parent)
    expected = {"name": "t.csv", "bytes": len(TABLE) + 9, "sha256": told_by_sha256sum(table)[0]}
    for path in (table, "t.csv", "./../" + table.parent.name + "/t.csv"):
        assert plain(Table(path=str(path), target="kind")) == {"path": expected}


def test_each_file_is_recorded_under_the_key_that_names_it(table, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("a,b,kind\n1,2,0\n3,4,1\n5,6,0\n")
    found = plain(Table(path=str(table), target="kind", test_path=str(other), test=0))
    assert [one["sha256"] for one in found.values()] == told_by_sha256sum(table, other)
    named = {key: one["name"] for key, one in found.items()}
    assert named == {"path": "t.csv", "test_path": "other.csv"}


@pytest.mark.parametrize("ending", [".npy", ".parquet"])
def test_files_that_are_read_from_disk_are_recorded_too(ending, tmp_path):
    rows = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    files = {}
    for name in ("path", "validation_path"):
        path = files[name] = tmp_path / f"{name}{ending}"
        rows = rows + 1
        if ending == ".npy":
            np.save(path, rows)
        else:
            pq.write_table(pa.table({c: rows[:, k] for k, c in enumerate("abc")}), path)
    target = "" if ending == ".npy" else "c"
    source = Table(**{k: str(p) for k, p in files.items()}, window=50, target=target)
    about = source.split(Given()).about
    assert [one.plain["sha256"] for one in about.own.values()] == told_by_sha256sum(*files.values())
    assert list(about.own) == list(files)


def test_a_folder_has_the_hash_that_a_shell_tells(tmp_path):
    folder = pets(tmp_path / "pets")
    (folder / "dog" / "back\\slash\n.png").write_bytes((folder / "dog" / "0 dog.png").read_bytes())
    (found,) = plain(Images(path=str(folder))).values()
    command = (
        "find -L . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    )
    shell = subprocess.run(
        ["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=True
    )
    size = sum(path.stat().st_size for path in folder.rglob("*.png"))
    assert found == {"name": "pets", "files": 7, "bytes": size, "sha256": shell.stdout[:64]}


@pytest.mark.parametrize("change", ["a byte", "a name", "one more"])
def test_a_folder_that_differs_has_another_hash(change, tmp_path):
    folder = pets(tmp_path / "pets")
    before = plain(Images(path=str(folder)))["path"]["sha256"]
    file = folder / "cat" / "1 cat.png"
    if change == "a byte":
        file.write_bytes(file.read_bytes()[:-1] + b"\x83")
    elif change == "a name":
        file.rename(file.with_name("1 dog.png"))
    else:
        (folder / "cat" / "3.png").write_bytes(file.read_bytes())
    files = sorted(path for path in folder.rglob("*.png"))
    assert Own.of(folder, look(*files)).sha256 != before


def test_data_by_name_are_not_the_user_s():
    assert Digits().load().own == {}


def test_large_files_are_hashed_once(table, data_home, monkeypatch):
    monkeypatch.setattr(fingerprint, "WORTH", 1)
    monkeypatch.setattr(fingerprint, "RACY", 0)
    read = []
    fdopen = os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda *a, **k: read.append(a) or fdopen(*a, **k))
    hashes = {Own.of(table, look(table)).sha256 for _ in range(3)}
    assert hashes == set(told_by_sha256sum(table))
    assert (len(read), len(list((data_home / FOLDER).iterdir()))) == (1, 1)
    table.write_text(table.read_text().replace("9", "8"))
    assert Own.of(table, look(table)).sha256 not in hashes


@pytest.mark.parametrize("change", ["another byte", "longer", "shorter", "gone"])
def test_what_changed_since_it_was_looked_at_has_no_hash(table, change):
    own = Own.of(table, look(table))
    text = table.read_text()
    contents = {"another byte": text[:-2] + "7\n", "longer": text + "1,2,1\n", "shorter": text[:-4]}
    os.utime(table, ns=(0, 0))
    if change == "gone":
        table.unlink()
    else:
        table.write_text(contents[change])
    assert own.plain == {"name": "t.csv", "bytes": len(text), "sha256": None}


def test_a_file_without_end_is_not_read(monkeypatch):
    path = Path("/dev/zero")
    with pytest.raises(OSError, match="not a regular file"):
        Own.of(path, look(path)).sha256  # noqa: B018


def test_a_file_that_says_it_is_empty_is_not_read():
    own = Own.of(Path("/proc/version"), look(Path("/proc/version")))
    assert own.sha256 == sha256().hexdigest()

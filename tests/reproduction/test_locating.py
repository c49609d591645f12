"""The user's data, found again by their content."""

import json
import os
import shutil
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nnlab.data import fingerprint
from nnlab.data.own import Own
from nnlab.data.sources.images import Images
from nnlab.data.sources.table import Table
from nnlab.errors import UserError
from nnlab.reproduction import locating, places
from nnlab.reproduction.locating import difference, located

CONTENT = "a,b,kind\n" + "".join(f"{k},{k * k % 7},{k % 2}\n" for k in range(40))
SHA = sha256(CONTENT.encode()).hexdigest()
FLIPPED = CONTENT.replace("13,", "12,", 1)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """The working directory and the data home: neither has the files of the original."""
    here, home = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    home.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("NNLAB_DATA", str(home))
    return here


@pytest.fixture
def attic(tmp_path):
    """A folder that the user can name."""
    folder = tmp_path / "attic"
    folder.mkdir()
    return folder


@pytest.fixture
def no_reading(monkeypatch):
    """Fails where a file's content is read."""

    def refused(*arguments, **named):
        raise AssertionError(f"a file is read: {arguments}")

    monkeypatch.setattr(os, "fdopen", refused)
    monkeypatch.setattr(Path, "open", refused)


def recorded(text=CONTENT, name="t.csv", **more):
    content = text.encode()
    told = {"name": name, "bytes": len(content), "sha256": sha256(content).hexdigest()} | more
    return {"read_from": {"path": told}}


def config(path="data/t.csv", **more):
    return {"seed": 3, "data": {"name": "table", "path": str(path), **more}}


def write(path, content=CONTENT):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def found(*named, logged=None, described=None):
    """The path that is found; all else of the config is as it was."""
    logged = logged or config()
    made = located(logged, described or recorded(), named)
    assert made == {**logged, "data": {**logged["data"], "path": made["data"]["path"]}}
    return made["data"]["path"]


def refused(*named, logged=None, described=None):
    with pytest.raises(UserError) as error:
        located(logged or config(), described or recorded(), named)
    return str(error.value)


@pytest.mark.parametrize("data", [{"name": "digits"}, 7, {"name": "table", "path": "t.csv"}])
def test_what_is_named_must_be_there_also_where_nothing_is_looked_for(tmp_path, data):
    for named in (tmp_path / "none", Path("a\0b")):
        with pytest.raises(UserError, match=r"--data names a file or a folder, but .+ not exist"):
            located({"data": data}, None, [named])


def test_a_file_that_is_where_it_was_keeps_its_path(elsewhere):
    write(elsewhere / "data" / "t.csv")
    assert found() == "data/t.csv"
    absolute = write(elsewhere.parent / "there.csv")
    assert found(logged=config(absolute)) == str(absolute)


PLACES = {
    "named": ("attic/other name.txt", "attic/other name.txt"),
    "by name in a folder that is named": ("attic/x/y/z/t.csv", "attic"),
    "by size in a folder that is named": ("attic/x/renamed.csv", "attic"),
    "by name in the working directory": ("here/x/t.csv", None),
    "by size in the working directory": ("here/renamed.csv", None),
    "by name in the data home": ("home/tables/t.csv", None),
}


@pytest.mark.parametrize("how", PLACES)
def test_a_file_that_moved_is_found(how, tmp_path, attic):
    place, named = PLACES[how]
    file = write(tmp_path / place)
    assert found(*([tmp_path / named] if named else [])) == str(file)


def test_in_the_working_directory_only_what_is_near_is_found(elsewhere):
    deep = write(elsewhere / "1" / "2" / "3" / "4" / "t.csv")
    assert "nothing here has that content" in refused()
    shutil.move(deep, elsewhere / "1" / "2" / "3")
    assert found() == str(elsewhere / "1" / "2" / "3" / "t.csv")


def test_a_copy_that_would_be_read_otherwise_is_none(attic):
    write(attic / "t.csv.bak")
    assert SHA in refused(attic)
    right = write(attic / "u.CSV")
    assert found(attic) == str(right)


def test_the_right_one_of_the_same_size_is_taken(attic):
    for k in range(5):
        write(attic / f"{k}.csv", CONTENT.replace("13,", f"1{k + 4},", 1))
    write(attic / "t.csv", FLIPPED)
    right = write(attic / "5.csv")
    assert found(attic) == str(right)


@pytest.mark.parametrize("other", [FLIPPED, CONTENT + "1,2,1\n"], ids=["a byte", "a row more"])
def test_a_file_that_differs_is_named_with_both_fingerprints(other, attic):
    file = write(attic / "t.csv", other)
    now = sha256(other.encode()).hexdigest()
    said = refused(attic)
    assert said.splitlines()[0] == (
        f"data.path names the file 'data/t.csv', {len(CONTENT)} bytes with the SHA-256 {SHA}, and "
        "nothing here has that content; name it, or a folder that it is in: --data FILE_OR_FOLDER"
    )
    assert f"\n  {file} has {len(other)} bytes with the SHA-256 {now}\n" in said


def test_a_file_at_its_old_place_that_differs_is_not_taken(elsewhere, attic):
    write(elsewhere / "data" / "t.csv", FLIPPED)
    assert sha256(FLIPPED.encode()).hexdigest() in refused()
    right = write(attic / "t.csv")
    assert found(attic) == str(right)


def test_a_missing_file_is_named_with_its_fingerprint(elsewhere, tmp_path):
    said = refused()
    assert SHA in said
    assert f"\n  looked for in {elsewhere} (3 folders deep), {tmp_path / 'home'} (3" in said


def test_what_the_user_names_must_be_there(attic):
    said = refused(attic / "no")
    assert said == f"--data names a file or a folder, but {attic / 'no'} does not exist"


def test_a_large_file_of_another_size_is_not_read(attic, monkeypatch, no_reading):
    monkeypatch.setattr(locating, "LARGEST_SHOWN", 10)
    file = write_unread(attic / "t.csv", 500)
    assert f"\n  {file} has 500 bytes\n" in refused(attic)


def write_unread(path, size):
    path.touch()
    os.truncate(path, size)
    return path


def test_files_of_other_sizes_and_names_are_not_read(attic, elsewhere, no_reading):
    for k in range(20):
        write_unread(attic / f"{k}.csv", len(CONTENT) + k + 1)
        write_unread(elsewhere / f"{k}.csv", len(CONTENT) - k - 1)
    assert SHA in refused(attic)


def test_a_link_to_the_file_will_do(attic, tmp_path):
    target = write(tmp_path / "far" / "content.bin")
    (attic / "t.csv").symlink_to(target)
    assert found(attic) == str(attic / "t.csv")


def test_links_that_lead_back_are_no_matter(attic):
    (attic / "x").mkdir()
    (attic / "x" / "up").symlink_to(attic)
    (attic / "x" / "t.csv").symlink_to(attic / "x" / "t.csv")
    assert "is no regular file" in refused(attic)
    assert found(attic, logged=config(write(attic / "x" / "u.csv"))) == str(attic / "x" / "u.csv")


DEVICES = ("/dev/zero", "/dev/stdin", "/proc/kmsg", "/proc/self/mem", "/", "\0", "x" * 5000, "..")


@pytest.mark.parametrize("path", DEVICES)
def test_what_is_no_regular_file_is_not_opened(path, no_reading):
    began = time.monotonic()
    assert SHA in refused(logged=config(path))
    images = {"read_from": {"path": recorded()["read_from"]["path"] | {"files": 3}}}
    assert SHA in refused(logged=config(path), described=images)
    assert time.monotonic() - began < 5


def test_a_pipe_is_not_waited_for(attic):
    os.mkfifo(attic / "t.csv")
    (attic / "link.csv").symlink_to(attic / "t.csv")
    said = refused(attic, attic / "link.csv", logged=config(attic / "t.csv"))
    assert f"{attic / 't.csv'} is no regular file" in said


def test_no_content_is_shown(attic):
    write(attic / "t.csv", "password\n" * 30)
    assert "password" not in refused(attic / "t.csv", attic)


def test_the_memory_of_fingerprints_is_not_believed(attic, monkeypatch):
    """Else who can write there could pass a file for another."""
    monkeypatch.setattr(fingerprint, "WORTH", 1)
    monkeypatch.setattr(fingerprint, "RACY", 0)
    file = write(attic / "t.csv", FLIPPED)
    own = Own.of(file, fingerprint.look(file))
    assert own.sha256 != SHA
    (entry,) = fingerprint.home().joinpath(fingerprint.FOLDER).iterdir()
    key = entry.read_text().split()[0]
    entry.write_text(f"{key}\n{SHA}\n{fingerprint._check(key, SHA)}\n")
    assert Own.of(file, fingerprint.look(file)).sha256 == SHA  # a training believes it
    assert sha256(FLIPPED.encode()).hexdigest() in refused(attic)


def test_only_so_much_of_a_folder_is_looked_at(attic, monkeypatch):
    monkeypatch.setattr(places, "LOOKED_AT", 10)
    for k in range(20):
        write(attic / f"{k:02}.csv", "x")
    write(attic / "z" / "t.csv")
    assert f"of {attic} the nearest 10 files and folders alone were looked at" in refused(attic)


def test_each_path_is_found_for_itself(attic):
    keys = ("path", "validation_path", "test_path")
    logged = {"data": {"name": "table"} | {key: f"gone/{k}.csv" for k, key in enumerate(keys)}}
    described = {"read_from": {}}
    for k, key in enumerate(keys):
        text = CONTENT.replace("13,", f"1{k + 4},", 1)
        write(attic / f"{2 - k}.csv", text)
        described["read_from"] |= {key: recorded(text, f"{k}.csv")["read_from"]["path"]}
    made = located(logged, described, [attic])
    assert [Path(made["data"][key]).name for key in keys] == ["2.csv", "1.csv", "0.csv"]
    (attic / "0.csv").unlink()
    said = refused(attic, logged=logged, described=described)
    assert said.startswith("data.test_path names the file 'gone/2.csv', ")


def pets(folder):
    for label, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for k in range(3):
            image = Image.fromarray(np.full((4, 5, 3), 40 * label + k, np.uint8))
            image.save(folder / name / f"{k}.png")
    return folder


def told(source):
    """What a run records of the source, as it comes back from a file."""
    own = source.load().own
    return json.loads(json.dumps({"read_from": {key: one.plain for key, one in own.items()}}))


@pytest.mark.parametrize("where", ["the folder", "above it", "a link", "as logged"])
def test_a_folder_of_images_is_found(where, attic, elsewhere):
    described = told(Images(path=str(pets(elsewhere / "pets"))))
    logged = {"data": {"name": "images", "path": "pets"}}
    moved = elsewhere / "pets" if where == "as logged" else attic / "a" / "renamed"
    if where != "as logged":
        moved.parent.mkdir()
        shutil.move(elsewhere / "pets", moved)
    named = {"the folder": [moved], "above it": [attic], "as logged": []}
    if where == "a link":
        (elsewhere / "pets").symlink_to(moved)
        moved = Path("pets")
    expected = "pets" if where == "as logged" else str(moved)
    assert found(*named.get(where, []), logged=logged, described=described) == expected


@pytest.mark.parametrize("change", ["a byte", "one less", "a name"])
def test_a_folder_of_images_that_differs_is_named_with_both_fingerprints(change, elsewhere):
    folder = pets(elsewhere / "pets")
    described = told(Images(path=str(folder)))
    file = folder / "dog" / "2.png"
    if change == "a byte":
        content = bytearray(file.read_bytes())
        content[-9] ^= 1
        file.write_bytes(content)
    elif change == "one less":
        file.unlink()
    else:
        file.rename(file.with_name("3.png"))
    logged = {"data": {"name": "images", "path": "pets"}}
    said = refused(logged=logged, described=described)
    assert "data.path names the folder 'pets', 6 files, " in said
    assert described["read_from"]["path"]["sha256"] in said
    now = Own.of(folder, fingerprint.look(*sorted(folder.glob("*/*")))).plain
    assert now["sha256"] != described["read_from"]["path"]["sha256"]
    assert f"\n  pets has {now['files']} files, {now['bytes']} bytes with the SHA-256 " in said
    assert now["sha256"] in said


@pytest.mark.parametrize("ending", [".npy", ".parquet"])
def test_a_file_that_is_streamed_is_found(ending, tmp_path, attic):
    path, rows = tmp_path / f"t{ending}", np.random.default_rng(0).normal(size=(60, 3))
    if ending == ".npy":
        np.save(path, rows.astype(np.float32))
    else:
        table = pa.table({name: rows[:, k] for k, name in enumerate("abc")})
        pq.write_table(table, path, row_group_size=20)
    target = "" if ending == ".npy" else "c"
    before = Table(path=str(path), window=20, target=target)
    described, moved = told(before), attic / f"moved{ending}"
    was = before.load().fingerprint
    shutil.move(path, moved)
    assert found(attic, logged=config(path), described=described) == str(moved)
    assert Table(path=str(moved), window=20, target=target).load().fingerprint == was


OLDER = (None, {"files": 1, "fingerprint": "ab"}, recorded(sha256=None))


@pytest.mark.parametrize("described", OLDER, ids=["no record", "an older one", "it had changed"])
def test_what_was_not_recorded_is_read_only_if_the_user_names_it(described, attic, elsewhere):
    write(elsewhere / "data" / "t.csv")
    with pytest.raises(UserError, match=r"the run did not record its content, so that it is read"):
        located(config(), described, [])
    file, other = write(attic / "x" / "t.csv"), write(attic / "x" / "other.csv")
    for named in (file, other):
        assert located(config(), described, [named])["data"]["path"] == str(named)
    assert located(config(), described, [attic])["data"]["path"] == str(file)
    write(attic / "y" / "t.csv")
    with pytest.raises(UserError, match=r"attic/x/t\.csv, .*attic/y/t\.csv"):
        located(config(), described, [attic])


def test_images_that_were_not_recorded(attic):
    folder = pets(attic / "pets")
    logged = {"data": {"name": "images", "path": "/gone/pets"}}
    for named in (folder, attic):
        assert located(logged, None, [named])["data"]["path"] == str(folder)


UNTOUCHED = (
    {"data": {"name": "digits", "test": 0.1}},
    {"data": {"name": "table", "path": ""}},
    {"data": {"name": "table", "path": 3}},
    {"data": "digits"},
    {},
)


@pytest.mark.parametrize("logged", UNTOUCHED, ids=str)
def test_what_names_no_file_is_as_it_was(logged):
    assert located(logged, None, []) is logged


DAMAGED = (
    {"read_from": 3},
    {"read_from": {"path": "x"}},
    {"read_from": {"path": [1]}},
    recorded(bytes=-1),
    recorded(bytes=True),
    recorded(bytes=0),
    recorded(bytes=1.5),
    recorded(sha256="AB" * 32),
    recorded(sha256=7),
    recorded(name=None),
    recorded(files="many"),
)


@pytest.mark.parametrize("described", DAMAGED, ids=str)
def test_a_record_that_no_run_writes_is_refused(described, no_reading):
    assert refused(described=described).startswith("data.json says of every file its name, ")


def test_a_hostile_name_is_shown_as_text(attic):
    said = refused(attic, logged=config("\x1b[2J" + "x" * 900), described=recorded(name="\x1b[H"))
    assert "\x1b" not in said
    assert len(said) < 1500


def test_a_fingerprint_that_differs_is_said_with_both():
    table, named = recorded() | {"name": "t.csv"}, {"name": "mnist", "files": 4, "read_from": {}}
    for described in (table, named, {"name": "t.csv", "files": 1}, {"name": "xor", "files": 0}):
        said = difference(described, "a" * 64, "b" * 64)
        assert f"had the fingerprint {'a' * 64} then and has {'b' * 64} now; " in said
        assert described["name"] in said
        assert difference(described, "b" * 64, "b" * 64) is None
        assert difference(described, None, "b" * 64) is None
        assert "c" * 64 in difference({**described, "fingerprint": "c" * 64}, None, "b" * 64)
    assert "NNLAB_DATA" in difference(named, "a", "b")
    assert difference(None, None, "b") is None

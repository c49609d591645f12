import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import numpy as np
import pytest

from nnlab.data.cache import cached

KEY = "ab" * 32
ARRAY = np.arange(3000, dtype=np.float32).reshape(100, 30)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of the cache, which is not there yet."""
    monkeypatch.setenv("NNLAB_DATA", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "platform"))
    return tmp_path / "home" / "things"


class Trap:
    def __reduce__(self):
        return pytest.fail, ("it is unpickled",)


def refuse():
    raise AssertionError("it is computed again")


def fill(key=KEY):
    """The file of an array that was computed."""
    return cached(key, ARRAY.copy, "things")


def the_file(folder):
    (file,) = folder.iterdir()
    return file


def test_an_array_is_computed_once(folder):
    np.testing.assert_array_equal(fill(), ARRAY)
    kept = cached(KEY, refuse, "things")
    np.testing.assert_array_equal(kept, ARRAY)
    assert kept.dtype == ARRAY.dtype
    assert not kept.flags.writeable


def test_another_key_or_kind_is_another_array(folder):
    fill()
    other = np.ones(3)
    assert cached("cd" * 32, lambda: other, "things") is other
    assert cached(KEY, lambda: other, "sings") is other


def test_a_file_is_plain_numpy_and_can_be_read_by_the_same_people_as_any_other(folder):
    fill()
    np.testing.assert_array_equal(np.load(the_file(folder), allow_pickle=False), ARRAY)
    beside = folder.parent / "beside"
    beside.touch()
    assert the_file(folder).stat().st_mode == beside.stat().st_mode


def flip(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGE = {
    "cut": lambda content: content[:-1],
    "cut in its header": lambda content: content[:50],
    "empty": lambda content: b"",
    "longer": lambda content: content + b"\0",
    "its first byte": lambda content: flip(content, 0),
    "a number": lambda content: flip(content, 5000),
    "another array": lambda content: content[:128] + bytes(len(content) - 128),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_computed_anew_with_a_warning(folder, damage):
    fill()
    file = the_file(folder)
    whole = file.read_bytes()
    file.write_bytes(DAMAGE[damage](whole))
    with pytest.warns(UserWarning, match=f"{file.name} is damaged"):
        np.testing.assert_array_equal(fill(), ARRAY)
    assert the_file(folder).read_bytes() == whole
    np.testing.assert_array_equal(cached(KEY, refuse, "things"), ARRAY)


def test_a_file_of_objects_is_not_unpickled(folder):
    fill()
    file = the_file(folder)
    np.save(file, np.array([Trap()], dtype=object), allow_pickle=True)
    file.rename(folder / f"{KEY}-{sha256(file.read_bytes()).hexdigest()}.npy")
    with pytest.warns(UserWarning, match="damaged"):
        np.testing.assert_array_equal(fill(), ARRAY)


def test_a_write_that_fails_leaves_nothing_and_says_where_nothing_could_be_kept(
    folder, monkeypatch
):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match=r"things are not kept.*No space left.*let NNLAB_DATA"):
        np.testing.assert_array_equal(fill(), ARRAY)
    assert not list(folder.parent.rglob("*.*"))


def test_where_the_data_s_folder_cannot_be_written_the_platform_s_is(folder, tmp_path):
    folder.parent.mkdir()
    folder.write_text("a file where a folder should be")
    fill()
    np.testing.assert_array_equal(cached(KEY, refuse, "things"), ARRAY)
    assert list(tmp_path.joinpath("platform").rglob(f"{KEY}-*.npy"))


def test_an_interrupt_leaves_nothing(folder, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fill()
    assert not list(folder.iterdir())


ASK = """
import numpy as np
from nnlab.data.cache import cached
for k in range(30):
    array = cached(f"{k:064x}", lambda: np.full((200, 50), k, np.float32), "things")
    assert array.shape == (200, 50) and (array == k).all()
"""


def test_processes_may_ask_at_once(folder):
    def ask(_):
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", ASK], capture_output=True, text=True, check=False
        )

    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(ask, range(3)))
    assert [one.stderr for one in done] == ["", "", ""]
    assert len(list(folder.iterdir())) == 30

"""What fits into memory."""

from pathlib import Path

import numpy as np
import pytest

from nnlab.core.laws import LawError
from nnlab.data import memory
from nnlab.data.memory import available, fits


def test_available_is_what_the_system_says_and_no_more_than_there_is():
    lines = Path("/proc/meminfo").read_text().splitlines()
    told = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines}
    assert available() == pytest.approx(told["MemAvailable"], rel=0.2)  # others use it, too
    assert available() < told["MemTotal"]


def test_where_the_system_does_not_say_all_memory_counts(monkeypatch):
    monkeypatch.setattr(memory, "Path", lambda name: (_ for _ in ()).throw(OSError(name)))
    monkeypatch.setattr("os.sysconf", {"SC_PHYS_PAGES": 5, "SC_PAGE_SIZE": 10}.get)
    assert available() == 50


@pytest.mark.parametrize(("times", "there"), [(1, 24), (2.5, 60)])
def test_an_array_fits_what_is_available(times, there, monkeypatch):
    arguments = (3, 2), np.float32, "t.csv", "path", "take less", times
    monkeypatch.setattr(memory, "available", lambda: there)
    fits(*arguments)
    monkeypatch.setattr(memory, "available", lambda: there - 1)
    with pytest.raises(LawError, match=r"t\.csv would .*\(3 x 2.* available; take less") as error:
        fits(*arguments)
    assert error.value.field == "path"
    assert ("held" in str(error.value)) == (times > 1)

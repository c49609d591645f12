"""How many trials fit into memory."""

import os

import pytest

from nnlab.sweeps import memory
from nnlab.sweeps.memory import Memory, available, resident

GB = 10**9


@pytest.fixture
def room(monkeypatch):
    """The room beside processes of so many bytes, where so much is free and trials peak so."""

    def found(free, peak, running=(), most=8):
        monkeypatch.setattr(memory, "available", lambda: free)
        monkeypatch.setattr(memory, "resident", lambda pid: running[pid])
        known = Memory()
        known.saw(peak)
        return known.room(range(len(running)), most)

    return found


def test_all_fit_before_anything_is_known_or_where_the_system_does_not_tell(room):
    assert room(GB, 0) == 8
    assert room(None, GB) == 8


def test_what_fits_is_what_is_free_by_the_peak_seen(room):
    assert room(10 * GB, 2 * GB) == 4  # 9.5 GB are not reserved
    assert room(10 * GB, 2 * GB, most=3) == 3


def test_those_that_run_are_expected_to_grow_to_the_peak(room):
    # 9.5 GB; two that run still need 1.5 and 1 GB; 7 GB hold three of 2 GB
    assert room(10 * GB, 2 * GB, (GB // 2, GB)) == 3
    assert room(10 * GB, 2 * GB, (3 * GB, 3 * GB)) == 4


def test_one_always_fits_where_none_runs_and_none_beside_another(room):
    assert room(GB, 5 * GB) == 1
    assert room(GB, 5 * GB, (GB,)) == 0


def test_the_peak_is_the_greatest_seen():
    known = Memory()
    known.saw(5)
    known.saw(3)
    assert known.peak == 5


@pytest.mark.skipif(available() is None, reason="the system does not tell")
def test_the_system_tells_of_itself():
    assert resident(os.getpid()) > 10**7
    assert available() > 10**7
    assert resident(2**22 + 1) == 0

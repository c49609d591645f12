"""tests/durability/test_journal.py has every cut and flip of a journal; here it is lines."""

import pytest

from nnlab.runs.damage import damage
from nnlab.runs.journal import encode, read

LINES = [encode({"n": n, "time": 5, "type": "report", "step": 10 * n}) + b"\n" for n in range(12)]
SOUND = {
    "nothing": b"",
    "one line": LINES[0],
    "two digits": b"".join(LINES),
    "torn": b"".join(LINES)[:-1],
    "torn at once": LINES[0][:9],
}
DAMAGED = {  # what is in the file: the record where it is damaged
    "the first is missing": (LINES[1:], 0),
    "one is missing": ([*LINES[:4], *LINES[5:]], 4),
    "one is there twice": ([*LINES[:11], *LINES[10:]], 11),
    "two changed places": ([LINES[0], LINES[2], LINES[1]], 1),
    "an empty line": ([*LINES[:2], b"\n"], 2),
    "another file": ([*LINES[:3], b'{"n":3}\n', *LINES[4:]], 3),
    "zeros": ([*LINES[:3], bytes(50), b"\n"], 3),
}


@pytest.mark.parametrize("case", SOUND)
def test_a_journal_that_is_what_was_written(tmp_path, case):
    (tmp_path / "journal").write_bytes(SOUND[case])
    assert damage(tmp_path / "journal") is None
    read(tmp_path / "journal")


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_told_with_its_position(tmp_path, case):
    lines, record = DAMAGED[case]
    (tmp_path / "journal").write_bytes(b"".join(lines))
    position = sum(map(len, lines[:record]))
    expected = f"damaged at byte {position:,}: record {record} was expected there"
    assert damage(tmp_path / "journal") == expected

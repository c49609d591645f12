"""What stands between the values of a text."""

import csv
import io

import numpy as np
import pandas as pd
import pytest

from nnlab.core.laws import LawError
from nnlab.data.sources.table import Table
from nnlab.data.tables.opening import opened
from nnlab.data.tables.separator import SEPARATORS


def read(path, **fields):
    return opened(
        path,
        "path",
        **{"header": True, "separator": "auto", "na_values": (), "target": ""} | fields,
    )


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
@pytest.mark.parametrize("name", SEPARATORS)
def test_the_separator_is_recognised(name, ending, tmp_path):
    separator = SEPARATORS[name]
    frame = pd.DataFrame({"a": [1.5, 2.5], "b,c": ["x;y", "z|\tw"], "d": ["u", "v"]})
    path = tmp_path / f"t{ending}"
    frame.to_csv(path, sep=separator, index=False)
    file = read(path)
    assert (file.separator, file.names) == (separator, ("a", "b,c", "d"))
    assert file.origin == f"{path} ({name}s between the values)"


TEXTS = {  # what a text reads: (its separator, is there a line of names)
    'x,"p;q;r;s",y\n0.134,0.847,0\n0.764,0.255,1\n': ("comma", True),
    "0,5;1,25;0\n1,5;2,25;1\n2,5;3,25;0\n": ("semicolon", False),
    "0,5\t1,25\t0\n1,5\t2,25\t1\n": ("tab", False),
    "1,000;2,000\n3,000;4,500\n": ("semicolon", False),
    "a;b,c;d\n1;2,5;3\n2;3,5;4\n": ("semicolon", True),
    "from|to,y\n10h|11h,0\n11h|12h,1\n": ("comma", True),
    "a;b\n1,2,3;0\n1,2;1\n": ("semicolon", True),
    "a,b\nx;y,1\nx;y;z,2\nx,3\n": ("comma", True),
    "a;b;c\n1;2;3\n1,5;2\n1;2;4\n": ("semicolon", True),  # a row is too short
    '"a;b","c\n\nd;e"\n"1;2",3\n"4;5",6\n': ("comma", True),
    "\n\na;b\n1,5;2\n": ("semicolon", True),
    "a,b;c\nx,y;z\np;q\nr;s\n": ("semicolon", True),  # not a number to tell by
    "a\n1\n2\n": ("comma", True),
}


@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_the_separator_cuts_rows_alike(text, tmp_path):
    (tmp_path / "t.csv").write_text(text)
    name, header = TEXTS[text]
    file = read(tmp_path / "t.csv", header=header)
    assert file.separator == SEPARATORS[name]
    first = next(row for row in csv.reader(io.StringIO(text), delimiter=file.separator) if row)
    assert file.names == (tuple(first) if header else tuple(map(str, range(len(first)))))


def test_the_separator_can_be_told(tmp_path):
    (tmp_path / "t.csv").write_text("a;b,c;y\n1;2,5;0\n1;3,6;1\n2;4,7;0\n")
    source = Table(path=str(tmp_path / "t.csv"), target="c;y", separator="comma")
    assert [column.name for column in source.columns()] == ["a;b", "c;y"]
    with pytest.raises(LawError, match=r"separator must be one of auto, bar, .* mean comma\?"):
        Table(path="t.csv", separator="coma")


ROWS = [f"{k},t{k},{k % 2}" for k in range(60)]


def swallowed(first, last, end="\n"):
    """A table with a stray mark at the beginning of a text, and one at the end of another."""
    rows = list(ROWS)
    rows[first] = f'{first},"t{first},1'
    rows[last] = f'{last},t{last}",0'
    return end.join(["a,t,y", *rows, ""])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("first", "last"), [(5, 30), (0, 59), (7, 11)])
def test_rows_that_two_stray_marks_swallow_are_named(first, last, end, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(swallowed(first, last, end).encode())
    assert len(pd.read_csv(path)) == 60 - (last - first)  # what a reader makes of it
    with pytest.raises(LawError) as error:
        Table(path=str(path), target="y").load()
    said = f"t.csv, lines {first + 2} to {last + 2}: a quotation begins in the first of them"
    assert said in str(error.value)
    assert error.value.field == "path"


def test_rows_that_a_value_too_long_for_the_reader_swallows_are_named(tmp_path):
    rows = [f"{k},t{k},{k % 2}" for k in range(30_000)]
    rows[5], rows[29_000] = '5,"t,1', '29000,t",0'
    (tmp_path / "t.csv").write_text("\n".join(["a,t,y", *rows, ""]))
    with pytest.raises(LawError, match=r"t\.csv, lines 7 to .* read as rows"):
        Table(path=str(tmp_path / "t.csv"), target="y", as_category=("t",)).load()


def test_rows_are_found_however_far_the_marks_are_from_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr("nnlab.data.tables.quotations.BLOCK", 1)
    (tmp_path / "t.csv").write_text(swallowed(5, 30))
    with pytest.raises(LawError, match=r"lines 7 to 32: a quotation begins"):
        Table(path=str(tmp_path / "t.csv"), target="y").load()


LETTER = "Dear Sir,\n\nI was, as you know, away.\n1, 2, 3\nIt was late, and cold, that year.\n"
FINE = {
    "a long text": LETTER * 20,
    "a text like a table of another width": "1,2\n" * 50,
    "a text of commas": "so, it, goes\n" * 50,
    "few rows within a text": "x\n1,t,0\n2,u,1\ny",
    "a text among rows": "1,t,0\nwell\nso\n2,u,1\nand\n3,v,0\nthen\n4,w,1\n\n",
    "marks within a text": 'he said "no"\nand "yes"\n' * 10,
}


@pytest.mark.parametrize("what", FINE)
def test_texts_of_many_lines_are_read(what, tmp_path):
    frame = pd.DataFrame({"a": range(9), "t": [FINE[what], "", "x\ny"] * 3, "y": [0, 1, 0] * 3})
    frame.to_csv(tmp_path / "t.csv", index=False)
    dataset = Table(path=str(tmp_path / "t.csv"), target="y", missing="mean").load()
    np.testing.assert_array_equal(dataset.x[:, 0], range(9))
    assert dataset.x[:, 1:].sum(axis=0).tolist() == [3, 3, 3]


def test_a_mark_within_a_value_quotes_nothing(tmp_path):
    (tmp_path / "t.csv").write_text('a,t,y\n1,3" pipe,0\n2,x,1\n3,x,0\n4,x,1\n5,x,0\n6,3",1\n')
    assert Table(path=str(tmp_path / "t.csv"), target="y").load().x[:, 0].tolist() == [*range(1, 7)]

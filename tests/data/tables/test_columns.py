"""What a column is taken for, and what is to be predicted."""

import datetime
import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from nnlab.core.laws import LawError
from nnlab.data.sources.table import Table

TEXTS = {  # values of a text file: (kind, missing)
    ("1", "2.5", "-3e2", "+4", ".5", "6."): ("number", 0),
    ("1", "", "NA", "nan", " 2 "): ("number", 3),
    (" 1", " NA ", "  ", "2"): ("number", 2),
    ("true", "False", "TRUE", "false"): ("boolean", 0),
    ("yes", "no", "no", "yes"): ("category", 0),
    ("true", "no", "", "no"): ("category", 1),
    ("1", "a", "b", "c"): ("category", 0),
    ("1", "2", "3", "c"): ("mixed", 0),
    ("1,5", "2,5", "x", "1,000.5"): ("mixed", 0),
    ("2020-01-02", "2021-12-31 10:00", "2021-12-31T10:00:00.5Z"): ("date", 0),
    ("", "NA", "null"): ("empty", 3),
    ("1_000", "0x1", "1d", "١"): ("category", 0),
    ("nan", "NaN", "-inf", "Infinity"): ("number", 2),
}
TYPES = {  # values of a typed file: (kind, missing)
    "int8": (pa.array([1, None, 3], pa.int8()), "number", 1),
    "uint64": (pa.array([1, 2, 3], pa.uint64()), "number", 0),
    "half": (pa.array(np.array([1, 2, np.nan], np.float16)), "number", 1),
    "decimal": (pa.array([decimal.Decimal("1.5"), None, None]), "number", 2),
    "bool": (pa.array([True, None, False]), "boolean", 1),
    "string": (pa.array(["a", "", None]), "category", 1),
    "large string": (pa.array(["1", "2", "3"], pa.large_string()), "category", 0),
    "dictionary": (pa.array(["a", "b", None]).dictionary_encode(), "category", 1),
    "dates": (pa.array([datetime.date(2020, 1, 1)] * 3), "date", 0),
    "duration": (pa.array([1, 2, 3], pa.duration("s")), "date", 0),
    "null": (pa.nulls(3), "empty", 3),
    "bytes": (pa.array([b"a", b"b", b"c"]), "binary", 0),
}


@pytest.mark.parametrize("values", TEXTS, ids=" ".join)
def test_the_kind_of_a_column_of_text(values, tmp_path):
    rows = [f'"{value}",0\n' for value in values]
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(rows))
    column = Table(path=str(tmp_path / "t.csv")).columns()[0]
    assert (column.name, column.rows) == ("a", len(values))
    assert (column.kind, column.missing) == TEXTS[values]


@pytest.mark.parametrize("name", TYPES)
def test_the_kind_of_a_column_that_has_a_type(name, tmp_path):
    values, kind, missing = TYPES[name]
    parquet.write_table(pa.table({"a": values, "y": [1, 2, 1]}), tmp_path / "t.parquet")
    column = Table(path=str(tmp_path / "t.parquet")).columns()[0]
    assert (column.kind, column.missing) == (kind, missing)


def test_a_description_of_a_column(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,x\n1.0,\n-7,x\n,w\n")
    a, b = Table(path=str(tmp_path / "t.csv")).columns()
    assert (a.counts, a.low, a.high, a.blanks, a.present) == ({-7: 1, 1: 2}, -7, 1, (3,), 3)
    assert (list(b.counts.items()), b.blanks) == ([("w", 1), ("x", 2)], (1,))
    assert np.isnan(b.low)


def test_a_category_may_read_as_a_number_without_end(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\ninf,0\nb,1\n12345678901234567890,0\nc,1\n")
    dataset = Table(path=str(tmp_path / "t.csv"), target="y").load()
    assert dataset.names == ("a=12345678901234567890", "a=b", "a=c", "a=inf")


def test_a_thousand_values_are_told_apart(tmp_path):
    for n, known in ((1000, 1000), (1001, None)):
        pd.DataFrame({"a": np.arange(n).repeat(3), "y": 0}).to_csv(tmp_path / "t.csv", index=False)
        counts = Table(path=str(tmp_path / "t.csv")).columns()[0].counts
        assert (counts and len(counts)) == known


TARGETS = {  # values: (classes, or none where it is a regression)
    ("0", "1", "0", "1"): ("0", "1"),
    ("0.0", "1", "1.0", "0"): ("0", "1"),
    ("10", "9", "10", "9"): ("9", "10"),
    ("1", "2", "1", "3"): (),  # a class that is there once
    ("0.5", "1.5", "0.5", "1.5"): (),
    ("b", "a", "B", "a"): ("B", "a", "b"),
    ("True", "false", "true", "true"): ("false", "true"),
    tuple(map(str, range(20))) * 2: tuple(map(str, range(20))),
    tuple(map(str, range(21))) * 2: (),
}


@pytest.mark.parametrize("values", TARGETS, ids=" ".join)
def test_what_is_to_be_predicted(values, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "".join(f"{k},{value}\n" for k, value in enumerate(values)))
    dataset = Table(path=str(path), target="y").load()
    assert dataset.classes == TARGETS[values]
    if dataset.classes:
        shown = [dataset.classes[label] for label in dataset.y]
        assert [one.lower() for one in shown] == [
            str(int(float(value))) if value[0].isdigit() else value.lower() for value in values
        ]
    else:
        assert dataset.y.tolist() == [[float(value)] for value in values]


def test_the_task_can_be_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n1,0.5\n2,2\n3,0.5\n4,1\n")
    told = Table(path=str(path), target="y", task="classification").load()
    assert (told.classes, told.y.tolist()) == (("0.5", "1", "2"), [0, 2, 0, 1])
    path.write_text("a,y\n1,0\n2,1\n3,0\n4,1\n")
    told = Table(path=str(path), target="y", task="regression")
    assert told.load().y.tolist() == [[0], [1], [0], [1]]
    assert told.target_scaler(told.load().y) is not None
    assert Table(path=str(path), target="y").target_scaler(np.array([0, 1])) is None


def test_numbers_can_be_categories(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,y\n10,3+,0\n9,1,1\n10,2,0\n,2,1\n")
    source = Table(path=str(path), target="y", as_category=("a", "b"), missing="mean")
    dataset = source.load()
    assert dataset.names == ("a=9", "a=10", "a=(missing)", "b=1", "b=2", "b=3+")
    assert dataset.x.tolist() == [
        [0, 1, 0, 0, 0, 1],
        [1, 0, 0, 1, 0, 0],
        [0, 1, 0, 0, 1, 0],
        [0, 0, 1, 0, 1, 0],
    ]
    ordinal = Table(
        path=str(path), target="y", as_category=("a", "b"), missing="mean", categories="ordinal"
    ).load()
    assert ordinal.x.tolist() == [[1, 2], [0, 0], [1, 1], [2, 1]]
    assert ordinal.kinds == ("category", "category")


@pytest.mark.parametrize("lacks", [False, True])
def test_a_value_may_be_called_missing(lacks, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f"b,y\nr,0\n(missing),1\n{'' if lacks else 'r'},0\n(missing),1\n")
    dataset = Table(path=str(path), target="y", missing="mean" if lacks else "refuse").load()
    assert dataset.names == ("b=(missing)", "b=r", "b=((missing))")[: 2 + lacks]
    assert dataset.x.argmax(axis=1).tolist() == [1, 0, 2 if lacks else 1, 0]


def test_what_is_missing_in_text_can_be_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n?,0\n1,1\n3,0\n-,1\n")
    with pytest.raises(LawError, match="a in 2 "):
        Table(path=str(path), target="y", na_values=("?", "-")).load()
    filled = Table(path=str(path), target="y", na_values=("?", "-"), missing="mean").load()
    np.testing.assert_array_equal(filled.x[:, 0], [np.nan, 1, 3, np.nan])


def test_columns_left_out_are_not_looked_at(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(",id,d,a,y\n0,x1,2020-01-01,,0\n1,x2,z,2,1\n2,x3,3,4,0\n")
    dataset = Table(path=str(path), target="y", ignore=("", "id", "d"), missing="mean").load()
    assert dataset.names == ("a",)

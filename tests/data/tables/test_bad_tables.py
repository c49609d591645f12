"""Tables that cannot be used: each is one message that says where and what to do."""

import gzip
import io
import os
import pickle
import zipfile

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from nnlab.core.laws import LawError
from nnlab.data.sources.table import Table

GOOD = "a,b,y\n" + "".join(f"{k},{k * k},{'no' if k % 2 else 'yes'}\n" for k in range(12))
ROWS = GOOD.splitlines(keepends=True)


def changed(line, text):
    """The good table with another text in a line, counted from 1."""
    return "".join([*ROWS[: line - 1], text + "\n", *ROWS[line:]])


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def columns(write=parquet.write_table, **values):
    file = io.BytesIO()
    write(pa.table(values), file)
    return file.getvalue()


def zeros_zipped():
    """An archive whose array of 300 MB of zeros takes 300 kB."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("y.npy", npy(np.zeros(3)))
        archive.writestr("x.npy", npy(np.zeros((3, 12_500_000))))
    return file.getvalue()


CUT = gzip.compress(GOOD.encode() * 50)[:-20]
FLAGGED = gzip.compress(GOOD.encode())[:3] + b"\x20" + gzip.compress(GOOD.encode())[4:]
LYING = npy(np.zeros((4, 3))).replace(b"(4, 3), }", b"(10000000000, 300), }")
IDS = "id,b,y\n" + "".join(f"u{k},{k},{k % 2}\n" for k in range(300))
NAMES = [f"c{k}" for k in range(30)]
DATES = "day,y\n" + "".join(f"2020-01-{k + 1:02},{k % 2}\n" for k in range(12))
WIDE = f"{','.join(NAMES)},y\n" + f"{','.join('1' * 30)},0\n" * 3

TABLE = {  # what: (file name, content, fields of the source, what is said, its field)
    "a row too short": (
        "t.csv",
        changed(5, "1,2"),
        {},
        "t.csv, line 5: 2 values, but there are 3 columns (a, b, y); it reads '1,2'",
        "path",
    ),
    "a row too long": (
        "t.csv",
        changed(3, "1,2,no,4"),
        {},
        "line 3: 4 values, but there are 3 columns",
        "path",
    ),
    "a ragged row after quoted newlines": (
        "t.csv",
        'a,b,y\n1,"x\n\nx",2\n\n3,4\n',
        {},
        "line 6: 2 values",
        "path",
    ),
    "a wrong target": (
        "t.csv",
        GOOD,
        {"target": "Y"},
        "t.csv has no column Y; it has a, b, y",
        "target",
    ),
    "a target misspelt": (
        "t.csv",
        WIDE,
        {"target": "c290"},
        "has no column c290 (did you mean c29?); it has c0, c1",
        "target",
    ),
    "no target": (
        "t.csv",
        GOOD,
        {"target": ""},
        "data.target must name the column that is to be predicted; ",
        "target",
    ),
    "a text among numbers": (
        "t.csv",
        changed(7, "5,abc,no"),
        {},
        "t.csv, line 7, column b: 'abc' is not a number, though most of its column are; mend "
        "it, or name it as missing with data.na_values, or read texts with "
        "data.as_category=[b], or leave it out with data.ignore=[b]",
        "path",
    ),
    "a text among numbers after quoted newlines": (
        "t.csv",
        'b,c,y\n1,"x\n\nx",0\n\n3,x,1\n?,x,0\n2,x,1\n',
        {},
        "line 7, column b: '?'",
        "path",
    ),
    "a text among the targets": (
        "t.csv",
        "a,y\n" + "1,2.5\n" * 9 + "1,x\n",
        {},
        "line 11, column y: 'x' is not a number",
        "target",
    ),
    "nothing": ("t.csv", "", {}, "t.csv is empty", "path"),
    "blank lines": ("t.csv", "\n\n \n", {}, "t.csv has no column y", "target"),
    "newlines alone": ("t.csv", "\n\n", {}, "t.csv is empty", "path"),
    "a header alone": ("t.csv", ROWS[0], {}, "t.csv has no rows, only names of columns", "path"),
    "one row": (
        "t.csv",
        "".join(ROWS[:2]),
        {},
        "t.csv has 1 rows; training, validation and test take at least 3",
        "path",
    ),
    "one class": (
        "t.csv",
        "a,y\n1,5\n2,5\n3,5\n",
        {},
        "column y is 5 in every row: there is nothing to predict",
        "target",
    ),
    "a target missing": (
        "t.csv",
        changed(4, "1,2,NA"),
        {},
        "column y, the target, has no value in 1 rows (line 4)",
        "target",
    ),
    "many targets missing": (
        "t.csv",
        "a,y\n" + "1,\n1,2\n" * 9,
        {},
        "in 9 rows (line 2, line 4, line 6, line 8, line 10, ...)",
        "target",
    ),
    "a column named twice": (
        "t.csv",
        "a,b,a,y\n1,2,3,4\n",
        {},
        "columns 1 and 3 are both named 'a'; rename one",
        "path",
    ),
    "a column without a name": (
        "t.csv",
        ",a,y\n0,1,2\n1,2,3\n2,3,4\n",
        {},
        "column 1 has no name (an index that pandas wrote?); leave it out with "
        "'data.ignore=[\"\"]'",
        "ignore",
    ),
    "numbers for names": ("t.csv", "5,0,1\n4,1,2\n", {}, "the first line of ", "header"),
    "UTF-16": (
        "t.csv",
        GOOD.encode("utf-16"),
        {},
        "t.csv: this is UTF-16 or UTF-32 text; save it as UTF-8",
        "path",
    ),
    "UTF-16 without a mark": (
        "t.csv",
        GOOD.encode("utf-16-le"),
        {},
        "line 1 has a NUL byte: no text, or UTF-16; save it as UTF-8",
        "path",
    ),
    "Latin 1": (
        "t.csv",
        changed(9, "1,2,né").encode("latin-1"),
        {},
        "line 9 has the byte 0xe9, not UTF-8; save it as UTF-8",
        "path",
    ),
    "gz that is cut": ("t.csv.gz", CUT, {}, "the compressed data are cut or damaged: ", "path"),
    "gz of another content": (
        "t.csv.gz",
        gzip.compress(GOOD.encode()[:2000] + b"\0"),
        {},
        "has a NUL byte",
        "path",
    ),
    "gz that is damaged": (
        "t.csv.gz",
        CUT[:30] + b"\xff\xff\xff\xff" + CUT[34:],
        {},
        "cut or damaged",
        "path",
    ),
    "gz of a header that is not known": (
        "t.csv.gz",
        FLAGGED,
        {},
        "t.csv.gz cannot be read: zlib inflate failed",
        "path",
    ),
    "text that says gz": (
        "t.csv.gz",
        GOOD,
        {},
        "ends in .csv.gz, but its first bytes are not those of a gzip file; name it as what it is",
        "path",
    ),
    "gz that says text": (
        "t.csv",
        gzip.compress(GOOD.encode()),
        {},
        "ends in .csv, but its first bytes are not those of a text file, but of a gzip file",
        "path",
    ),
    "Parquet that says text": ("t.csv", columns(a=[1], y=[2]), {}, "but of a Parquet file", "path"),
    "text that says Parquet": (
        "t.parquet",
        GOOD,
        {},
        "ends in .parquet, but its first bytes are not those of a Parquet file",
        "path",
    ),
    "Parquet that is cut": (
        "t.parquet",
        columns(a=[1], y=[2])[:-30],
        {},
        "t.parquet cannot be read as Parquet: ",
        "path",
    ),
    "Arrow that is cut": (
        "t.arrow",
        columns(feather.write_feather, a=[1], y=[2])[:-30],
        {},
        "t.arrow cannot be read as Arrow: ",
        "path",
    ),
    "a list in a column": (
        "t.parquet",
        columns(a=[[1]] * 4, y=[1, 2] * 2),
        {},
        "column a holds values of type list<element: int64>; leave it out with data.ignore=[a]",
        "ignore",
    ),
    "an unknown ending": (
        "t.xlsx",
        GOOD,
        {},
        "a table is a file that ends in .csv, .tsv, ",
        "path",
    ),
    "no such file": (
        "tabel.csv",
        None,
        {"path": "table.csv"},
        "table.csv does not exist (did you mean tabel.csv?)",
        "path",
    ),
    "a folder": (
        "t.csv",
        None,
        {"path": "."},
        ". is a folder, not a file (folders of images are read by data=images)",
        "path",
    ),
    "npz of objects": (
        "t.npz",
        npz(x=np.array([{}, 1]), y=np.zeros(2)),
        {},
        "array x holds Python objects, and those are never unpickled",
        "path",
    ),
    "npy of objects": (
        "t.npy",
        npy(np.array([[{}, 1]])),
        {"target": ""},
        "t.npy holds Python objects, and those are never unpickled; ",
        "path",
    ),
    "a pickle that says npy": (
        "t.npy",
        pickle.dumps(np.zeros(3)),
        {"target": ""},
        "ends in .npy, but its first bytes are not those of a NumPy file",
        "path",
    ),
    "npy that is 3-D": (
        "t.npy",
        npy(np.zeros((2, 3, 4))),
        {"target": ""},
        "t.npy holds an array of shape (2, 3, 4); a table is 2-D",
        "path",
    ),
    "npy that is cut": (
        "t.npy",
        npy(np.zeros((20, 3)))[:-8],
        {"target": ""},
        "its header promises 480 bytes of data, and 472 are there",
        "path",
    ),
    "npy that lies": (
        "t.npy",
        LYING,
        {"target": ""},
        "its header promises 24,000,000,000,000 bytes of data, and 108 are there",
        "path",
    ),
    "npy of complex numbers": (
        "t.npy",
        npy(np.zeros((3, 2), complex)),
        {"target": ""},
        "holds complex128; save numbers",
        "path",
    ),
    "npz without y": (
        "t.npz",
        npz(x=np.zeros((4, 2)), label=np.zeros(4)),
        {"target": ""},
        "t.npz has no array y; it has x, label",
        "target",
    ),
    "npz without x": (
        "t.npz",
        npz(a=np.zeros((4, 2)), b=np.zeros(2), y=np.zeros(4)),
        {},
        "should hold the inputs as an array named x, but beside y it has a, b",
        "path",
    ),
    "npz of two lengths": (
        "t.npz",
        npz(x=np.zeros((4, 2)), y=np.zeros(5)),
        {},
        "must be of one length, but got x (4, 2) and y (5,)",
        "path",
    ),
    "npz that is cut": (
        "t.npz",
        npz(x=np.zeros((4, 2)), y=np.zeros(4))[:-50],
        {},
        "t.npz is cut or damaged: ",
        "path",
    ),
    "npz that expands": (
        "t.npz",
        zeros_zipped(),
        {},
        "bytes expand to 300,000,128; if that is right, save it uncompressed",
        "path",
    ),
    "an infinite value": (
        "t.csv",
        changed(6, "inf,1,no"),
        {},
        "line 6, column a: inf is not finite; mend it",
        "path",
    ),
    "a number that overflows": (
        "t.csv",
        changed(6, "-1e400,1,no"),
        {},
        "line 6, column a: -inf is not finite",
        "path",
    ),
    "an infinite target": (
        "t.csv",
        "a,y\n1,2.5\n2,inf\n3,4.5\n",
        {},
        "line 3, column y: inf is not finite",
        "target",
    ),
    "nulls alone": (
        "t.csv",
        "a,b,y\n,1,2\n,2,3\nNA,3,2\n",
        {},
        "column a has no value in any row; leave it out with data.ignore=[a]",
        "ignore",
    ),
    "the target ignored": (
        "t.csv",
        GOOD,
        {"ignore": ("y",)},
        "column y is the target and cannot be ignored",
        "ignore",
    ),
    "an unknown column ignored": (
        "t.csv",
        GOOD,
        {"ignore": ("bb",)},
        "has no column bb (did you mean b?)",
        "ignore",
    ),
    "nothing but the target": ("t.csv", "y\n1\n2\n1\n2\n", {}, "has no column beside y", "ignore"),
    "values missing": (
        "t.csv",
        changed(7, "5,,no"),
        {},
        "t.csv has rows without a value: b in 1 (first line 7); fill them with "
        "data.missing=mean (or median, most_frequent), or leave columns out with "
        "data.ignore=[b]",
        "missing",
    ),
    "integers without end": (
        "t.csv",
        changed(3, "12345678901234567890123,1,no"),
        {},
        "line 3, column a: 12345678901234567890123 is not exact as a float64; mend it",
        "path",
    ),
    "an integer of 5000 digits": (
        "t.csv",
        changed(3, f"{'9' * 5000},1,no"),
        {},
        "line 3, column a: inf is not finite",
        "path",
    ),
    "large integers of a type": (
        "t.parquet",
        columns(a=[1, 2**53 + 1, 3], y=[1.5, 2, 3]),
        {},
        "row 2, column a: 9007199254740993 is not exact",
        "path",
    ),
    "a column of ids": (
        "t.csv",
        IDS,
        {},
        "column id has 300 different texts in 300 rows: too many for a category; leave it "
        "out with data.ignore=[id]",
        "ignore",
    ),
    "dates": (
        "t.csv",
        DATES,
        {},
        "column day holds dates or times; make numbers of them",
        "ignore",
    ),
    "dates of a type": (
        "t.parquet",
        columns(a=np.array(["2020-01-01"] * 4, "datetime64[D]"), y=[1, 2] * 2),
        {},
        "column a holds dates or times",
        "ignore",
    ),
    "decimal commas": (
        "t.csv",
        'a;y\n"1,5";0\n"2,5";1\n3;0\n',
        {},
        "line 2, column a: '1,5' is not a number, though most of its column are; write "
        "numbers with a decimal point",
        "path",
    ),
    "thousands": (
        "t.csv",
        'a,y\n"1,500",0\n"2,500.25",1\n3,0\n',
        {},
        "line 2, column a: '1,500' is not a number",
        "path",
    ),
    "a quotation that is not closed": (
        "t.csv",
        changed(8, '6,"36,no'),
        {},
        'line 8: a quotation mark " is opened and never closed',
        "path",
    ),
    "another part": (
        "t.csv",
        "a,s,y\n1,train,0\n2,Test,1\n3,test,0\n",
        {"split_column": "s"},
        "line 3, column s: a part must be one of train, validation, test, but got 'Test' "
        "(did you mean test?)",
        "split_column",
    ),
    "no part": (
        "t.csv",
        "a,s,y\n1,train,0\n2,,1\n3,test,0\n",
        {"split_column": "s"},
        "line 3, column s: a part must be one of train, validation, test, but got nothing",
        "split_column",
    ),
    "nothing to train on": (
        "t.csv",
        "a,s,y\n1,test,0\n2,test,1\n3,test,0\n",
        {"split_column": "s"},
        "no row is for training",
        "split_column",
    ),
    "a class that is only tested": (
        "t.csv",
        "a,s,y\n1,train,u\n2,test,v\n3,train,w\n",
        {"split_column": "s"},
        "the class v has examples for testing or validation, but none for training",
        "split_column",
    ),
    "numbers wanted of texts": (
        "t.csv",
        GOOD,
        {"task": "regression"},
        "a regression needs numbers, but column y of ",
        "task",
    ),
    "too many classes": (
        "t.csv",
        IDS,
        {"target": "id"},
        "column id has 300 different values in 300 rows: too many for classes",
        "target",
    ),
    "an unknown category": (
        "t.csv",
        GOOD,
        {"as_category": ("c",)},
        "`as_category names inputs` must hold, but got as_category=c",
        "as_category",
    ),
}


@pytest.mark.parametrize("what", TABLE)
def test_a_bad_table_is_refused(what, tmp_path, monkeypatch):
    name, content, values, said, field = TABLE[what]
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content or b"")
    with pytest.raises(LawError) as error:
        Table(**{"path": name, "target": "y", **values}).load()
    assert said in str(error.value)
    assert error.value.field == field
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["test_path", "validation_path"])
@pytest.mark.parametrize(
    "what", [what for what, of in TABLE.items() if of[4] == "path" and what != "one row"]
)
def test_a_bad_file_beside_the_training_file_is_named_by_its_own_key(
    what, key, tmp_path, monkeypatch
):
    name, content, values, _, _ = TABLE[what]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.csv").write_text(GOOD)
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content or b"")
    with pytest.raises(LawError) as error:
        Table(path="good.csv", target="y", **{key: values.get("path", name)}).load()
    assert error.value.field == key


def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(GOOD)
    Table(path=str(path), target="y").load()  # imports what it needs
    path.chmod(0)
    superuser = os.geteuid() == 0  # who may read every file
    if superuser:
        os.seteuid(65534)
    try:
        with pytest.raises(LawError, match="cannot be read: Permission denied"):
            Table(path=str(path), target="y").load()
    finally:
        if superuser:
            os.seteuid(0)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(LawError, match="is not a regular file"):
        Table(path=str(tmp_path / "t.csv"), target="y").load()


def test_text_that_expands_beyond_measure(tmp_path, monkeypatch):
    monkeypatch.setattr("nnlab.data.tables.text.ENOUGH", 1 << 20)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,y\n" + b"1,2\n" * 500_000))
    with pytest.raises(LawError, match="if that is right, decompress it first"):
        Table(path=str(tmp_path / "t.csv.gz"), target="y").load()


def test_what_does_not_fit_the_memory(tmp_path, monkeypatch):
    """12 examples of 2 inputs of 8 bytes: as read, prepared, and rounded to 4 bytes."""
    (tmp_path / "t.csv").write_text(GOOD)
    source = Table(path=str(tmp_path / "t.csv"), target="y")
    monkeypatch.setattr("nnlab.data.memory.available", lambda: 479)
    said = r"12 x 2, held 2\.5 times.* GB are available; .*data\.categories=ordinal"
    with pytest.raises(LawError, match=said):
        source.load()
    monkeypatch.setattr("nnlab.data.memory.available", lambda: 480)
    source.load()


LAWS = {
    "path": ("", "path names a file"),
    "task": ("clasification", "did you mean classification"),
    "categories": ("onehot", "did you mean one_hot"),
    "missing": ("drop", "missing must be one of mean, median, most_frequent, refuse"),
    "split_seed": (-1, "split_seed >= 0"),
}


@pytest.mark.parametrize("field", LAWS)
def test_a_field_out_of_range_is_refused(field):
    bad, said = LAWS[field]
    with pytest.raises(LawError) as error:
        Table(**{"path": "t.csv", field: bad})
    assert said in str(error.value)
    assert error.value.field == field


def test_parts_are_named_in_one_way():
    with pytest.raises(LawError, match="by a column or are files of their own, not both"):
        Table(path="t.csv", split_column="s", test_path="u.csv")

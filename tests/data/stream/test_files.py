"""Files read a piece at a time give what they give when they are read at once."""

import os
import struct
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnlab.data.stream.joined import Joined
from nnlab.data.stream.parquet import ParquetRows
from nnlab.data.stream.records import idx_records, npy
from nnlab.data.view import Selective, scattered
from nnlab.errors import UserError

X = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32)
NAMES = [f"c{k}" for k in range(6)]


@pytest.fixture
def array(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, X)
    return path


@pytest.fixture
def groups(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(list(X.T), NAMES), path, row_group_size=70)
    return path


def idx_file(path, x, kind=0x08):
    path.write_bytes(struct.pack(f">HBB{x.ndim}I", 0, kind, x.ndim, *x.shape) + x.tobytes())
    return path


@pytest.mark.parametrize("columns", [[0, 1, 2, 3, 4], [1, 2], [5, 0, 3], [4]], ids=str)
def test_columns_of_an_array(array, columns):
    rows = npy(array, 10, columns)
    assert (rows.shape, rows.dtype, rows.raw) == ((500, len(columns)), np.float64, np.float32)
    np.testing.assert_array_equal(rows.read(3, 47), np.load(array)[3:47, columns])
    assert rows.read(7, 7).shape == (0, len(columns))


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "f8", "f2", "i1", "u2", "<i4", "?"])
def test_an_array_of_any_numbers(tmp_path, dtype):
    x = (X * 10).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    np.testing.assert_array_equal(npy(tmp_path / "x.npy", 10).read(2, 400), x[2:400])


def test_images_by_their_bytes(tmp_path):
    x = np.random.default_rng(0).integers(256, size=(90, 4, 5)).astype(np.uint8)
    rows = idx_records(idx_file(tmp_path / "x", x), 10, (90, 4, 5))
    assert (rows.shape, rows.dtype, rows.raw) == (x.shape, np.uint8, np.uint8)
    np.testing.assert_array_equal(rows.read(13, 60), x[13:60])
    with pytest.raises(UserError, match=r"must have the shape \(91, 4, 5\), but has \(90, 4, 5\)"):
        idx_records(tmp_path / "x", 10, (91, 4, 5))


def test_columns_of_row_groups(groups):
    rows = ParquetRows(groups, 70, ["c4", "c1"])
    assert rows.groups.tolist() == list(range(0, 500, 70))
    assert (rows.shape, rows.dtype, rows.raw) == ((500, 2), np.float64, np.float32)
    table = pq.read_table(groups)
    for start, stop in ((0, 500), (69, 71), (140, 141), (33, 400), (499, 500), (5, 5)):
        expected = np.column_stack([table[name][start:stop].to_numpy() for name in ("c4", "c1")])
        np.testing.assert_array_equal(rows.read(start, stop), expected)


@pytest.mark.parametrize(
    ("columns", "raw"),
    [
        ([pa.array([1, 2, 3], pa.int16()), pa.array([True, False, True])], np.float32),
        ([pa.array([1, 2, 2**31 - 1], pa.int32())], np.float64),
        ([pa.array([0.1, 0.2, 0.3], pa.float64()), pa.array([1, 2, 3], pa.int8())], np.float64),
        ([pa.array([1.5, 2, 3], pa.float16())], np.float32),
    ],
)
def test_types_of_columns_are_kept_exactly(tmp_path, columns, raw):
    names = [f"c{k}" for k in range(len(columns))]
    pq.write_table(pa.table(columns, names), tmp_path / "x.parquet")
    rows = ParquetRows(tmp_path / "x.parquet", 10, names)
    assert rows.raw == raw
    expected = np.column_stack([np.array(one.to_pylist(), np.float64) for one in columns])
    np.testing.assert_array_equal(rows.read(0, 3).astype(np.float64), expected)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 499), max_size=80), st.booleans())
def test_scattered_rows_are_those_of_the_array(tmp_path_factory, rows, grouped):
    path = tmp_path_factory.mktemp("x") / "x"
    if grouped:
        pq.write_table(pa.table(list(X.T), NAMES), path, row_group_size=70)
        stored = ParquetRows(path, 70, NAMES)
    else:
        np.save(path.with_suffix(".npy"), X)
        stored = npy(path.with_suffix(".npy"), 10)
    np.testing.assert_array_equal(scattered(stored, np.array(rows, np.intp)), X[rows])


def test_only_what_is_near_is_read_together(array, monkeypatch):
    asked = []
    rows = npy(array, 10)
    read = rows.read
    monkeypatch.setattr(rows, "read", lambda *span: asked.append(span) or read(*span))
    monkeypatch.setattr("nnlab.data.view.GAP", 10 * 48)
    monkeypatch.setattr("nnlab.data.view.PIECE", 100 * 48)
    np.testing.assert_array_equal(
        scattered(rows, np.array([400, 3, 1, 12, 401])), X[[400, 3, 1, 12, 401]]
    )
    assert asked == [(1, 13), (400, 402)]
    asked.clear()
    scattered(rows, np.arange(250))
    assert asked == [(0, 100), (100, 200), (200, 250)]


WIDE = np.random.default_rng(1).normal(size=(300, 400)).astype(np.float32)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    path = tmp_path_factory.mktemp("wide") / "x.npy"
    np.save(path, WIDE)
    return path


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 299), max_size=400),
    st.sampled_from([(0, 400), (0, 399), (1, 400), (20, 390)]),
    st.sampled_from([1, 3, 1000]),
    st.booleans(),
)
def test_wide_rows_go_to_their_places(wide, rows, columns, pieces, told):
    stored = npy(wide, 10, range(*columns))
    assert isinstance(stored, Selective)
    expected = WIDE[rows, columns[0] : columns[1]]
    out = np.empty(expected.shape, np.float32) if told else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nnlab.data.stream.records.PIECES", pieces)
        found = scattered(stored, np.array(rows, np.intp), out)
    np.testing.assert_array_equal(found, expected)


def test_a_disk_that_gives_less_than_asked_is_asked_again(wide, array, monkeypatch):
    preadv = os.preadv

    def little(file, pieces, offset):
        return preadv(file, [pieces[0][:100]], offset)

    monkeypatch.setattr(os, "preadv", little)
    rows = np.array([7, 200, 8, 8, 299])
    np.testing.assert_array_equal(scattered(npy(wide, 10, range(399)), rows), WIDE[rows, :399])
    np.testing.assert_array_equal(npy(array, 10).read(4, 90), X[4:90])


def test_wide_rows_notice_what_happens_to_their_file(tmp_path):
    for harm, said in ((lambda path: os.truncate(path, 9000), "cut"), (touched, "changed")):
        np.save(tmp_path / "x.npy", WIDE)
        rows = npy(tmp_path / "x.npy", 10)
        harm(tmp_path / "x.npy")
        with pytest.raises(UserError, match=f"x.npy was {said} while it was read"):
            scattered(rows, np.array([1, 100, 200]))


def touched(path):
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def test_texts_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([["a", "b"]]))
    with pytest.raises(UserError, match="holds texts"):
        npy(tmp_path / "x.npy", 10)


def test_files_one_below_the_other(array, groups):
    one = Joined([npy(array, 10), ParquetRows(groups, 70, NAMES), npy(array, 10)])
    whole = np.concatenate([X, X, X])
    assert one.shape == whole.shape
    for start, stop in ((0, 1500), (499, 501), (990, 1020), (1499, 1500), (500, 1000), (2, 2)):
        np.testing.assert_array_equal(one.read(start, stop), whole[start:stop])
    assert one.groups.tolist() == [0, *range(500, 1000, 70), 1000]
    assert not len(Joined([npy(array, 10)] * 2).groups)


def test_threads_may_read_at_the_same_time(array, groups):
    for stored in (npy(array, 10), ParquetRows(groups, 70, NAMES)):
        wrong = []

        def read(seed, stored=stored, wrong=wrong):
            rng = np.random.default_rng(seed)
            for _ in range(100):
                start = int(rng.integers(450))
                if (stored.read(start, start + 50) != X[start : start + 50]).any():
                    wrong.append(seed)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert not wrong


# what is refused


def test_a_number_that_is_missing_is_named(tmp_path):
    x = X.copy()
    x[321, 4] = np.nan
    np.save(tmp_path / "x.npy", x)
    pq.write_table(pa.table(list(x.T), NAMES), tmp_path / "x.parquet", row_group_size=70)
    for stored in (npy(tmp_path / "x.npy", 10), ParquetRows(tmp_path / "x.parquet", 70, NAMES)):
        stored.read(0, 200)
        with pytest.raises(UserError, match=r"x\.\w+, row 322, input 5: .* but got nan"):
            stored.read(200, 400)


def test_null_is_missing(tmp_path):
    column = pa.array([1.0, None, 3.0], pa.float32())
    pq.write_table(pa.table([column], ["a"]), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"row 2, input 1: .* but got nan"):
        ParquetRows(tmp_path / "x.parquet", 10, ["a"]).read(0, 3)


def test_large_numbers_whose_sum_is_not_finite_are_fine(tmp_path):
    np.save(tmp_path / "x.npy", np.full((10, 4), 3e38, np.float32))
    assert npy(tmp_path / "x.npy", 10).read(0, 10).shape == (10, 4)


def test_row_groups_must_fit_the_window(groups):
    with pytest.raises(UserError, match=r"groups of 70 rows.*window=69.*data\.window=70"):
        ParquetRows(groups, 69, NAMES)


@pytest.mark.parametrize(
    ("column", "type_"),
    [(["a", "b"], "string"), ([None, None], "null"), ([b"a", b"b"], "binary")],
)
def test_columns_that_are_not_numbers(tmp_path, column, type_):
    pq.write_table(pa.table([pa.array(column)], ["a"]), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=rf"column a holds .* {type_}.*data\.ignore=\[a\]"):
        ParquetRows(tmp_path / "x.parquet", 10, ["a"])


def test_what_is_stored_by_columns(tmp_path):
    np.save(tmp_path / "x.npy", np.asfortranarray(X))
    with pytest.raises(UserError, match=r"column by column.*ascontiguousarray"):
        npy(tmp_path / "x.npy", 10)


def test_what_is_compressed(tmp_path):
    with pytest.raises(UserError, match=r"x\.gz is compressed.*gunzip --keep.*data\.window=0"):
        idx_records(tmp_path / "x.gz", 10)


def test_a_file_that_is_cut_or_goes_on(tmp_path):
    x = np.zeros((9, 3), np.uint8)
    for content in (x.tobytes()[:-1], x.tobytes() + b"\0"):
        path = tmp_path / "x"
        path.write_bytes(struct.pack(">HBB2I", 0, 8, 2, *x.shape) + content)
        with pytest.raises(UserError, match=f"promises 27 bytes of data, and {len(content)} are"):
            idx_records(path, 10)


# what changes while it is read


def test_a_file_that_is_cut_while_it_is_read(array):
    rows = npy(array, 10)
    os.truncate(array, 400)
    with pytest.raises(UserError, match=r"x\.npy was cut while it was read"):
        rows.read(100, 200)


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_a_file_that_is_written_to_while_it_is_read(array, groups, kind):
    path = array if kind == "npy" else groups
    rows = npy(array, 10) if kind == "npy" else ParquetRows(groups, 70, NAMES)
    rows.read(0, 10)
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(200)
        file.write(b"\1")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(UserError, match="was changed while it was read"):
        rows.read(400, 410)


def test_a_file_that_is_replaced_is_read_on_as_it_was(array):
    rows = npy(array, 10)
    np.save(array.with_name("other.npy"), X + 1)
    array.with_name("other.npy").replace(array)
    np.testing.assert_array_equal(rows.read(0, 50), X[:50])


def test_a_file_that_cannot_be_opened(tmp_path):
    from nnlab.data.stream.unchanged import Unchanged

    with pytest.raises(UserError, match="nowhere cannot be read: No such file"):
        Unchanged(tmp_path / "nowhere")


def test_an_error_of_the_disk_is_named(array, monkeypatch):
    rows = npy(array, 10)

    def fails(*arguments):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", fails)
    with pytest.raises(UserError, match=r"x\.npy cannot be read: .*Input/output error"):
        rows.read(0, 10)


def test_a_damaged_row_group_is_an_error(groups):
    content = bytearray(groups.read_bytes())
    rows = ParquetRows(groups, 70, NAMES)
    content[4:400] = bytes(396)
    state = groups.stat()
    groups.write_bytes(content)
    os.utime(groups, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(UserError, match=r"x\.parquet"):
        rows.read(0, 70)

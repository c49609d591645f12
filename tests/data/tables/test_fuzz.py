"""Whatever the bytes of a file: a data set or an error that says so, and no memory for lies."""

import csv
import gzip
import io
import tempfile
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nnlab.core.laws import LawError
from nnlab.data.sources.table import Table

FRAME = pd.DataFrame({"a": [1.5, 2, 3, 4] * 5, "b": ["u", "v", "w", "u"] * 5, "y": [0, 1] * 10})
QUICK = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


def written(ending):
    file = io.BytesIO()
    if ending == ".parquet":
        FRAME.to_parquet(file)
    elif ending == ".feather":
        FRAME.to_feather(file)
    elif ending == ".npy":
        np.save(file, FRAME[["a", "y"]].to_numpy())
    elif ending == ".npz":
        np.savez_compressed(file, x=FRAME[["a"]].to_numpy(), y=FRAME["y"].to_numpy())
    else:
        text = FRAME.to_csv(index=False).encode()
        file.write(gzip.compress(text) if ending == ".csv.gz" else text)
    return file.getvalue()


GOOD = {
    ending: written(ending)
    for ending in (".csv", ".csv.gz", ".npy", ".npz", ".parquet", ".feather")
}


def loaded(ending, content):
    """The data set of these bytes, or None where they are refused; never much memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"t{ending}")
        path.write_bytes(content)
        source = Table(path=str(path), target="" if ending in (".npy", ".npz") else "y")
        before = getrusage(RUSAGE_SELF).ru_maxrss
        try:
            return source.load()
        except LawError as error:
            assert str(path) in str(error)
            assert error.field in source.__dataclass_fields__
            return None
        finally:
            # not tracemalloc: it is suspected of crashing Python 3.11 beside Arrow's threads
            assert getrusage(RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def check(dataset):
    """What holds of every data set that is not refused."""
    if dataset is not None:
        assert len(dataset.x) == len(dataset.y) >= 3
        assert not np.isinf(dataset.x).any()
        assert dataset.x.dtype == np.float64
        assert (dataset.y.dtype, dataset.y.ndim) in ((np.int64, 1), (np.float64, 2))
        if dataset.classes:
            assert set(dataset.y.tolist()) == set(range(len(dataset.classes)))


@pytest.mark.parametrize("ending", GOOD)
def test_the_good_files_are_read(ending):
    dataset = loaded(ending, GOOD[ending])
    assert dataset.x[:, 0].tolist() == FRAME["a"].tolist()
    assert dataset.y.tolist() == FRAME["y"].tolist()


@pytest.mark.parametrize("ending", GOOD)
@QUICK
@given(data=st.data())
def test_files_that_are_changed(ending, data):
    content = bytearray(GOOD[ending])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    check(loaded(ending, bytes(content)))


@pytest.mark.parametrize("ending", GOOD)
def test_files_that_are_cut(ending):
    for length in range(0, len(GOOD[ending]), max(1, len(GOOD[ending]) // 60)):
        check(loaded(ending, GOOD[ending][:length]))


@QUICK
@given(st.text(st.sampled_from('aby01.,;\t|"\n\r é-+eE\0\ufeff'), max_size=120))
@example("\n\n\n")
@example('a,y\n"1\n')
@example('"')
@example("\ufeff")
@example("a,y\n1,2\n" + '"' * 7)
def test_any_text(text):
    check(loaded(".csv", text.encode()))


@QUICK
@given(st.binary(max_size=200))
def test_any_bytes(content):
    for ending in GOOD:
        check(loaded(ending, content))


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


@QUICK
@given(
    st.lists(
        st.tuples(CELL, st.floats(allow_nan=False, allow_infinity=False)), min_size=3, max_size=30
    )
)
def test_any_categories_and_numbers_are_read_as_pandas_wrote_them(rows):
    frame = pd.DataFrame(rows, columns=["c", "a"])
    frame["y"] = [0.5, *range(1, len(rows))]
    stripped = frame["c"].str.strip(" \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0")
    text = frame.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.csv")
        path.write_bytes(text.encode())
        source = Table(path=str(path), target="y", as_category=("c",), missing="mean")
        try:
            dataset = source.load()
        except LawError as error:
            # no text in any row, another one in each, or numbers that are integers beyond 2**53
            said = ("has no value in any row", "too many for a category", "is not exact")
            assert any(one in str(error) for one in said)
            assert said[1] not in str(error) or len(rows) >= 10
            return
    np.testing.assert_array_equal(dataset.x[:, -1], frame["a"])
    values = [name.removeprefix("c=") for name in dataset.names[:-1]]
    read = [values[k] for k in dataset.x[:, :-1].argmax(axis=1)]
    assert dataset.x[:, :-1].sum() == len(rows)
    for had, got in zip(stripped, read, strict=True):
        assert got == "(missing)" or got.strip() == had.strip()

"""A table written by pandas or NumPy is read as what it was, whatever the file."""

import csv
import gzip

import numpy as np
import pandas as pd
import pytest

from nnlab.core.laws import LawError
from nnlab.data.sources.table import Table
from nnlab.data.validation import Holdout

ROWS = 70_000  # more than a batch


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "float": rng.normal(size=ROWS) * 10.0 ** rng.integers(-300, 300, ROWS),
            "integer": rng.integers(-(2**53), 2**53, ROWS),
            "flag": rng.random(ROWS) < 0.5,
            "text": rng.choice(["a", "b,c", 'quote " inside', "line\nend", "é", "10"], ROWS),
            "label": rng.choice([3, 10, -2], ROWS),
        }
    )


def write(frame, path):
    if path.name.lower().endswith((".csv", ".csv.gz")):
        frame.to_csv(path, index=False)
    elif ".tsv" in path.name:
        frame.to_csv(path, index=False, sep="\t")
    elif path.suffix == ".parquet":
        frame.to_parquet(path, row_group_size=9_999)
    else:
        frame.to_feather(path)


def expected(frame):
    """The inputs of the frame, made by pandas."""
    return pd.get_dummies(frame.drop(columns="label"), columns=["text"], dtype=float)


@pytest.mark.parametrize(
    "name", ["t.csv", "t.csv.gz", "t.tsv", "t.tsv.gz", "t.parquet", "t.feather", "t.arrow", "T.CSV"]
)
def test_a_file_is_what_pandas_wrote(frame, name, tmp_path):
    write(frame, tmp_path / name)
    dataset = Table(path=str(tmp_path / name), target="label").load()
    wanted = expected(frame)
    features = [one.replace("text_", "text=") for one in wanted.columns]
    assert dataset.names == tuple(features)
    assert dataset.kinds == ("number",) * 3 + ("category",) * 6
    np.testing.assert_array_equal(dataset.x, wanted.to_numpy(float))
    assert dataset.classes == ("-2", "3", "10")
    np.testing.assert_array_equal(dataset.y, np.searchsorted([-2, 3, 10], frame["label"]))
    assert dataset.y.dtype == np.int64
    assert dataset.parts is None
    assert dataset.origin.startswith(str(tmp_path / name))


def test_every_file_of_a_table_has_one_fingerprint(frame, tmp_path):
    prints = set()
    for name in ("t.csv", "t.tsv.gz", "t.parquet", "t.feather"):
        write(frame[:5000], tmp_path / name)
        source = Table(path=str(tmp_path / name), target="label")
        prints |= {source.load().fingerprint, source.load().fingerprint}
    assert len(prints) == 1


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", list(",;\t|"))
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_separators_are_recognised(end, separator, mark, tmp_path):
    text = mark + "a b,y\n 1 ,u\n2,v\n\n3.5,u\n".replace(",", separator).replace("\n", end)
    (tmp_path / "t.csv").write_bytes(text.encode())
    dataset = Table(path=str(tmp_path / "t.csv"), target="y").load()
    assert dataset.x.tolist() == [[1], [2], [3.5]]
    assert (dataset.names, dataset.classes, dataset.y.tolist()) == (
        ("a b",),
        ("u", "v"),
        [0, 1, 0],
    )


def test_mixed_line_ends(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,y\r\n1,2\n2,1\r3,2\r\n4,1")
    assert Table(path=str(tmp_path / "t.csv"), target="y").load().x[:, 0].tolist() == [1, 2, 3, 4]


def test_a_row_may_lie_in_two_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("nnlab.data.tables.delimited.BLOCK", 64)
    texts = [f"{k}\n{'x' * (k % 30)}\n" for k in range(90)]
    rows = "".join(f'"{text}",{k % 2}\n' for k, text in enumerate(texts))
    (tmp_path / "t.csv").write_text("a,y\n" + rows)
    counts = Table(path=str(tmp_path / "t.csv")).columns()[0].counts
    assert counts == {text.strip(): 1 for text in texts}
    (tmp_path / "t.csv").write_text(f"a,y\n{'1' * 300},2\n")
    with pytest.raises(LawError, match="has a row of more than 64 bytes"):
        Table(path=str(tmp_path / "t.csv")).columns()


def test_a_file_in_several_gzip_members(tmp_path):
    parts = [gzip.compress(one) for one in (b"a,y\n1,", b"2\n2,1\n", b"3,2\n")]
    (tmp_path / "t.csv.gz").write_bytes(b"".join(parts))
    assert Table(path=str(tmp_path / "t.csv.gz"), target="y").load().x[:, 0].tolist() == [1, 2, 3]


def test_numbers_are_read_to_the_last_bit(tmp_path):
    rng = np.random.default_rng(1)
    values = rng.integers(0, 2**64, 20_000, np.uint64).view(np.float64)
    values = values[np.isfinite(values)]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["a", "b", "y"])
        rows.writerows([repr(float(v)), f"+{v:.20e}", k % 2] for k, v in enumerate(abs(values)))
    dataset = Table(path=str(tmp_path / "t.csv"), target="y").load()
    np.testing.assert_array_equal(dataset.x, np.stack([abs(values)] * 2, 1))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint8", "int64", "bool", ">f4"])
@pytest.mark.parametrize("order", "CF")
def test_an_array_is_a_table(dtype, order, tmp_path):
    array = np.array([[0, 1, 5], [1, 0, 6], [1, 1, 5]] * 3, order=order).astype(dtype)
    array[:, 2] = np.arange(9) % 2
    np.save(tmp_path / "t.npy", array)
    last = Table(path=str(tmp_path / "t.npy")).load()
    np.testing.assert_array_equal(last.x, array[:, :2].astype(float))
    np.testing.assert_array_equal(last.y, np.arange(9) % 2)
    first = Table(path=str(tmp_path / "t.npy"), target=0).load()
    assert first.names == ("1", "2")
    np.testing.assert_array_equal(first.x, array[:, 1:].astype(float))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_an_archive(save, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), np.array(["dog", "cat", "ant"] * 10)
    images = rng.integers(0, 256, (30, 8, 6, 3), np.uint8)
    save(tmp_path / "t.npz", x=x, y=y)
    dataset = Table(path=str(tmp_path / "t.npz")).load()
    np.testing.assert_array_equal(dataset.x, x)
    assert dataset.classes == ("ant", "cat", "dog")
    assert dataset.y.tolist() == [2, 1, 0] * 10
    save(tmp_path / "i.npz", pictures=images, kind=y)
    dataset = Table(path=str(tmp_path / "i.npz"), target="kind", scale="unit").load()
    np.testing.assert_array_equal(dataset.x, images)
    assert dataset.x.dtype == np.uint8
    assert dataset.names == ()


def test_without_names_columns_are_numbered(tmp_path):
    (tmp_path / "t.csv").write_text("\n5,0,1\n4,1,2\n5,2,x\n4,3,y\n")
    dataset = Table(path=str(tmp_path / "t.csv"), target=0, header=False).load()
    assert dataset.names == ("1", "2=1", "2=2", "2=x", "2=y")
    assert dataset.classes == ("4", "5")
    assert dataset.x[:, 0].tolist() == [0, 1, 2, 3]


def test_what_scikit_learn_and_pandas_make_of_a_table(tmp_path):
    """One-hot and ordinal, missing values filled: the whole chain beside scikit-learn's."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {"age": rng.normal(40, 9, 200).round(1), "sex": rng.choice(["m", "f"], 200)}
    )
    frame["fare"] = rng.integers(0, 9, 200).astype(float)
    frame.loc[rng.random(200) < 0.2, "age"] = np.nan
    frame.loc[rng.random(200) < 0.2, "fare"] = np.nan
    frame["y"] = rng.integers(0, 2, 200)
    frame.to_csv(tmp_path / "t.csv", index=False)
    for encoder, categories in ((OneHotEncoder, "one_hot"), (OrdinalEncoder, "ordinal")):
        for method in ("mean", "median", "most_frequent"):
            source = Table(
                path=str(tmp_path / "t.csv"), target="y", missing=method, categories=categories
            )
            splits = source.split()
            raw = source.load()
            rows = Holdout().divide(raw, source.test, source.split_seed)
            reference = make_pipeline(
                ColumnTransformer(
                    [
                        ("age", SimpleImputer(strategy=method), ["age"]),
                        ("sex", encoder(), ["sex"]),
                        ("fare", SimpleImputer(strategy=method), ["fare"]),
                    ],
                    sparse_threshold=0,
                ),
                StandardScaler(),
            ).fit(frame.iloc[rows[0]])
            for part, chosen in zip(splits[:3], rows, strict=True):
                wanted = reference.transform(frame.iloc[chosen])
                np.testing.assert_allclose(part.x, wanted, rtol=1e-10, atol=1e-10)

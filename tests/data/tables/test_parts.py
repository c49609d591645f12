"""Parts that the data name themselves: by a column, or as files."""

import numpy as np
import pytest

from nnlab.core.laws import LawError
from nnlab.data.dataset import REST, TEST, VALIDATION
from nnlab.data.preparation.imputation import METHODS, Imputation
from nnlab.data.sources.table import Table
from nnlab.data.validation import Given, Holdout, KFold
from nnlab.data.view import View

TRAIN = "a,c,y\n" + "".join(f"{k},{'uv'[k % 2]},{'no' if k % 3 else 'yes'}\n" for k in range(12))


@pytest.fixture
def files(tmp_path):
    """Sources of these texts: a training file, and others by their field."""

    def written(train=TRAIN, **others):
        fields = {}
        for field, text in {"path": train, **others}.items():
            fields[field] = str(tmp_path / f"{field}.csv")
            (tmp_path / f"{field}.csv").write_text(text)
        return Table(target="y", scale="none", **fields)

    return written


def test_parts_by_a_column(tmp_path):
    words = ["train", "test", "validation", "train", "train", "test"]
    rows = [f"{k},{word},{k / 10}\n" for k, word in enumerate(words)]
    (tmp_path / "t.csv").write_text("a,s,y\n" + "".join(rows))
    source = Table(
        path=str(tmp_path / "t.csv"),
        target="y",
        split_column="s",
        test=0,
        scale="none",
        standardize_target=False,
    )
    dataset = source.load()
    assert dataset.names == ("a",)
    assert dataset.parts.tolist() == [REST, TEST, VALIDATION, REST, REST, TEST]
    splits = source.split(Given())
    assert [part.x[:, 0].tolist() for part in splits[:3]] == [[0, 3, 4], [2], [1, 5]]
    with pytest.raises(LawError, match="choose validation=given"):
        source.split(Holdout())


def test_parts_by_files(files):
    source = files(test_path="y,c,a\nno,v,100\nyes,u,101\n", validation_path="a,c,y\n200,u,no\n")
    dataset = source.load()
    assert dataset.parts.tolist() == [REST] * 12 + [VALIDATION] + [TEST] * 2
    assert dataset.x[12:].tolist() == [[200, 1, 0], [100, 0, 1], [101, 1, 0]]
    assert dataset.y[12:].tolist() == [0, 0, 1]
    assert dataset.origin.count("commas") == 3
    with pytest.raises(LawError, match="test = 0, for the data name their own test part"):
        source.split(Given())


def test_a_test_file_alone_leaves_the_rest_to_be_divided(files):
    source = files(test_path=TRAIN)
    dataset = source.load()
    rows = Holdout(0.25).divide(dataset, 0, 0)
    assert rows.test.tolist() == list(range(12, 24))
    assert sorted([*rows.train, *rows.validation]) == list(range(12))
    assert len(KFold(3).members()[0].divide(dataset, 0, 0).validation) == 4


OTHERS = {  # a test file: what is said of it
    "a,y\n1,no\n": "lacks the column c, which",
    "a,C,y\n1,u,no\n": "lacks the column c",
    "a,c,d,y\n1,u,2,no\n": "has the column d, which",
    "a,c,y\n1,u,no\n2,u,maybe\n": "line 3, column y: 'maybe' is not one of the values that are "
    "known from the training file: no, yes",
    "a,c,y\n1,u,no\n2,w,no\n": "line 3, column c: 'w' is not one of the values that are known "
    "from the training file: u, v",
    "a,c,y\n1,u,no\n2,v,\n": "column y, the target, has no value in 1 rows (line 3)",
    "a,c,y\n1,u,no\nx,v,no\n3,u,no\n": "line 3, column a: 'x' is not a number",
    "a,c,y\nx,u,no\n": "column a holds values of kind category, but number in",
    "a,c,y\n1,u,no\n,v,no\n": "has rows without a value: a in 1 (first line 3)",
    "a,c,y\n1,u,no\ninf,v,no\n": "line 3, column a: inf is not finite",
    "a,c,y\n": "has no rows",
}


@pytest.mark.parametrize("text", OTHERS)
def test_a_file_that_is_not_like_the_training_file(files, text):
    with pytest.raises(LawError) as error:
        files(test_path=text).load()
    assert OTHERS[text] in str(error.value)
    assert error.value.field == ("missing" if "without a value" in OTHERS[text] else "test_path")
    assert "test_path.csv" in str(error.value)


def test_a_class_of_numbers_that_is_only_tested(files):
    with pytest.raises(LawError, match="line 3, column y: 3 is a class that the training") as error:
        files("a,y\n1,0\n2,1\n3,0\n4,1\n", test_path="a,y\n1,1\n1,3\n").load()
    assert error.value.field == "test_path"


def test_a_category_may_be_missing_in_one_file_alone(files):
    fields = files(test_path="a,c,y\n1,,no\n").__dict__
    dataset = Table(**{**fields, "missing": "median"}).load()
    assert dataset.names == ("a", "c=u", "c=v", "c=(missing)")
    assert dataset.x[-1].tolist() == [1, 0, 0, 1]
    assert not dataset.x[:-1, 3].any()


def test_files_of_images(tmp_path):
    images = np.arange(2 * 6 * 4 * 4, dtype=np.uint8).reshape(12, 4, 4)
    np.savez(tmp_path / "a.npz", x=images, y=np.arange(12) % 2)
    np.savez(tmp_path / "b.npz", x=images[:3], y=[0, 1, 1])
    np.savez(tmp_path / "c.npz", x=images[:, :2], y=np.arange(12) % 2)
    dataset = Table(path=str(tmp_path / "a.npz"), test_path=str(tmp_path / "b.npz")).load()
    np.testing.assert_array_equal(dataset.x, np.concatenate([images, images[:3]]))
    assert dataset.parts.tolist() == [REST] * 12 + [TEST] * 3
    with pytest.raises(LawError, match="images of one shape") as error:
        Table(path=str(tmp_path / "a.npz"), test_path=str(tmp_path / "c.npz")).load()
    assert error.value.field == "test_path"


X = np.array([[1, np.nan, 5], [3, 2, 5], [np.nan, 2, np.nan], [8, 7, 1.0]])
FILLS = {"mean": [4, 11 / 3, 11 / 3], "median": [3, 2, 5], "most_frequent": [1, 2, 5]}


@pytest.mark.parametrize("method", METHODS)
def test_an_imputation_by_hand(method):
    train = View(X, np.arange(4))
    filled = Imputation(method).fit(train, np.random.default_rng(0))
    np.testing.assert_allclose(filled.arrays["fill"], FILLS[method], rtol=1e-15)
    result = filled(X.astype(np.float32))
    assert result.dtype == np.float32
    expected = np.where(np.isnan(X), FILLS[method], X)
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_an_imputation_sees_the_training_part_alone():
    filled = Imputation("mean").fit(View(X, np.array([0, 1])), np.random.default_rng(0))
    np.testing.assert_array_equal(filled.arrays["fill"], [2, 2, 5])


def test_a_feature_that_training_never_has():
    with pytest.raises(LawError, match=r"column b has no value in the training part.*ignore=\[b\]"):
        Imputation("mean", ("a", "b", "c")).fit(View(X, np.array([0])), np.random.default_rng(0))

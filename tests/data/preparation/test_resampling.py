"""The steps that change which examples are trained on."""

import re
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnlab.core.laws import LawError
from nnlab.data.preparation.balance import Balance
from nnlab.data.preparation.label_noise import LabelNoise
from nnlab.data.preparation.smote import Smote
from nnlab.data.preparation.subset import Subset
from nnlab.data.view import View

COUNTS = (60, 25, 15)
Y = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], COUNTS))
X = np.random.default_rng(1).normal(size=(100, 4)) + Y[:, None]
NUMBERS = np.linspace(0, 1, 100)[:, None]


def viewed(x, dtype=np.float64):
    return View(x, np.arange(len(x)), (), dtype)


def resampled(step, y=Y, seed=0, x=X):
    classes = 0 if y.ndim == 2 else int(y.max()) + 1
    return step.resample(viewed(x), y, classes, np.random.default_rng(seed))


@pytest.mark.parametrize(
    "step", [Subset(30), LabelNoise(0.3), Balance(), Balance("undersample"), Smote()], ids=repr
)
def test_the_data_stay_as_they_are(step):
    x, y = X.copy(), Y.copy()
    result = resampled(step, y, x=x)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)
    assert result.y.dtype == np.int64


@pytest.mark.parametrize(
    "step", [Subset(30), LabelNoise(0.3), Balance(), Balance("undersample"), Smote()], ids=repr
)
def test_it_is_random_but_determined_by_the_seed(step):
    first, again, other = (resampled(step, seed=seed) for seed in (4, 4, 5))
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, same)
    assert any(not np.array_equal(one, two) for one, two in zip(first, other, strict=True))


# subset


@pytest.mark.parametrize(
    ("n", "counts"), [(20, [12, 5, 3]), (100, [60, 25, 15]), (3, [1, 1, 1]), (40, [24, 10, 6])]
)
def test_a_subset_has_the_proportions_of_the_whole(n, counts):
    result = resampled(Subset(n))
    assert np.bincount(result.y).tolist() == counts
    np.testing.assert_array_equal(result.y, Y[result.rows])
    assert len(np.unique(result.rows)) == n
    assert result.added is None


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6).flatmap(
        lambda counts: st.tuples(st.just(counts), st.integers(len(counts), sum(counts)))
    )
)
def test_a_subset_shares_as_sainte_lague_does(drawn):
    counts, n = drawn
    y = np.repeat(np.arange(len(counts)), counts)
    got = np.bincount(resampled(Subset(n), y, x=np.zeros((len(y), 1))).y, minlength=len(counts))
    assert got.sum() == n
    assert got.min() >= 1
    # no seat would be better given to another: count / (seats + 1/2) falls with every seat
    next_seat = max((c / (k + 0.5) for c, k in zip(counts, got, strict=True) if k < c), default=0)
    last_seat = min((c / (k - 0.5) for c, k in zip(counts, got, strict=True) if k > 1), default=99)
    assert next_seat <= last_seat * (1 + 1e-12)


def test_a_smaller_subset_is_a_part_of_a_larger_one():
    sizes = [set(resampled(Subset(n)).rows.tolist()) for n in (5, 20, 60, 100)]
    assert all(small < large for small, large in pairwise(sizes))


def test_every_example_may_be_in_a_subset():
    y = np.zeros(10, np.int64)
    seen = np.zeros(10)
    for seed in range(2000):
        seen[resampled(Subset(3), y, seed, np.zeros((10, 1))).rows] += 1
    assert (np.abs(seen - 600) < 5 * np.sqrt(2000 * 0.3 * 0.7)).all()


def test_a_subset_of_regression_targets():
    result = resampled(Subset(7), NUMBERS)
    assert len(np.unique(result.rows)) == 7
    np.testing.assert_array_equal(result.y, NUMBERS[result.rows])


@pytest.mark.parametrize(
    ("n", "said"), [(101, "n <= 100 examples of the training part"), (2, "n >= 3 classes")]
)
def test_a_subset_that_cannot_be_is_refused(n, said):
    with pytest.raises(LawError, match=f"{said}.*n={n}") as error:
        resampled(Subset(n))
    assert error.value.field == "preparation.subset.n"


# label_noise


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.333, 1.0])
def test_so_many_labels_are_wrong(fraction):
    result = resampled(LabelNoise(fraction))
    np.testing.assert_array_equal(result.rows, np.arange(100))
    assert (result.y != Y).sum() == round(100 * fraction)
    assert set(result.y) <= {0, 1, 2}


def test_wrong_labels_are_drawn_uniformly():
    y = np.repeat(np.arange(4), 6000)
    noisy = resampled(LabelNoise(0.5), y, x=np.zeros((len(y), 1))).y
    confusion = np.zeros((4, 4))
    np.add.at(confusion, (y, noisy), 1)
    np.testing.assert_allclose(np.diag(confusion), 3000, atol=5 * np.sqrt(1500))
    np.testing.assert_allclose(confusion[~np.eye(4, dtype=bool)], 1000, atol=5 * np.sqrt(1000))


def test_of_two_classes_the_other_is_taken():
    y = np.arange(50) % 2
    np.testing.assert_array_equal(resampled(LabelNoise(1.0), y, x=np.zeros((50, 1))).y, 1 - y)


# balance


@pytest.mark.parametrize(
    ("method", "counts"), [("oversample", [60] * 3), ("undersample", [15] * 3)]
)
def test_classes_become_of_one_size(method, counts):
    from imblearn.over_sampling import RandomOverSampler
    from imblearn.under_sampling import RandomUnderSampler

    theirs = {"oversample": RandomOverSampler, "undersample": RandomUnderSampler}[method]
    result = resampled(Balance(method))
    assert np.bincount(result.y).tolist() == counts
    assert np.bincount(theirs(random_state=0).fit_resample(X, Y)[1]).tolist() == counts
    np.testing.assert_array_equal(result.y, Y[result.rows])
    assert result.added is None


def test_oversampling_repeats_every_example_about_as_often():
    times = np.bincount(resampled(Balance("oversample")).rows, minlength=100)
    for label, size in enumerate(COUNTS):
        of_label = times[label == Y]
        assert (of_label.min(), of_label.max()) == (60 // size, -(-60 // size))


def test_undersampling_repeats_none():
    rows = resampled(Balance("undersample")).rows
    assert len(np.unique(rows)) == len(rows) == 45


def test_balanced_classes_are_left_alone():
    y = np.arange(30) % 3
    for method in ("oversample", "undersample"):
        rows = resampled(Balance(method), y, x=np.zeros((30, 1))).rows
        np.testing.assert_array_equal(rows, np.arange(30))


def test_a_class_without_training_examples_is_not_made_up():
    y = np.array([0, 0, 0, 2, 2])
    for step in (Balance(), Smote(neighbours=1)):
        result = resampled(step, y, x=X[:5])
        assert np.bincount(result.y).tolist() == [3, 0, 3]


# smote


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("neighbours", [1, 5])
def test_smote_is_imbalanced_learns(dtype, neighbours):
    from imblearn.over_sampling import SMOTE

    result = Smote(neighbours).resample(viewed(X, dtype), Y, 3, np.random.default_rng(8))
    seed = int(np.random.default_rng(8).integers(2**31))
    theirs = SMOTE(k_neighbors=neighbours, random_state=seed)
    x, y = theirs.fit_resample(X.astype(dtype), Y)
    np.testing.assert_array_equal(result.rows, np.arange(100))
    np.testing.assert_array_equal(result.y, y)
    np.testing.assert_array_equal(np.concatenate([X.astype(dtype), result.added]), x)
    assert result.added.dtype == dtype
    assert np.bincount(result.y).tolist() == [60] * 3


def test_smote_adds_points_between_two_of_the_same_class():
    result = resampled(Smote(neighbours=3))
    for point, label in zip(result.added, result.y[100:], strict=True):
        ends = X[label == Y]
        # the triangle's inequality is an equality for some pair
        to = np.linalg.norm(ends - point, axis=1)
        apart = np.linalg.norm(ends[:, None] - ends[None], axis=2)
        assert np.isclose(to[:, None] + to[None] - apart, 0, atol=1e-9).any()


def test_smote_takes_images_and_leaves_balanced_classes_alone():
    images = np.random.default_rng(0).integers(0, 256, (30, 3, 4), np.uint8)
    y = np.repeat([0, 1], [20, 10])
    result = Smote().resample(viewed(images, np.float32), y, 2, np.random.default_rng(0))
    assert result.added.shape == (10, 12)
    balanced = resampled(Smote(), np.arange(30) % 2, x=X[:30])
    assert balanced.added is None
    np.testing.assert_array_equal(balanced.rows, np.arange(30))


class OnDisk:
    """An array as a file would be read."""

    shape, dtype, raw = X.shape, X.dtype, X.dtype
    window, groups = 100, np.empty(0, np.intp)

    def __len__(self):
        return len(X)

    def read(self, start, stop):
        return X[start:stop].copy()


def test_smote_refuses_what_it_cannot_do():
    with pytest.raises(LawError, match=r"in memory.*preparation=\[balance\]") as error:
        resampled(Smote(), x=OnDisk())
    assert error.value.field == "preparation"
    said = re.escape("`neighbours < 15 training examples of class number 2 (counted from 0)` must")
    with pytest.raises(LawError, match=f"{said}.*neighbours=15") as error:
        resampled(Smote(neighbours=15))
    assert error.value.field == "preparation.smote.neighbours"
    resampled(Smote(neighbours=14))


def test_without_imbalanced_learn_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "imblearn.over_sampling", None)
    with pytest.raises(LawError, match=re.escape("pip install nnlab[features]")) as error:
        resampled(Smote())
    assert error.value.field == "preparation"


def test_the_registry_does_not_load_imbalanced_learn():
    code = "import sys, nnlab.runs.registry; print({'imblearn', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# laws


@pytest.mark.parametrize("step", [LabelNoise(), Balance(), Smote()], ids=lambda one: one.name)
def test_what_needs_labels_refuses_numbers(step):
    said = f"{step.name} needs class labels, but the targets are numbers; leave it out"
    with pytest.raises(LawError, match=said) as error:
        resampled(step, NUMBERS)
    assert error.value.field == "preparation"


def test_one_class_has_no_other_label():
    with pytest.raises(LawError, match="the data have 1"):
        resampled(LabelNoise(), np.zeros(9, np.int64), x=np.zeros((9, 1)))


LAWS = [
    (Subset, "n", 0, "n >= 1"),
    (LabelNoise, "fraction", -0.1, "0 <= fraction <= 1"),
    (LabelNoise, "fraction", 1.1, "0 <= fraction <= 1"),
    (Balance, "method", "oversampl", "(did you mean oversample?)"),
    (Smote, "neighbours", 0, "neighbours >= 1"),
]


@pytest.mark.parametrize(("step", "field", "bad", "said"), LAWS)
def test_a_value_out_of_range_is_refused(step, field, bad, said):
    with pytest.raises(LawError, match=re.escape(said)) as error:
        step(**{field: bad})
    assert error.value.field == field
    assert f"{field}={bad}" in str(error.value)

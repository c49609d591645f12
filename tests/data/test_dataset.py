import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nnlab.core.laws import LawError
from nnlab.data.dataset import Dataset, divide

X = np.arange(12.0).reshape(6, 2)
Y = np.array([0, 1, 0, 1, 0, 1])


def labelled(*counts):
    """A dataset with so many examples of class 0, 1, ..., in a mixed order."""
    y = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(0).shuffle(y)
    return Dataset(np.zeros((len(y), 1)), y, tuple(map(str, range(len(counts)))))


def unlabelled(n):
    return Dataset(np.zeros((n, 1)), np.zeros((n, 1)))


@st.composite
def divisions(draw):
    """A dataset, labelled or not, and fractions that leave no part empty."""
    counts = draw(st.lists(st.integers(4, 40), min_size=1, max_size=5))
    dataset = labelled(*counts) if draw(st.booleans()) else unlabelled(sum(counts))
    validation = draw(st.floats(0.13, 0.6))
    test = draw(st.floats(0.13, 0.6))
    assume(validation + test < 0.7)
    return dataset, validation, test


@settings(max_examples=50, deadline=None)
@given(divisions(), st.integers(0, 2**32))
def test_the_parts_are_disjoint_and_cover_everything(division, seed):
    dataset, validation, test = division
    parts = divide(dataset, validation, test, seed)
    assert sorted(np.concatenate(parts)) == list(range(len(dataset.y)))
    assert all(len(part) > 0 for part in parts)


@settings(max_examples=50, deadline=None)
@given(divisions(), st.integers(0, 2**32))
def test_every_class_is_divided_in_the_same_proportions(division, seed):
    dataset, validation, test = division
    parts = divide(dataset, validation, test, seed)
    for label in range(len(dataset.classes)) if dataset.classes else [0]:
        members = np.sum(dataset.y == label)
        for rows, fraction in ((parts.validation, validation), (parts.test, test)):
            assert abs(np.sum(dataset.y[rows] == label) - fraction * members) <= 0.5 + 1e-9


def test_a_division_by_hand():
    # 10 and 20 examples: 2 and 4 to validate, 3 and 6 to test, 5 and 10 to train
    dataset = labelled(10, 20)
    counts = [np.bincount(dataset.y[rows]).tolist() for rows in divide(dataset, 0.2, 0.3, seed=1)]
    assert counts == [[5, 10], [2, 4], [3, 6]]


@pytest.mark.parametrize("dataset", [labelled(20, 30), unlabelled(50)], ids=["labels", "targets"])
def test_the_same_seed_divides_in_the_same_way_and_another_does_not(dataset):
    first, again, other = (divide(dataset, 0.2, 0.2, seed) for seed in (7, 7, 8))
    for rows, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(rows, same)
        assert rows.tolist() != different.tolist()


@pytest.mark.parametrize(
    ("validation", "test", "named"),
    [(0.01, 0.3, "validation=0.01"), (0.3, 0.01, "test=0.01"), (0.5, 0.49, "validation=0.5")],
)
def test_an_empty_part_is_refused(validation, test, named):
    with pytest.raises(LawError, match=f"every part has an example.*{named}"):
        divide(unlabelled(4), validation, test, seed=0)


def flipped(array, index):
    """A copy with one bit of one byte changed."""
    raw = bytearray(array.tobytes())
    raw[index] ^= 1
    return np.frombuffer(raw, array.dtype).reshape(array.shape)


def test_the_fingerprint_changes_with_every_byte():
    whole = Dataset(X, Y, ("a", "b")).fingerprint
    changed = [Dataset(flipped(X, k), Y, ("a", "b")).fingerprint for k in range(X.nbytes)]
    changed += [Dataset(X, flipped(Y, k), ("a", "b")).fingerprint for k in range(Y.nbytes)]
    assert len({whole, *changed}) == 1 + X.nbytes + Y.nbytes


@pytest.mark.parametrize(
    "other",
    [
        Dataset(X.reshape(6, 2, 1), Y, ("a", "b")),
        Dataset(X, Y[:, None], ("a", "b")),
        Dataset(X.view(np.int64), Y, ("a", "b")),
        Dataset(X.astype(">f8"), Y, ("a", "b")),
        Dataset(X, Y, ("a", "c")),
        Dataset(X, Y, ("b", "a")),
        Dataset(X, Y),
    ],
    ids=["shape of x", "shape of y", "kind", "byte order", "a class", "order of classes", "none"],
)
def test_the_fingerprint_tells_what_the_bytes_mean(other):
    assert other.fingerprint != Dataset(X, Y, ("a", "b")).fingerprint


def test_the_fingerprint_is_of_the_content_not_of_the_memory():
    wide = np.zeros((6, 4))
    wide[:, ::2] = X
    strided = Dataset(wide[:, ::2], np.asfortranarray(Y), ("a", "b"))
    assert strided.fingerprint == Dataset(X.copy(), Y.copy(), ("a", "b")).fingerprint
    assert len(strided.fingerprint) == 64

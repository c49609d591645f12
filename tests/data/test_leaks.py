from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.datasets import load_iris

from nnlab.data import overlap as module
from nnlab.data.dataset import Dataset
from nnlab.data.leaks import Leaks, told
from nnlab.data.overlap import hashes, leaks
from nnlab.data.sources.bundled import Digits, Iris
from nnlab.data.validation import Fold


def by_hand(x, y, train, part):
    """The same, every pair compared."""
    same = another = 0
    for row in part:
        twins = [other for other in train if (x[row] == x[other]).all()]
        equal = any((y[row] == y[other]).all() for other in twins)
        same += equal
        another += bool(twins) and not equal
    return Leaks(same, another)


few = arrays(np.uint8, (24, 2, 2), elements=st.integers(0, 1))


@given(few, arrays(np.int64, 24, elements=st.integers(0, 1)), st.permutations(range(24)))
def test_every_pair_that_is_equal_is_found_and_no_other(x, y, order):
    train, part = np.array(order[:14]), np.array(order[14:])
    assert leaks(x, y, hashes(x), train, part) == by_hand(x, y, train, part)


def test_equal_hashes_are_not_taken_for_equal_rows():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 2, (60, 5)), rng.integers(0, 2, 60)
    train, part = np.arange(40), np.arange(40, 60)
    expected = by_hand(x, y, train, part)
    assert 0 < expected.same < expected.inputs < 20
    assert leaks(x, y, np.zeros(60, np.int64), train, part) == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_one_bit_makes_another_input(dtype):
    x = np.ones((3, 7), dtype)
    x[2].view(np.uint8)[-1] ^= 1
    y = np.zeros(3, np.int64)
    assert leaks(x, y, hashes(x), np.array([0]), np.array([1, 2])) == Leaks(1, 0)


def test_targets_are_numbers_too():
    x, y = np.ones((3, 2)), np.array([[0.5], [0.5], [0.25]])
    assert leaks(x, y, hashes(x), np.array([0]), np.array([1, 2])) == Leaks(1, 1)


def test_the_two_irises_that_are_equal_leak_where_they_are_apart():
    flowers = Counter(map(bytes, load_iris().data))  # 101 and 142
    assert sorted(flowers.values())[-2:] == [1, 2]
    twins = [row for row, x in enumerate(load_iris().data) if flowers[bytes(x)] == 2]
    found = set()
    for fold in range(5):
        validation = Fold(5, fold)
        division = validation.divide(Iris().load(), 0.15, 0)
        told = Iris().split(validation).about.leaks
        for part in ("validation", "test"):
            apart = sum(row in getattr(division, part) for row in twins)
            expected = apart if any(row in division.train for row in twins) else 0
            assert told[part] == Leaks(expected, 0)
            found.add(expected)
    assert found == {0, 1}


def test_digits_have_no_leak():
    assert Digits().split().about.leaks == {"validation": Leaks(0, 0), "test": Leaks(0, 0)}


def test_rows_in_pieces_are_those_of_the_whole(monkeypatch):
    x = np.random.default_rng(1).integers(0, 2, (50, 3)).astype(np.uint8)
    y, train, part = np.zeros(50, np.int64), np.arange(30), np.arange(30, 50)
    whole, whole_hashes = leaks(x, y, hashes(x), train, part), hashes(x)
    monkeypatch.setattr(module, "ROWS", 7)
    monkeypatch.setattr("nnlab.data.view.ROWS", 7)
    assert (hashes(x) == whole_hashes).all()
    assert leaks(x, y, hashes(x), train, part) == whole


def test_an_input_on_disk_is_not_looked_at():
    class OnDisk:
        dtype, shape = np.dtype(np.float32), (6, 2)

        def __len__(self):
            return 6

        def read(self, start, stop):
            raise AssertionError("it is read")

    from nnlab.data.about import about
    from nnlab.data.validation import Division

    dataset = Dataset(OnDisk(), np.array([0, 1] * 3), ("a", "b"))
    told_of = about(dataset, Division(np.arange(2), np.arange(2, 4), np.arange(4, 6)), ())
    assert told_of.leaks is None
    assert told_of.counts == {"train": (1, 1), "validation": (1, 1), "test": (1, 1)}
    assert "not looked for" in told(None)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            {"validation": Leaks(0, 0), "test": Leaks(0, 0)},
            "no input of validation or test is in the training part",
        ),
        (
            {"validation": Leaks(1200, 0), "test": Leaks(1, 2)},
            "in the training part, too, are 1,200 of validation and 3 of test "
            "(2 with another target)",
        ),
    ],
)
def test_in_words(found, words):
    assert told(found) == words


def test_one_image_among_as_many_as_mnist_has_is_found():
    x = np.random.default_rng(2).integers(0, 256, (70_000, 784), np.uint8)
    x[69_999] = x[0]
    y, train, part = np.zeros(70_000, np.int64), np.arange(60_000), np.arange(60_000, 70_000)
    assert leaks(x, y, hashes(x), train, part) == Leaks(1, 0)

from math import cos, pi, sin

import numpy as np
import pytest
from sklearn.datasets import make_moons

from nnlab.data.sources.synthetic.shapes import Checkerboard, Moons, Spirals, Xor


def as_set(x, y):
    """The labelled points, in an order that does not hang on theirs."""
    rows = np.column_stack([np.round(x, 12), y]) + 0.0
    return rows[np.lexsort(rows.T)]


def test_the_spirals_are_those_of_lang_and_witbrock():
    points = []
    for i in range(97):
        angle, radius = i * pi / 16, 6.5 * (104 - i) / 104
        x, y = radius * sin(angle), radius * cos(angle)
        points += [(x, y, 1), (-x, -y, 0)]
    points = np.array(points)
    made = Spirals(examples=194, noise=0.0).load()
    np.testing.assert_allclose(
        as_set(made.x, made.y), as_set(points[:, :2], points[:, 2]), atol=1e-11
    )


def test_the_turns_of_a_spiral_are_counted():
    made = Spirals(examples=2000, noise=0.0, turns=1.5).load()
    arm = made.x[made.y == 1]
    angle = np.unwrap(np.arctan2(arm[:, 0], arm[:, 1]))
    assert np.isclose(angle[-1] - angle[0], 1.5 * 2 * pi)


@pytest.mark.parametrize("examples", [2, 3, 50, 51, 1000])
def test_moons_are_those_of_scikit_learn(examples):
    made = Moons(examples=examples, noise=0.0).load()
    x, y = make_moons((examples - examples // 2, examples // 2), shuffle=False, noise=None)
    np.testing.assert_allclose(as_set(made.x, made.y), as_set(x, y), atol=1e-11)


def test_xor_is_its_truth_table():
    made = Xor(examples=4, noise=0.0).load()
    table = sorted((*x, y) for x, y in zip(made.x.tolist(), made.y.tolist(), strict=True))
    assert table == [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]
    many = Xor(examples=400, noise=0.0).load()
    corners, counts = np.unique(many.x, axis=0, return_counts=True)
    assert counts.tolist() == [100] * 4
    assert len(corners) == 4


@pytest.mark.parametrize("squares", [2, 3, 4, 5, 8])
def test_the_squares_of_a_checkerboard_alternate_and_are_filled_alike(squares):
    made = Checkerboard(examples=40_000, squares=squares).load()
    assert made.x.min() >= -1
    assert made.x.max() <= 1
    column, row = np.floor((made.x + 1) / 2 * squares).astype(int).T
    np.testing.assert_array_equal(made.y, (column + row) % 2)
    for label in (0, 1):
        of_label = made.y == label
        counts = np.bincount(row[of_label] * squares + column[of_label], minlength=squares**2)
        filled = counts[counts > 0]
        assert len(filled) == (squares**2 + 1 - label) // 2
        expected = of_label.sum() / len(filled)
        assert (np.abs(filled - expected) < 5 * np.sqrt(expected)).all()


def test_a_checkerboard_of_two_squares_is_exclusive_or_of_signs():
    made = Checkerboard(squares=2).load()
    np.testing.assert_array_equal(made.y, (made.x[:, 0] > 0) ^ (made.x[:, 1] > 0))

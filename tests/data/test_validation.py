import inspect
from contextlib import suppress
from math import nan

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from nnlab.core.laws import LawError
from nnlab.data import validation
from nnlab.data.dataset import Dataset
from nnlab.data.sources.bundled import Digits
from nnlab.data.validation import Division, Fold, Holdout, KFold, check_division


def labelled(*counts):
    """A dataset with so many examples of class 0, 1, ..., in a mixed order."""
    y = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(0).shuffle(y)
    return Dataset(np.zeros((len(y), 1)), y, tuple(map(str, range(len(counts)))))


def unlabelled(n):
    return Dataset(np.zeros((n, 1)), np.zeros((n, 1)))


@st.composite
def datasets(draw):
    """A dataset, labelled or not."""
    counts = draw(st.lists(st.integers(6, 40), min_size=1, max_size=5))
    return labelled(*counts) if draw(st.booleans()) else unlabelled(sum(counts))


@st.composite
def divisions(draw):
    """A dataset, and fractions that leave no part empty."""
    fraction, test = draw(st.floats(0.13, 0.6)), draw(st.floats(0.13, 0.6))
    assume(fraction + test < 0.7)
    return draw(datasets()), fraction, test


def groups(dataset):
    """For each class, or for all examples, which rows belong to it."""
    if not dataset.classes:
        return [np.ones(len(dataset.y), bool)]
    return [dataset.y == label for label in range(len(dataset.classes))]


# one part held out


@settings(max_examples=50, deadline=None)
@given(divisions(), st.integers(0, 2**32))
def test_the_parts_are_disjoint_and_cover_everything(division, seed):
    dataset, fraction, test = division
    parts = Holdout(fraction).divide(dataset, test, seed)
    assert sorted(np.concatenate(parts)) == list(range(len(dataset.y)))
    assert all(len(part) > 0 for part in parts)


@settings(max_examples=50, deadline=None)
@given(divisions(), st.integers(0, 2**32))
def test_every_class_is_divided_in_the_same_proportions(division, seed):
    dataset, fraction, test = division
    parts = Holdout(fraction).divide(dataset, test, seed)
    for group in groups(dataset):
        for rows, part in ((parts.validation, fraction), (parts.test, test)):
            assert abs(group[rows].sum() - part * group.sum()) <= 0.5 + 1e-9


def test_a_division_by_hand():
    # 10 and 20 examples: 2 and 4 to validate, 3 and 6 to test, 5 and 10 to train
    dataset = labelled(10, 20)
    parts = Holdout(0.2).divide(dataset, 0.3, seed=1)
    counts = [np.bincount(dataset.y[rows]).tolist() for rows in parts]
    assert counts == [[5, 10], [2, 4], [3, 6]]


@pytest.mark.parametrize("rule", [Holdout(0.2), Fold(4, 1)], ids=str)
@pytest.mark.parametrize("dataset", [labelled(20, 30), unlabelled(50)], ids=["labels", "targets"])
def test_the_same_seed_divides_in_the_same_way_and_another_does_not(dataset, rule):
    first, again, other = (rule.divide(dataset, 0.2, seed) for seed in (7, 7, 8))
    for rows, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(rows, same)
        assert rows.tolist() != different.tolist()


@pytest.mark.parametrize(
    ("fraction", "test", "named"),
    [(0.01, 0.3, "validation=0"), (0.3, 0.01, "test=0"), (0.5, 0.49, "train=0")],
)
def test_an_empty_part_is_refused(fraction, test, named):
    with pytest.raises(LawError, match=f"every part has an example.*{named}"):
        Holdout(fraction).divide(unlabelled(4), test, seed=0)


# folds


@settings(max_examples=50, deadline=None)
@given(datasets(), st.integers(2, 4), st.integers(0, 2**32))
def test_folds_hold_out_every_example_that_is_not_for_testing_once(dataset, k, seed):
    divided = [fold.divide(dataset, 0.2, seed) for fold in KFold(k).members()]
    tested = divided[0].test
    for parts in divided:
        np.testing.assert_array_equal(parts.test, tested)
        assert sorted(np.concatenate(parts)) == list(range(len(dataset.y)))
    held = np.concatenate([parts.validation for parts in divided])
    assert sorted(np.concatenate([held, tested])) == list(range(len(dataset.y)))


@settings(max_examples=50, deadline=None)
@given(datasets(), st.integers(2, 4), st.integers(0, 2**32))
def test_folds_are_equal_to_one_example_in_all_and_in_every_class(dataset, k, seed):
    divided = [fold.divide(dataset, 0.2, seed) for fold in KFold(k).members()]
    for group in [*groups(dataset), np.ones(len(dataset.y), bool)]:
        sizes = [group[parts.validation].sum() for parts in divided]
        assert max(sizes) - min(sizes) <= 1


def test_folds_have_the_sizes_of_scikit_learn_s():
    dataset = Digits().load()
    ours = [fold.divide(dataset, 0.15, 0) for fold in KFold(5).members()]
    rest = np.sort(np.concatenate([parts.validation for parts in ours]))
    folds = StratifiedKFold(5).split(rest, dataset.y[rest])
    theirs = [np.bincount(dataset.y[rest][held]) for _, held in folds]
    counts = [np.bincount(dataset.y[parts.validation]) for parts in ours]
    assert sorted(map(sum, counts)) == sorted(map(sum, theirs))
    np.testing.assert_array_equal(np.sort(counts, axis=0), np.sort(theirs, axis=0))


def test_the_test_part_is_the_same_for_every_rule():
    dataset = labelled(20, 30, 11)
    rules = (Holdout(0.1), Holdout(0.4), *KFold(3).members(), *KFold(5).members())
    tests = [rule.divide(dataset, 0.2, 3).test.tolist() for rule in rules]
    assert all(rows == tests[0] for rows in tests)


def test_folds_are_as_many_trainings():
    assert KFold(3).members() == [Fold(3, 0), Fold(3, 1), Fold(3, 2)]
    assert list(Fold(3, 1).members()) == [Fold(3, 1)]
    assert list(Holdout(0.3).members()) == [Holdout(0.3)]
    with pytest.raises(LawError, match="3 folds are 3 trainings"):
        KFold(3).divide(labelled(9), 0.1, 0)


def test_more_folds_than_examples_are_refused():
    with pytest.raises(LawError, match=r"every part has an example.*validation=0"):
        Fold(9, 8).divide(unlabelled(8), 0.2, 0)


# laws

LAWS = [  # (class, arguments that break it, what is said)
    (Holdout, {"fraction": 0.0}, "0 < fraction < 1"),
    (Holdout, {"fraction": 1.0}, "0 < fraction < 1"),
    (Holdout, {"fraction": nan}, "0 < fraction < 1"),
    (KFold, {"folds": 1}, "folds >= 2"),
    (Fold, {"of": 1}, "of >= 2"),
    (Fold, {"of": 3, "fold": 3}, "0 <= fold < of"),
    (Fold, {"of": 3, "fold": -1}, "0 <= fold < of"),
]


def test_every_rule_is_in_the_table():
    found = {
        cls
        for _, cls in inspect.getmembers(validation, inspect.isclass)
        if cls.__module__ == validation.__name__ and hasattr(cls, "__post_init__")
    }
    assert found == {cls for cls, _, _ in LAWS}


@pytest.mark.parametrize(("cls", "arguments", "said"), LAWS, ids=str)
def test_a_value_out_of_range_is_refused(cls, arguments, said):
    with pytest.raises(LawError, match=said):
        cls(**arguments)


def test_fractions_of_a_whole_are_less_than_it():
    with pytest.raises(LawError, match=r"fraction \+ test < 1.*fraction=0.6"):
        Holdout(0.6).divide(labelled(20), 0.4, 0)


@settings(max_examples=50, deadline=None)
@given(divisions(), st.integers(2, 5), st.integers(0, 2**32))
def test_every_division_passes_its_check(division, k, seed):
    dataset, fraction, test = division
    check_division(Holdout(fraction).divide(dataset, test, seed), dataset)
    for fold in KFold(k).members():
        with suppress(LawError):  # a fold of few examples may be empty
            check_division(fold.divide(dataset, test, seed), dataset)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (([0, 1, 2], [3, 2], [4, 5]), "rows 2 in several, or several times"),
        (([0, 1, 1], [2, 3], [4, 5]), "rows 1 in several, or several times"),
        (([0, 1], [3], [4]), "rows 2, 5 in none"),
        (([], [], [5]), "rows 0, 1, 2, 3, 4 in none"),
    ],
)
def test_a_row_that_is_not_in_one_part_is_named(parts, said):
    dataset = Dataset(np.zeros((6, 1)), np.zeros(6, np.int64), ("a",))
    division = Division(*(np.array(rows, np.intp) for rows in parts))
    with pytest.raises(LawError, match="every example is in one part") as error:
        check_division(division, dataset)
    assert f"got rows {said.removeprefix('rows ')}" in str(error.value)


def test_many_rows_are_counted_and_what_has_no_class_is_no_matter():
    dataset = Dataset(np.zeros((2000, 1)), np.zeros(2000, np.int64), ("a",))
    division = Division(*(np.arange(k, k + 1) for k in range(3)))
    with pytest.raises(LawError, match="rows 3, 4, 5, 6, 7 and 1,992 more in none"):
        check_division(division, dataset)
    dataset.y[3:] = 1
    check_division(division, dataset)


@pytest.mark.parametrize(
    ("rule", "test", "key"),
    [
        (Holdout(0.9), 0.05, "validation.fraction, data.test"),
        (Fold(9, 8), 0.2, "validation.folds"),
    ],
)
def test_an_empty_part_names_the_key_that_makes_it(rule, test, key):
    with pytest.raises(LawError, match="every part has an example") as error:
        rule.divide(Dataset(np.zeros((4, 1)), np.zeros((4, 1))), test, 0)
    assert error.value.field == key

import inspect
import re
from dataclasses import dataclass, replace
from functools import partial
from math import nan

import numpy as np
import pytest
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)

from nnlab.core.laws import LawError
from nnlab.data.dataset import Dataset
from nnlab.data.sources import bundled as sources
from nnlab.data.sources.bundled import BreastCancer, Diabetes, Digits, Iris, Wine
from nnlab.data.sources.named import Named
from nnlab.data.sources.source import Source
from nnlab.data.validation import Fold, Holdout

PUBLISHED = {
    Digits: load_digits,
    Iris: load_iris,
    Wine: load_wine,
    BreastCancer: load_breast_cancer,
    Diabetes: partial(load_diabetes, scaled=False),
}
every_source = pytest.mark.parametrize("source", PUBLISHED, ids=lambda cls: cls.__name__)


@dataclass(frozen=True)
class Table(Source):
    """Made-up data: 40 examples, the third feature is constant."""

    shift: float = 0.0
    """Added to whatever is not in the training part."""

    def load(self):
        rng = np.random.default_rng(0)
        x = np.concatenate([rng.normal(size=(40, 2)) * (1, 10), np.full((40, 1), 2.5)], axis=1)
        y = np.arange(40) % 2
        rows = Holdout().divide(Dataset(x, y, ("a", "b")), self.test, self.split_seed)
        x[np.concatenate(rows[1:])] += self.shift
        return Dataset(x, y, ("a", "b"))


def test_every_source_is_in_the_table():
    found = {
        cls
        for _, cls in inspect.getmembers(sources, inspect.isclass)
        if issubclass(cls, Source) and cls not in (Source, Named)
    }
    assert found == PUBLISHED.keys()


@every_source
def test_a_source_is_the_published_data(source):
    dataset, published = source().load(), PUBLISHED[source]()
    np.testing.assert_array_equal(dataset.x.reshape(published.data.shape), published.data)
    if "target_names" in published:
        np.testing.assert_array_equal(dataset.y, published.target)
        assert dataset.y.dtype.kind == "i"
        assert dataset.classes == tuple(map(str, published.target_names))
    else:
        np.testing.assert_array_equal(dataset.y, published.target[:, None])
        assert dataset.classes == ()
    if source is not Digits:  # whose features are pixels
        assert dataset.names == tuple(map(str, published.feature_names))


@every_source
def test_a_source_is_the_same_every_time(source):
    assert source().load().fingerprint == source(split_seed=3).load().fingerprint
    assert source().split().fingerprint == source().load().fingerprint


@pytest.mark.parametrize("rule", [Holdout(0.2), Fold(3, 1)], ids=str)
@every_source
def test_the_parts_of_a_split_are_the_rows_of_the_division(source, rule):
    unscaled = source(scale="none", test=0.1, split_seed=5)
    if source is Diabetes:
        unscaled = replace(unscaled, standardize_target=False)
    dataset, splits = unscaled.load(), unscaled.split(rule)
    assert splits.classes == dataset.classes
    for part, rows in zip(splits[:3], rule.divide(dataset, 0.1, 5), strict=True):
        np.testing.assert_array_equal(part.x, dataset.x[rows].reshape(part.x.shape))
        np.testing.assert_array_equal(part.y, dataset.y[rows])


@every_source
def test_features_are_scaled_by_the_training_part(source):
    dataset = source().load()
    x, rows = dataset.x.reshape(len(dataset.y), -1), Holdout().divide(dataset, 0.15, 0)
    for part, chosen in zip(source(scale="standard").split()[:3], rows, strict=True):
        deviation = x[rows.train].std(axis=0)
        expected = (x[chosen] - x[rows.train].mean(axis=0)) / np.where(deviation, deviation, 1)
        np.testing.assert_allclose(part.x, expected, rtol=1e-12, atol=1e-12)
    for part, chosen in zip(source(scale="unit").split()[:3], rows, strict=True):
        low, high = x[rows.train].min(), x[rows.train].max()
        np.testing.assert_allclose(part.x, (x[chosen] - low) / (high - low), rtol=1e-12)


def test_targets_are_scaled_by_the_training_part():
    y, rows = Diabetes().load().y, Holdout().divide(Diabetes().load(), 0.15, 0)
    for part, chosen in zip(Diabetes().split()[:3], rows, strict=True):
        expected = (y[chosen] - y[rows.train].mean()) / y[rows.train].std()
        np.testing.assert_allclose(part.y, expected, rtol=1e-12)


@pytest.mark.parametrize("scale", ["unit", "standard"])
def test_what_is_not_for_training_does_not_touch_what_is(scale):
    plain, shifted = Table(scale).split(), Table(scale, shift=1000.0).split()
    np.testing.assert_array_equal(plain.train.x, shifted.train.x)
    for part in ("validation", "test"):
        assert (getattr(plain, part).x != getattr(shifted, part).x).any()


def test_a_constant_feature_becomes_zero():
    for part in Table("standard").split()[:3]:
        np.testing.assert_array_equal(part.x[:, 2], 0)


def test_pixels_are_scaled_to_the_unit_interval_by_default():
    x = Digits().split().train.x
    assert (x.min(), x.max()) == (0, 1)


LAWS = {  # field: (values that break the law, what the message says)
    "scale": [("standrd", "none, standard, unit"), ("", "none, standard, unit")],
    "test": [(-0.1, "0 <= test < 1"), (1.0, "0 <= test < 1"), (nan, "test")],
    "split_seed": [(-1, "split_seed >= 0")],
}


@every_source
@pytest.mark.parametrize(
    ("field", "bad", "said"), [(field, *row) for field, rows in LAWS.items() for row in rows]
)
def test_a_value_out_of_range_is_refused(source, field, bad, said):
    with pytest.raises(LawError, match=f"{re.escape(said)}.*{field}={bad}") as error:
        source(**{field: bad})
    assert error.value.field == field


@every_source
def test_a_test_part_is_needed_where_the_data_name_none(source):
    with pytest.raises(LawError, match=r"`0 < test < 1` must hold, but got test=0"):
        source(test=0.0).split()


def test_without_scikit_learn_the_error_says_so(monkeypatch):
    sources._read.cache_clear()
    monkeypatch.setattr(sources, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"iris\.csv comes with scikit-learn"):
        Iris().load()

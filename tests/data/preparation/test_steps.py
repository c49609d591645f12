"""What holds of every step: of `features` and `preparation`, whoever adds one."""

from dataclasses import MISSING, fields

import numpy as np
import pytest
import yaml

from nnlab.core.laws import LawError
from nnlab.data.dataset import Dataset
from nnlab.data.preparation.pipeline import Preparation, prepare
from nnlab.data.validation import Division
from nnlab.data.view import View
from nnlab.runs.compose import packaged
from nnlab.runs.registry import GROUPS

SMALLER = {
    "pca": {"components": 5},
    "subset": {"n": 20},
    "visual_words": {"words": 8, "sample": 400},
}
"""Fields for data as small as here."""
PRODUCTS = {"pca", "zca", "visual_words"}
"""Matrix products, which BLAS may round otherwise for another number of rows."""
RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 2], [30, 20, 10])[RNG.permutation(60)]
KINDS = {
    "features": RNG.normal(3, 2, (60, 12)),
    "grey images": RNG.integers(0, 256, (60, 18, 16), np.uint8),
    "images": RNG.integers(0, 256, (60, 18, 16, 3), np.uint8),
}
DIVISION = Division(np.arange(1, 45), np.r_[0, 45:52], np.arange(52, 60))

CHOICES = [(group, name) for group in ("features", "preparation") for name in GROUPS[group]]
FITTED = [row for row in CHOICES if hasattr(GROUPS[row[0]][row[1]], "fit")]
RESAMPLING = [row for row in CHOICES if row not in FITTED]
every_choice = pytest.mark.parametrize(("group", "name"), CHOICES)
every_fitted = pytest.mark.parametrize(("group", "name"), FITTED)
every_resampling = pytest.mark.parametrize(("group", "name"), RESAMPLING)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def small(group, name):
    return GROUPS[group][name](**SMALLER.get(name, {}))


def viewed(x, dtype):
    return View(x, np.arange(len(x)), (), dtype)


def taken(group, name, dtype=np.float64, seed=0):
    """`(x in dtype, what is fitted to it)` for the kinds of data that a step takes."""
    found = []
    for kind, x in KINDS.items():
        if group == "features" and kind == "features":
            continue  # that they are images is checked for all features together
        try:
            fitted = small(group, name).fit(viewed(x, dtype), np.random.default_rng(seed))
        except LawError:
            assert kind != "images", "every step takes images in colour"
        else:
            found.append((x.astype(dtype), fitted))
    return found


def prepared(group, name, dataset, seed=0):
    step = small(group, name)
    preparation = Preparation(features=(step,)) if group == "features" else Preparation((), (step,))
    return prepare(dataset, DIVISION, preparation, [], None, seed)


@pytest.fixture(autouse=True)
def a_cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("NNLAB_DATA", str(tmp_path))


def test_the_groups_have_both_sorts_of_steps():
    assert len(FITTED) >= 3
    assert {name for _, name in RESAMPLING} == {"subset", "label_noise", "balance", "smote"}


@pytest.mark.parametrize(
    ("group", "name"),
    [*CHOICES, *(("augmentation", name) for name in GROUPS["augmentation"])],
)
def test_its_file_says_its_name_and_its_defaults(group, name):
    file = packaged("conf") / group / f"{name}.yaml"
    defaults = {field.name: field.default for field in fields(GROUPS[group][name])}
    assert MISSING not in defaults.values()
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == {name: defaults}
    assert GROUPS[group][name].name == name
    GROUPS[group][name](**defaults)


@every_fitted
@both_dtypes
def test_a_row_is_prepared_alike_whoever_is_beside_it(group, name, dtype):
    for x, transform in taken(group, name, dtype):
        whole = transform(x)
        assert len(whole) == len(x)
        for size in (1, 7):
            parts = [transform(x[start : start + size]) for start in range(0, len(x), size)]
            if name in PRODUCTS:
                rounding = 1000 * np.finfo(dtype).eps * max(np.abs(x).max(), np.abs(whole).max())
                np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=rounding)
            else:
                assert np.concatenate(parts).tobytes() == whole.tobytes()


@every_fitted
@both_dtypes
def test_it_keeps_the_dtype_and_leaves_its_input_alone(group, name, dtype):
    for x, transform in taken(group, name, dtype):
        before = x.copy()
        out = transform(x)
        assert out.dtype == dtype
        assert np.isfinite(out).all()
        assert x.tobytes() == before.tobytes()
        assert not np.shares_memory(out, x) or out.tobytes() == before.tobytes()


@every_fitted
def test_what_it_learns_is_plain_numbers_and_the_same_every_time(group, name):
    for (x, first), (_, again) in zip(taken(group, name), taken(group, name), strict=True):
        assert first.arrays.keys() == again.arrays.keys()
        for key, array in first.arrays.items():
            assert array.dtype.kind in "fiu"
            assert np.isfinite(array).all()
            assert array.tobytes() == again.arrays[key].tobytes()
        assert first(x).tobytes() == again(x).tobytes()
        assert first.cheap in (True, False)


@every_choice
def test_the_data_are_left_alone(group, name):
    x, y = KINDS["images"].copy(), LABELS.copy()
    prepared(group, name, Dataset(x, y, ("a", "b", "c")))
    np.testing.assert_array_equal(x, KINDS["images"])
    np.testing.assert_array_equal(y, LABELS)


@every_choice
def test_what_is_not_for_training_does_not_touch_what_is(group, name):
    x, y = KINDS["images"].copy(), LABELS.copy()
    plain = prepared(group, name, Dataset(KINDS["images"], LABELS, ("a", "b", "c")))
    others = np.concatenate(DIVISION[1:])
    x[others] = x[others[::-1]]
    y[others] = (y[others] + 1) % 3
    changed = prepared(group, name, Dataset(x, y, ("a", "b", "c")))
    np.testing.assert_array_equal(plain.train.x[:], changed.train.x[:])
    np.testing.assert_array_equal(plain.train.y, changed.train.y)
    assert plain.fitted.keys() == changed.fitted.keys()
    for key, array in plain.fitted.items():
        np.testing.assert_array_equal(array, changed.fitted[key])
    assert (plain.validation.x[:] != changed.validation.x[:]).any()


@every_resampling
def test_only_the_training_part_is_resampled(group, name):
    dataset = Dataset(KINDS["features"], LABELS, ("a", "b", "c"))
    splits = prepared(group, name, dataset)
    for part, rows in zip(splits[1:3], DIVISION[1:], strict=True):
        np.testing.assert_array_equal(part.x, dataset.x[rows])
        np.testing.assert_array_equal(part.y, dataset.y[rows])
    train = set(map(bytes, dataset.x[DIVISION.train]))
    kept = [row for row in splits.train.x if bytes(row) in train]
    assert name == "smote" or len(kept) == len(splits.train.x)
    assert len(splits.train.x) == len(splits.train.y)


@every_resampling
def test_weights_go_with_their_examples(group, name):
    weights = np.arange(60) + 1.0
    dataset = Dataset(KINDS["features"], LABELS, ("a", "b", "c"), weights)
    splits = prepared(group, name, dataset)
    assert len(splits.train.weights) == len(splits.train.x)
    for row, weight in zip(splits.train.x, splits.train.weights, strict=True):
        (same,) = np.where((dataset.x == row).all(axis=1))
        assert weight == (weights[same[0]] if len(same) else 1)


@every_choice
def test_another_seed_draws_otherwise_and_the_same_alike(group, name):
    dataset = Dataset(KINDS["images"], LABELS, ("a", "b", "c"))
    first, again = (prepared(group, name, dataset, seed) for seed in (3, 3))
    assert first.train.x[:].tobytes() == again.train.x[:].tobytes()
    assert first.train.y.tobytes() == again.train.y.tobytes()
    other = prepared(group, name, dataset, 4)
    differs = first.train.x[:].tobytes() != other.train.x[:].tobytes() or (
        first.train.y.tobytes() != other.train.y.tobytes()
    )
    drawn = {name for _, name in RESAMPLING} | {"visual_words"}
    assert differs == (name in drawn)

"""What holds of every synthetic data set."""

import re
from math import nan

import numpy as np
import pytest

from nnlab.core.laws import LawError
from nnlab.data.sources.synthetic.curves import Curve
from nnlab.data.sources.synthetic.synthetic import Synthetic
from nnlab.runs.registry import GROUPS

SOURCES = [cls for cls in GROUPS["data"].values() if issubclass(cls, Synthetic)]
every_source = pytest.mark.parametrize("source", SOURCES, ids=lambda cls: cls.__name__)


def test_every_kind_is_there():
    assert [name for name, cls in GROUPS["data"].items() if cls in SOURCES] == [
        *("line", "parabola", "formula", "spirals", "moons", "xor", "checkerboard", "blobs"),
        "gaussian_mixture",
    ]


@every_source
def test_it_is_determined_by_its_fields_alone(source):
    first, again = source().load(), source().load()
    np.testing.assert_array_equal(first.x, again.x)
    np.testing.assert_array_equal(first.y, again.y)
    assert first.fingerprint == again.fingerprint


@every_source
@pytest.mark.parametrize("change", [{"seed": 1}, {"noise": 0.05}, {"examples": 999}], ids=str)
def test_seed_noise_and_size_change_it(source, change):
    assert source(**change).load().fingerprint != source().load().fingerprint


@every_source
def test_how_it_is_divided_and_scaled_does_not_change_it(source):
    other = source(scale="unit", test=0.3, split_seed=9)
    assert other.load().fingerprint == source().load().fingerprint


@every_source
@pytest.mark.parametrize("examples", [7, 100, 1001])
def test_shapes_dtypes_names_and_balance(source, examples):
    dataset = source(examples=examples).load()
    assert len(dataset.x) == len(dataset.y) == examples
    assert dataset.x.dtype == np.float64
    assert dataset.x.ndim == 2
    assert np.isfinite(dataset.x).all()
    assert len(dataset.names) == dataset.x.shape[1]
    assert source.__name__ in dataset.origin
    assert str(examples) in dataset.origin
    if issubclass(source, Curve):
        assert dataset.classes == ()
        assert dataset.y.shape == (examples, 1)
        assert dataset.y.dtype == np.float64
    else:
        counts = np.bincount(dataset.y)
        assert len(counts) == len(dataset.classes)
        assert counts.max() - counts.min() <= 1
        assert dataset.y.dtype == np.int64


@every_source
def test_noise_moves_the_same_examples_by_so_much(source):
    """x or y = law + noise * n with n standard normal, the same n for every amount."""
    of_noise = {noise: source(noise=noise, examples=4000).load() for noise in (0, 0.01, 0.02)}
    values = {
        noise: one.y if issubclass(source, Curve) else one.x for noise, one in of_noise.items()
    }
    n = (values[0.02] - values[0]) / 0.02
    np.testing.assert_allclose((values[0.01] - values[0]) / 0.01, n, atol=1e-10)
    assert abs(n.mean()) < 4 / np.sqrt(n.size)
    assert abs(n.std() - 1) < 4 / np.sqrt(2 * n.size)
    for one in of_noise.values():
        np.testing.assert_array_equal(
            one.x if issubclass(source, Curve) else one.y,
            of_noise[0].x if issubclass(source, Curve) else of_noise[0].y,
        )


@pytest.mark.parametrize("seed", [0, 5])
def test_the_stream_that_divides_the_examples_does_not_make_them(seed):
    x = GROUPS["data"]["line"](seed=seed, split_seed=seed).load().x[:, 0]
    assert not np.isin(x, np.random.default_rng(seed).uniform(-1, 1, 1000)).any()


@every_source
def test_it_splits(source):
    splits = source(examples=100).split()
    assert sum(len(part.x) for part in splits[:3]) == 100


LAWS = {  # field: (values that break the law, what the message says)
    "examples": [(0, "<= examples"), (-1, "<= examples"), (10**9, "examples <= 100000000")],
    "noise": [(-0.1, "noise >= 0"), (nan, "noise >= 0")],
    "seed": [(-1, "seed >= 0")],
    "scale": [("standrd", "none, standard, unit")],
}


@every_source
@pytest.mark.parametrize(
    ("field", "bad", "said"), [(field, *row) for field, rows in LAWS.items() for row in rows]
)
def test_a_value_out_of_range_is_refused(source, field, bad, said):
    with pytest.raises(LawError, match=f"{re.escape(said)}.*{field}={bad}") as error:
        source(**{field: bad})
    assert error.value.field == field


TWO_CLASSES = ("spirals", "moons", "xor", "checkerboard", "gaussian_mixture")
OWN_LAWS = [
    ("line", {"low": 1.0}, "low < high", "low"),
    ("formula", {"inputs": 0}, "1 <= inputs <= 1000", "inputs"),
    *((name, {"examples": 1}, "2 <= examples", "examples") for name in TWO_CLASSES),
    ("spirals", {"turns": 0.0}, "turns > 0", "turns"),
    ("checkerboard", {"squares": 1}, "2 <= squares", "squares"),
    ("blobs", {"classes": 1}, "2 <= classes <= 10000", "classes"),
    ("blobs", {"classes": 11, "examples": 10}, "classes <= examples", "classes"),
    ("blobs", {"features": 0}, "1 <= features", "features"),
    ("blobs", {"features": 10**9}, "features <= 1000000", "features"),
    ("blobs", {"spread": 1e308}, "2 * spread is finite", "spread"),
    ("line", {"low": -1e308, "high": 1e308}, "high - low is finite", "high"),
    ("blobs", {"spread": -1.0}, "spread >= 0", "spread"),
    ("gaussian_mixture", {"means": 0}, "1 <= means", "means"),
    ("gaussian_mixture", {"means": 10**12}, "means <= 1000000", "means"),
]


@pytest.mark.parametrize(("name", "changes", "said", "field"), OWN_LAWS)
def test_a_field_of_its_own_out_of_range_is_refused(name, changes, said, field):
    with pytest.raises(LawError, match=re.escape(said)) as error:
        GROUPS["data"][name](**changes)
    assert error.value.field == field


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("line", {"slope": 1e308, "low": -100.0, "high": 100.0}),
        ("line", {"noise": 1e308}),
        ("parabola", {"a": 1e308, "low": -100.0, "high": 100.0}),
        ("blobs", {"noise": 1e308}),
        ("moons", {"noise": 1e308}),
        ("spirals", {"turns": 1e308}),
    ],
)
def test_numbers_too_large_for_the_examples_are_refused(name, changes):
    source = GROUPS["data"][name](**changes)
    what = "target" if isinstance(source, Curve) else "input"
    with pytest.raises(LawError, match=rf"`every {what} is finite` .* of 1,000 are not") as error:
        source.load()
    assert error.value.field == "data"


@pytest.mark.parametrize(
    ("name", "changes", "shape"),
    [
        ("formula", {"inputs": 1000}, "4 x 100,000,000 x 1,000"),
        ("blobs", {"features": 10**6}, "4 x 100,000,000 x 1,000,000"),
    ],
)
def test_what_no_machine_holds_is_refused_before_it_is_made(name, changes, shape):
    with pytest.raises(LawError, match=f"{shape}.*choose fewer examples or inputs") as error:
        GROUPS["data"][name](examples=10**8, **changes).load()
    assert error.value.field == "examples"

"""What holds of every augmentation."""

from dataclasses import replace

import numpy as np
import pytest

from nnlab.core.laws import LawError
from nnlab.data.augmentation.crop import Crop
from nnlab.data.augmentation.flip import Flip
from nnlab.data.augmentation.mixup import Mixup
from nnlab.data.augmentation.shift import Shift
from nnlab.runs.registry import GROUPS

STRENGTH = {Mixup: "alpha", Flip: "probability", Crop: "padding", Shift: "pixels"}
"""The field of each that is 0 where nothing is to happen."""
SHAPES = [(5, 4), (4, 6, 3), (28, 28)]
CHANGES = [*(change() for change in STRENGTH), Crop(3, "reflect")]
every_change = pytest.mark.parametrize("change", CHANGES, ids=repr)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def batch(m, shape, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(m, int(np.prod(shape)))).astype(dtype)
    return x, np.eye(3, dtype=dtype)[rng.integers(3, size=m)]


def changed(change, m, shape, seed=0, dtype=np.float32):
    return change(*batch(m, shape, dtype), shape, np.random.default_rng(seed))


def test_every_augmentation_is_in_the_table():
    assert set(GROUPS["augmentation"].values()) == STRENGTH.keys()


@every_change
@every_shape
@pytest.mark.parametrize("m", [1, 2, 33, 300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shape_and_dtype_stay(change, shape, m, dtype):
    x, y = batch(m, shape, dtype)
    new_x, new_y = change(x.copy(), y.copy(), shape, np.random.default_rng(0))
    assert (new_x.shape, new_x.dtype) == (x.shape, dtype)
    assert (new_y.shape, new_y.dtype) == (y.shape, dtype)
    assert np.isfinite(new_x).all()
    if not change.mixes_targets:
        np.testing.assert_array_equal(new_y, y)


@every_change
@every_shape
def test_the_same_draws_give_the_same_bits_and_others_do_not(change, shape):
    first, again, other = (changed(change, 50, shape, seed) for seed in (3, 3, 4))
    for one, same in zip(first, again, strict=True):
        assert one.tobytes() == same.tobytes()
    assert (first[0] != other[0]).any()


@every_change
@every_shape
def test_at_zero_strength_nothing_happens(change, shape):
    still = replace(change, **{STRENGTH[type(change)]: 0})
    for one, before in zip(changed(still, 9, shape), batch(9, shape), strict=True):
        assert one.tobytes() == before.tobytes()


@pytest.mark.parametrize("change", [Flip(), Crop(), Shift()], ids=lambda one: one.name)
def test_what_changes_images_refuses_what_is_none(change):
    change.check((28, 28))
    change.check((32, 32, 3))
    for shape in ((64,), (2, 3, 4, 5)):
        with pytest.raises(LawError, match=f"{change.name} needs images.*choose data of") as error:
            change.check(shape)
        assert error.value.field == f"augmentation.{change.name}"


def test_anything_can_be_mixed():
    for shape in ((64,), (28, 28), (32, 32, 3)):
        Mixup().check(shape)


@pytest.mark.parametrize(("change", "field"), [(Crop, "padding"), (Shift, "pixels")])
def test_an_image_is_not_moved_out_of_itself(change, field):
    change(4).check((5, 9))
    with pytest.raises(LawError, match=f"{field}=5 for images of 9 x 5") as error:
        change(5).check((9, 5, 3))
    assert error.value.field == f"augmentation.{change.name}.{field}"


@pytest.mark.parametrize(
    ("change", "field", "bad", "said"),
    [
        (Mixup, "alpha", -0.1, "alpha >= 0"),
        (Mixup, "alpha", float("nan"), "alpha >= 0"),
        (Flip, "probability", 1.5, "0 <= probability <= 1"),
        (Flip, "probability", -0.5, "0 <= probability <= 1"),
        (Crop, "padding", -1, "padding >= 0"),
        (Crop, "edge", "wrap", "reflect, zero"),
        (Shift, "pixels", -1, "pixels >= 0"),
    ],
)
def test_a_value_out_of_range_is_refused(change, field, bad, said):
    with pytest.raises(LawError, match=f"{said}.*{field}={bad}") as error:
        change(**{field: bad})
    assert error.value.field == field

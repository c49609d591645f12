"""The preparation as a whole."""

from dataclasses import dataclass

import numpy as np
import pytest

from nnlab.core.laws import LawError
from nnlab.data.dataset import Dataset
from nnlab.data.preparation.label_noise import LabelNoise
from nnlab.data.preparation.pipeline import Preparation
from nnlab.data.preparation.scaling import Standard
from nnlab.data.preparation.subset import Subset
from nnlab.data.sources.bundled import Digits, Iris
from nnlab.data.sources.source import Source
from nnlab.data.validation import Holdout
from nnlab.data.view import View


def split(source, *steps):
    return source.split(Holdout(), Preparation(steps=steps))


def test_what_a_step_draws_does_not_depend_on_the_steps_before_it():
    noise = LabelNoise(fraction=0.2)
    plain = split(Iris(scale="none"), noise).train.y
    for source, steps in ((Iris(scale="standard"), ()), (Iris(scale="none"), (Standard(),))):
        np.testing.assert_array_equal(split(source, *steps, noise).train.y, plain)
    twice = split(Iris(scale="none"), noise, noise).train.y
    assert (twice != plain).any()  # the second one draws anew


def test_the_other_parts_stay_what_they_are():
    plain, changed = split(Iris()), split(Iris(), LabelNoise(fraction=0.5), Subset(n=20))
    assert len(changed.train.y) == 20
    for one, other in zip(plain[1:3], changed[1:3], strict=True):
        np.testing.assert_array_equal(one.x, other.x)
        np.testing.assert_array_equal(one.y, other.y)


@dataclass(frozen=True)
class Rare(Source):
    """Two examples of class b, one of which is held out."""

    def load(self):
        y = np.array([0] * 18 + [1] * 2)
        return Dataset(np.arange(20.0)[:, None], y, ("a", "b"))


def test_a_class_without_a_training_example_is_refused():
    with pytest.raises(LawError, match=r"`every class has a training example`.*none of b") as error:
        Rare(test=0.5).split(Holdout(0.3))
    assert error.value.field == "train"


@dataclass(frozen=True)
class Bytes(Source):
    """The digits as bytes."""

    scale: str = "unit"

    def load(self):
        digits = Digits().load()
        return Dataset(digits.x.astype(np.uint8), digits.y, digits.classes)


def test_bytes_are_held_as_they_are_and_give_what_floats_give():
    views, floats = Bytes().split(), Digits().split()
    assert isinstance(views.train.x, View)
    assert views.shape == (8, 8)
    for part, exact in zip(views[:3], floats[:3], strict=True):
        assert part.x[:].dtype == np.float32
        np.testing.assert_allclose(part.x[:], exact.x, rtol=1e-6)
        rows = np.array([3, 1, 1])
        np.testing.assert_array_equal(part.x[rows], part.x[:][rows])
        out = np.empty((3, 64), np.float32)
        np.testing.assert_array_equal(part.x.take(rows, 0, out), part.x[rows])

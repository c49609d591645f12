import re
from dataclasses import fields
from math import inf, nan

import numpy as np
import pytest

from nnlab.core.arrays import Hyper
from nnlab.core.averaging import EMA
from nnlab.core.laws import LawError, law, nearest, one_of
from nnlab.core.losses import Hinge, SquaredHinge
from nnlab.core.model import MLP, Linear
from nnlab.core.optimizers import NAG, SGD, Adam, Momentum
from nnlab.core.penalties import L1, L2, Elastic
from nnlab.core.schedules import Cosine, Step

# (class, field): the law, values that break it, values at its edge that do not
LAWS = {
    (SGD, "lr"): ("lr > 0", [0.0, -0.1, nan], [1e-300]),
    (Momentum, "lr"): ("lr > 0", [0.0, -0.1, nan], [1e-300]),
    (Momentum, "momentum"): ("0 <= momentum < 1", [-0.1, 1.0, 1.5, nan], [0.0, 0.999]),
    (NAG, "lr"): ("lr > 0", [0.0, -0.1, nan], [1e-300]),
    (NAG, "momentum"): ("0 <= momentum < 1", [-0.1, 1.0, 1.5, nan], [0.0, 0.999]),
    (Adam, "lr"): ("lr > 0", [0.0, -0.1, nan], [1e-300]),
    (Adam, "beta1"): ("0 <= beta1 < 1", [-0.1, 1.0, nan], [0.0, 0.999]),
    (Adam, "beta2"): ("0 <= beta2 < 1", [-0.1, 1.0, nan], [0.0, 0.9999]),
    (Adam, "epsilon"): ("epsilon > 0", [0.0, -1e-8, nan], [1e-300]),
    (EMA, "decay"): ("0 <= decay < 1", [-0.1, 1.0, 1.5, nan], [0.0, 0.9999]),
    (L1, "l1"): ("l1 >= 0", [-1e-9, -inf, nan], [0.0]),
    (L2, "l2"): ("l2 >= 0", [-1e-9, -inf, nan], [0.0]),
    (Elastic, "l1"): ("l1 >= 0", [-1e-9, nan], [0.0]),
    (Elastic, "l2"): ("l2 >= 0", [-1e-9, nan], [0.0]),
    (Hinge, "delta"): ("delta > 0", [0.0, -1.0, nan], [1e-9]),
    (SquaredHinge, "delta"): ("delta > 0", [0.0, -1.0, nan], [1e-9]),
    (Step, "gamma"): ("0 < gamma <= 1", [0.0, 1.5, nan], [1e-9, 1.0]),
    (Cosine, "final"): ("0 <= final <= 1", [-0.1, 1.1, nan], [0.0, 1.0]),
    (MLP, "hidden"): ("every width in hidden >= 1", [[0], [5, 0], [-3, 5]], [(), (1,), (1, 1)]),
}
UNKNOWN_NAMES = {  # (class, field): (a misspelling, the known names, what was meant)
    (Linear, "initialiser"): ("norml", "he, normal, xavier, zeros", "normal"),
    (MLP, "initialiser"): ("xaviar", "he, normal, xavier, zeros", "xavier"),
    (MLP, "activation"): ("rleu", "relu, sigmoid, tanh", "relu"),
}
DURATIONS = {(Step, "every"), (Cosine, "over")}
COLUMNS = [
    (cls, field.name)
    for cls in {cls for cls, _ in LAWS}
    for field in fields(cls)
    if field.type == Hyper
]


def name(value):
    return getattr(value, "__name__", str(value))


def test_every_argument_but_yes_or_no_is_in_a_table(any_class):
    checked = LAWS.keys() | UNKNOWN_NAMES.keys() | DURATIONS
    for field in fields(any_class):
        if hasattr(any_class, "__post_init__") and field.type is not bool:
            assert (any_class, field.name) in checked


@pytest.mark.parametrize(("cls", "field"), LAWS, ids=name)
def test_a_value_out_of_range_is_refused_with_the_law_and_the_value(cls, field):
    text, bad_values, _ = LAWS[cls, field]
    for bad in bad_values:
        with pytest.raises(LawError) as error:
            cls(**{field: bad})
        assert str(error.value) == f"`{text}` must hold, but got {field}={bad}"
        assert error.value.field == field


@pytest.mark.parametrize(("cls", "field"), LAWS, ids=name)
def test_a_value_at_the_edge_of_the_range_is_taken(cls, field):
    for good in LAWS[cls, field][2]:
        assert getattr(cls(**{field: good}), field) == good


@pytest.mark.parametrize(("cls", "field"), COLUMNS, ids=name)
def test_one_bad_number_in_a_column_is_refused(cls, field):
    text, bad_values, good_values = LAWS[cls, field]
    cls(**{field: np.full((3, 1), good_values[0])})
    for bad in bad_values:
        with pytest.raises(LawError, match=re.escape(f"`{text}` must hold, but got {field}=[[")):
            cls(**{field: np.array([[good_values[0]], [bad], [good_values[0]]])})


@pytest.mark.parametrize(("cls", "field"), UNKNOWN_NAMES, ids=name)
def test_an_unknown_name_lists_the_known_ones_and_the_nearest(cls, field):
    bad, known, meant = UNKNOWN_NAMES[cls, field]
    with pytest.raises(LawError) as error:
        cls(**{field: bad})
    assert str(error.value) == (
        f"{field} must be one of {known}, but got {field}={bad} (did you mean {meant}?)"
    )
    assert error.value.field == field


@pytest.mark.parametrize(("cls", "field"), DURATIONS, ids=name)
def test_a_bad_duration_is_refused_at_construction(cls, field):
    with pytest.raises(LawError, match=f"but got {field}='soon'") as error:
        cls(**{field: "soon"})
    assert error.value.field == field


def test_a_law_error_is_a_value_error():
    assert issubclass(LawError, ValueError)


def test_a_law_over_an_array_must_hold_everywhere():
    law("x > 0", np.array([True, True]), x=1)
    with pytest.raises(LawError):
        law("x > 0", np.array([True, False]), x=1)


def test_no_suggestion_where_no_known_name_is_near():
    assert nearest("zzz", ["relu", "tanh"]) == ""
    assert nearest("tanhh", ["relu", "tanh"]) == " (did you mean tanh?)"
    one_of({"relu"}, activation="relu")
    with pytest.raises(LawError, match=r"but got activation=zzz$"):
        one_of(["relu"], activation="zzz")
    with pytest.raises(LawError, match=r"but got activation=None$"):
        one_of(["relu"], activation=None)

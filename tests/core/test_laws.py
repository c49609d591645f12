import re
from dataclasses import fields
from math import inf, nan

import numpy as np
import pytest

from nnlab.core.adaptive import Adadelta, Adagrad, Adam, AdamW, Lion, Nadam, RMSProp
from nnlab.core.arrays import Hyper
from nnlab.core.averaging import EMA, SWA
from nnlab.core.clipping import ClipNorm, ClipValue
from nnlab.core.dropout import Dropout
from nnlab.core.gradients import Numerical
from nnlab.core.initialisers import Normal
from nnlab.core.laws import LawError, law, nearest, one_of
from nnlab.core.layers import Dense
from nnlab.core.lbfgs import LBFGS
from nnlab.core.losses import BinaryHinge, Hinge, Huber, SquaredHinge
from nnlab.core.model import MLP, Linear
from nnlab.core.normalisation import BatchNorm
from nnlab.core.optimizers import NAG, SGD, Momentum
from nnlab.core.penalties import L1, L2, Elastic
from nnlab.core.random_search import RandomLocalSearch, RandomSearch
from nnlab.core.schedules import (
    Cosine,
    Exponential,
    InverseTime,
    OneCycle,
    ReduceOnPlateau,
    Step,
)
from nnlab.core.smoothing import UniformSmoothing
from nnlab.core.surfaces import Parabola
from nnlab.core.warmup import LinearWarmup
from nnlab.core.weighting import ByClass


def positive(field):
    return f"{field} > 0", [0.0, -0.1, -inf, nan], [1e-300, 1e300]


def not_negative(field):
    return f"{field} >= 0", [-1e-9, -inf, nan], [0.0, 1e300]


def below_one(field):
    return f"0 <= {field} < 1", [-0.1, 1.0, 1.5, nan], [0.0, 0.9999]


def at_least_one(field):
    return f"{field} >= 1", [0, -1], [1, 10**6]


# (class, field): the law, values that break it, values at its edge that do not
LAWS = {
    (SGD, "lr"): positive("lr"),
    (Momentum, "lr"): positive("lr"),
    (Momentum, "momentum"): below_one("momentum"),
    (NAG, "lr"): positive("lr"),
    (NAG, "momentum"): below_one("momentum"),
    (Adagrad, "lr"): positive("lr"),
    (Adagrad, "epsilon"): positive("epsilon"),
    (Adadelta, "lr"): positive("lr"),
    (Adadelta, "rho"): below_one("rho"),
    (Adadelta, "epsilon"): positive("epsilon"),
    (RMSProp, "lr"): positive("lr"),
    (RMSProp, "rho"): below_one("rho"),
    (RMSProp, "epsilon"): positive("epsilon"),
    (Adam, "lr"): positive("lr"),
    (Adam, "beta1"): below_one("beta1"),
    (Adam, "beta2"): below_one("beta2"),
    (Adam, "epsilon"): positive("epsilon"),
    (AdamW, "lr"): positive("lr"),
    (AdamW, "beta1"): below_one("beta1"),
    (AdamW, "beta2"): below_one("beta2"),
    (AdamW, "epsilon"): positive("epsilon"),
    (AdamW, "weight_decay"): not_negative("weight_decay"),
    (Nadam, "lr"): positive("lr"),
    (Nadam, "beta1"): below_one("beta1"),
    (Nadam, "beta2"): below_one("beta2"),
    (Nadam, "epsilon"): positive("epsilon"),
    (Nadam, "momentum_decay"): not_negative("momentum_decay"),
    (Lion, "lr"): positive("lr"),
    (Lion, "beta1"): below_one("beta1"),
    (Lion, "beta2"): below_one("beta2"),
    (Lion, "weight_decay"): not_negative("weight_decay"),
    (RandomSearch, "std"): positive("std"),
    (RandomLocalSearch, "std"): positive("std"),
    (LBFGS, "lr"): ("0 < lr <= 1", [0.0, -0.1, 1.0001, inf, nan], [1e-300, 1.0]),
    (LBFGS, "iterations"): at_least_one("iterations"),
    (LBFGS, "memory"): ("1 <= memory <= 1000", [0, -1, 1001, 10**15], [1, 1000]),
    (ClipNorm, "norm"): ("0 < norm < inf", [0.0, -1.0, inf, nan], [1e-300, 1e300]),
    (ClipValue, "value"): positive("value"),
    (EMA, "decay"): below_one("decay"),
    (L1, "l1"): not_negative("l1"),
    (L2, "l2"): not_negative("l2"),
    (Elastic, "l1"): not_negative("l1"),
    (Elastic, "l2"): not_negative("l2"),
    (Hinge, "delta"): positive("delta"),
    (SquaredHinge, "delta"): positive("delta"),
    (BinaryHinge, "delta"): positive("delta"),
    (Huber, "delta"): positive("delta"),
    (Step, "gamma"): ("0 < gamma <= 1", [0.0, 1.5, nan], [1e-9, 1.0]),
    (Exponential, "gamma"): ("0 < gamma <= 1", [0.0, -0.5, 1.5, nan], [1e-9, 1.0]),
    (InverseTime, "decay"): not_negative("decay"),
    (Cosine, "final"): ("0 <= final <= 1", [-0.1, 1.1, nan], [0.0, 1.0]),
    (OneCycle, "rise"): ("0 < rise < 1", [0.0, 1.0, -0.1, nan], [1e-9, 0.9999]),
    (OneCycle, "initial"): ("initial >= 1", [0.0, 0.99, -2.0, nan], [1.0, 1e9]),
    (OneCycle, "final"): ("final >= 1", [0.0, 0.99, -2.0, nan], [1.0, 1e9]),
    (ReduceOnPlateau, "evaluations"): at_least_one("evaluations"),
    (ReduceOnPlateau, "gamma"): ("0 < gamma < 1", [0.0, 1.0, -0.1, nan], [1e-9, 0.9999]),
    (ReduceOnPlateau, "min_delta"): not_negative("min_delta"),
    (ReduceOnPlateau, "floor"): below_one("floor"),
    (Normal, "std"): positive("std"),
    (Numerical, "step"): ("1e-12 <= step <= 0.1", [0.0, -1e-5, 1e-300, 0.2, nan], [1e-12, 0.1]),
    (Dropout, "rate"): below_one("rate"),
    (UniformSmoothing, "epsilon"): below_one("epsilon"),
    (ByClass, "weights"): (
        "every weight >= 0, and one > 0",
        [[], [0.0, 0.0], [1.0, -1.0], [nan, 1.0], [1.0, nan]],
        [(1.0,), (0.0, 1.0), (2.0, 3.0, 0.0)],
    ),
    (MLP, "hidden"): ("every width in hidden >= 1", [[0], [5, 0], [-3, 5]], [(), (1,), (1, 1)]),
    (MLP, "dropout"): below_one("dropout"),
}
FUNCTIONS = "leaky_relu, relu, sigmoid, softmax, tanh"
OUTPUTS = "identity, leaky_relu, relu, sigmoid, softmax, tanh"
UNKNOWN_NAMES = {  # (class, field): (a misspelling, the known names, what was meant)
    (Linear, "output"): ("identiti", OUTPUTS, "identity"),
    (MLP, "output"): ("sofmax", OUTPUTS, "softmax"),
    (MLP, "activation"): ("rleu", FUNCTIONS, "relu"),
    (Numerical, "scheme"): ("centered", "central, forward", "central"),
    (ReduceOnPlateau, "direction"): ("minimise", "maximize, minimize", "minimize"),
}
DURATIONS = {
    (Cosine, "over"),
    (Exponential, "every"),
    (InverseTime, "every"),
    (LinearWarmup, "over"),
    (OneCycle, "over"),
    (Step, "every"),
    (SWA, "every"),
    (SWA, "start"),
}
LAWLESS = {
    (ReduceOnPlateau, "metric"),  # which metrics there are is known in training
    # layers are built by models, never configured
    (Dense, "name"),
    (Dense, "inputs"),
    (Dense, "outputs"),
    (BatchNorm, "name"),
    (BatchNorm, "units"),
    (BatchNorm, "momentum"),
    (BatchNorm, "epsilon"),
    (Dropout, "name"),
    (Parabola, "curvature"),  # any may be watched, saddles too
}
NEEDED = {Dropout: {"name": "dropout1"}}
COLUMNS = [
    (cls, field.name)
    for cls in dict.fromkeys(cls for cls, _ in LAWS)
    for field in fields(cls)
    if field.type == Hyper
]


def name(value):
    return getattr(value, "__name__", str(value))


def test_every_argument_but_yes_or_no_is_in_a_table(any_class):
    listed = LAWS.keys() | UNKNOWN_NAMES.keys() | DURATIONS | LAWLESS
    assert {field.name for field in fields(any_class) if field.type is not bool} == {
        field for cls, field in listed if cls is any_class
    }


@pytest.mark.parametrize(("cls", "field"), LAWS, ids=name)
def test_a_value_out_of_range_is_refused_with_the_law_and_the_value(cls, field):
    text, bad_values, _ = LAWS[cls, field]
    for bad in bad_values:
        with pytest.raises(LawError) as error:
            cls(**NEEDED.get(cls, {}), **{field: bad})
        assert str(error.value) == f"`{text}` must hold, but got {field}={bad}"
        assert error.value.field == field


@pytest.mark.parametrize(("cls", "field"), LAWS, ids=name)
def test_a_value_at_the_edge_of_the_range_is_taken(cls, field):
    for good in LAWS[cls, field][2]:
        assert getattr(cls(**NEEDED.get(cls, {}), **{field: good}), field) == good


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


@pytest.mark.parametrize(("cls", "field"), sorted(DURATIONS, key=repr), ids=name)
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

import itertools
import math
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnlab.errors import UserError
from nnlab.sweeps import points
from nnlab.sweeps.candidates import with_values
from nnlab.sweeps.parameters import parse_space
from nnlab.sweeps.space import Choices, Range, holds

LEGAL = {
    "floats": ({"low": 0.1, "high": 0.9}, Range(0.1, 0.9)),
    "whole numbers": ({"low": 1, "high": 9, "log": True}, Range(1, 9, log=True)),
    "not log": ({"low": -1.0, "high": 1.0, "log": False}, Range(-1.0, 1.0)),
    "a step": ({"low": 0.0, "high": 1.0, "step": 0.25}, Range(0.0, 1.0, step=0.25)),
    "a whole step": ({"low": 16, "high": 64, "step": 16}, Range(16, 64, step=16)),
    "a list": (["a", "b"], Choices(("a", "b"))),
    "choice": ({"choice": [1, 2.5, True]}, Choices((1, 2.5, True))),
    "choices": ({"choices": [1, 2.5, True]}, Choices((1, 2.5, True))),
    "lists to choose from": ([[8], [8, 8], []], Choices(([8], [8, 8], []))),
    "one choice": ([None], Choices((None,))),
}
NOT_A_SPEC = "parameters.x must be a range (low, high) or a list of choices, but is "
KNOWN = "; a range has low, high, log, step and when, a choice has choice and when"
ILLEGAL = {
    "text": ("abc", NOT_A_SPEC + "'abc'"),
    "number": (3, NOT_A_SPEC + "3"),
    "nothing": (None, NOT_A_SPEC + "None"),
    "a mistyped key": (
        {"low": 0, "hihg": 1},
        "parameters.x.hihg is not known (did you mean high?)" + KNOWN,
    ),
    "a far key": ({"low": 0, "high": 1, "zzz": 1}, "parameters.x.zzz is not known" + KNOWN),
    "a range and choices": (
        {"choice": [1], "low": 0},
        "parameters.x.low is not known" + KNOWN,
    ),
    "no low": ({"high": 1}, "parameters.x.low must be a number, but got None"),
    "no high": ({"low": 1}, "parameters.x.high must be a number, but got None"),
    "empty": ({}, "parameters.x.low must be a number, but got None"),
    "low is text": ({"low": "a", "high": 1}, "parameters.x.low must be a number, but got 'a'"),
    "high is true": ({"low": 0, "high": True}, "parameters.x.high must be a number, but got True"),
    "high is infinite": ({"low": 0, "high": inf}, "parameters.x.high must be finite, but got inf"),
    "log is text": (
        {"low": 1, "high": 2, "log": "yes"},
        "parameters.x.log must be true or false, but got 'yes'",
    ),
    "upside down": (
        {"low": 2, "high": 1},
        "`low < high` must hold, but got low=2, high=1 (parameters.x)",
    ),
    "one point": (
        {"low": 1.0, "high": 1.0},
        "`low < high` must hold, but got low=1.0, high=1.0 (parameters.x)",
    ),
    "not a number": ({"low": nan, "high": 1.0}, "parameters.x.low must be finite, but got nan"),
    "log of zero": (
        {"low": 0.0, "high": 1.0, "log": True},
        "`low > 0` must hold where log is true, but got low=0.0 (parameters.x)",
    ),
    "log and step": (
        {"low": 1, "high": 8, "log": True, "step": 2},
        "a range has log or step, not both; list the values as choices (parameters.x)",
    ),
    "no step": (
        {"low": 0, "high": 1, "step": 0},
        "`0 < step <= high - low` must hold, but got step=0 (parameters.x)",
    ),
    "a step too far": (
        {"low": 0, "high": 1, "step": 1.5},
        "`0 < step <= high - low` must hold, but got step=1.5 (parameters.x)",
    ),
    "a step of text": (
        {"low": 0, "high": 1, "step": "a"},
        "parameters.x.step must be a number, but got 'a'",
    ),
    "no choices": ([], "parameters.x must list at least one choice, but got []"),
    "choices is text": (
        {"choice": "abc"},
        "parameters.x must list at least one choice, but got 'abc'",
    ),
    "choices is nothing": (
        {"choice": None},
        "parameters.x must list at least one choice, but got None",
    ),
    "a choice twice": (["a", "b", "a"], "parameters.x lists a choice twice: ['a', 'b', 'a']"),
    "the same label": ([True, "True"], "parameters.x lists a choice twice: [True, 'True']"),
    "when is text": (
        {"choice": [1], "when": "fine"},
        "parameters.x.when must map another parameter to its choice, as in "
        "{optimizer: momentum}, but got 'fine'",
    ),
    "when looks at nothing": (
        {"choice": [1], "when": {"fin": 1}},
        "parameters.x.when looks at fin, which is not a parameter (did you mean fine?); "
        "the parameters are fine, few, x",
    ),
    "when looks at a range": (
        {"choice": [1], "when": {"fine": 1}},
        "parameters.x.when can look at choices only, but fine is a range",
    ),
    "when waits for no choice": (
        {"choice": [1], "when": {"few": ["a", "d"]}},
        "parameters.x.when waits for few=d, which is no choice of it; the choices are a, b",
    ),
    "when looks at itself": (
        {"choice": [1], "when": {"x": 1}},
        "the conditions of x wait for each other; one of them must exist without `when`",
    ),
}
FINE = {"fine": {"low": 0, "high": 1}, "few": ["a", "b"]}
CONFIG = {"seed": 0, "optimizer": {"name": "sgd", "lr": 0.1}, "model": {"hidden": [64]}}


@pytest.mark.parametrize(("spec", "parameter"), LEGAL.values(), ids=LEGAL)
def test_a_space_is_read(spec, parameter):
    assert parse_space({"x": spec}) == {"x": parameter}


@pytest.mark.parametrize(("spec", "message"), ILLEGAL.values(), ids=ILLEGAL)
def test_what_is_no_space_is_refused_with_its_key_and_the_law(spec, message):
    with pytest.raises(UserError) as error:
        parse_space({**FINE, "x": spec})
    assert str(error.value) == message


@pytest.mark.parametrize("nothing", [None, {}, [], "x", 3])
def test_a_sweep_without_parameters_is_refused(nothing):
    with pytest.raises(UserError) as error:
        parse_space(nothing)
    assert str(error.value) == (
        f"parameters must name at least one key, but got parameters={nothing!r}"
    )


def test_a_parameter_comes_after_those_that_it_looks_at():
    space = parse_space(
        {
            "d": {"choice": [1, 2], "when": {"c": 1}},
            "c": {"choice": [1, 2], "when": {"a": [1, 3]}},
            "b": {"low": 0, "high": 1},
            "a": [1, 2, 3],
        }
    )
    assert list(space) == ["b", "a", "c", "d"]
    assert space["c"].when == {"a": (1, 3)}
    assert [holds(space["c"], {"a": a}) for a in (1, 2, 3)] == [True, False, True]
    assert not holds(space["d"], {"a": 2})  # c does not exist


def test_conditions_that_wait_for_each_other_are_refused():
    with pytest.raises(UserError, match="the conditions of a, b wait for each other"):
        parse_space(
            {
                "z": [1],
                "a": {"choice": [1], "when": {"b": 1}},
                "b": {"choice": [1], "when": {"a": 1}},
            }
        )


def test_the_ends_of_a_parameter():
    assert Range(0.5, 2.5).ends() == (0.5, 2.5)
    assert Range(16, 100, step=16).ends() == (16, 96)
    assert Range(0.1, 1.0, step=0.2).ends() == (0.1, 0.9)
    assert Choices(("a", "b", "c")).ends() == ("a", "b", "c")


def test_a_choice_is_suggested_by_its_label_and_keeps_its_type():
    choices = Choices((8, "8x", [8], None, 0.5))
    assert choices.labels == ("8", "8x", "[8]", "None", "0.5")
    assert [choices.value(label) for label in choices.labels] == [8, "8x", [8], None, 0.5]
    assert [choices.suggestion(value) for value in choices.values] == list(choices.labels)


def test_steps_are_decimal_numbers():
    parameter = Range(0.1, 0.5, step=0.1)
    assert [parameter.at_index(k) for k in range(int(parameter.points))] == [
        0.1,
        0.2,
        0.3,
        0.4,
        0.5,
    ]


RANGES = st.one_of(
    st.tuples(st.integers(1, 50), st.integers(1, 50), st.none() | st.integers(1, 9), st.booleans()),
    st.tuples(
        st.floats(1e-3, 1e3),
        st.floats(1e-3, 1e3),
        st.none() | st.floats(1e-3, 1e3),
        st.booleans(),
    ),
)


@given(RANGES, st.floats(0, 1, exclude_max=True))
def test_every_quantile_is_a_value_within_the_bounds(drawn, u):
    low, width, step, log = drawn
    if step is not None and (step > width or log):
        step = None
    parameter = Range(low, low + width, log, step)
    if not parameter.low < parameter.high:
        return
    value = parameter.at(u)
    assert parameter.low <= value <= parameter.high
    assert parameter.has(value)
    assert isinstance(value, int) == parameter.whole
    assert parameter.value(parameter.suggestion(value)) == value


def test_quantiles_are_uniform_or_log_uniform():
    us = (np.arange(1000) + 0.5) / 1000
    counts = np.bincount([Range(1, 4).at(u) for u in us])[1:]
    assert counts.tolist() == [250] * 4
    logs = np.log10([Range(1e-4, 1.0, log=True).at(u) for u in us])
    assert np.allclose(logs, -4 + 4 * us)
    few = [Choices("abc").at(u) for u in us]
    assert [few.count(letter) for letter in "abc"] == pytest.approx([333, 333, 334], abs=1)
    whole = np.bincount([Range(1, 8, log=True).at(u) for u in us])[1:]
    wanted = [math.log((k + 0.5) / (k - 0.5)) / math.log(8.5 / 0.5) for k in range(1, 9)]
    assert whole / 1000 == pytest.approx(wanted, abs=0.002)


HAS = [
    (Range(1, 4), 2, True),
    (Range(1, 4), 2.0, False),
    (Range(1, 4), 5, False),
    (Range(1, 4), True, False),
    (Range(0.0, 1.0), 1, True),
    (Range(0.0, 1.0), nan, False),
    (Range(0.0, 1.0), "0.5", False),
    (Range(0.0, 1.0, step=0.25), 0.75, True),
    (Range(0.0, 1.0, step=0.25), 0.8, False),
    (Range(0, 10, step=4), 8, True),
    (Range(0, 10, step=4), 6, False),
    (Range(0, 10, step=4), 10, False),
    (Choices((1, "a", [8])), [8], True),
    (Choices((1, "a", [8])), True, False),
    (Choices((1, "a", [8])), 1.0, False),
]


@pytest.mark.parametrize(("parameter", "value", "has"), HAS)
def test_what_a_parameter_has(parameter, value, has):
    assert parameter.has(value) == has


SIZED = parse_space(
    {
        "a": ["x", "y", "z"],
        "b": {"low": 1, "high": 4, "when": {"a": "x"}},
        "c": {"choice": [0, 1], "when": {"a": ["x", "y"]}},
        "d": {"low": 0.0, "high": 1.0, "step": 0.5, "when": {"c": 1}},
        "e": [True, False],
    }
)


def test_the_points_of_a_conditional_space_are_those_that_a_nested_loop_finds():
    every = []
    for a, e in itertools.product("xyz", [True, False]):
        for b, c in itertools.product(range(1, 5), [0, 1]):
            for d in (0.0, 0.5, 1.0):
                values = {"a": a, "e": e}
                values |= {"b": b} if a == "x" else {}
                values |= {"c": c} if a in "xy" else {}
                values |= {"d": d} if values.get("c") == 1 else {}
                every.append(points.key(values))
    found = [points.key(values) for values in points.every(SIZED)]
    assert sorted(found) == sorted(set(every))
    assert points.size(SIZED) == len(found) == 2 * (4 * (1 + 3) + (1 + 3) + 1)
    assert all(points.contains(SIZED, values) for values in points.every(SIZED))


def test_the_size_of_a_space():
    assert points.size({"a": Range(1, 4), "b": Choices("xy"), "c": Range(0.0, 1.0, step=0.5)}) == 24
    assert points.size({"a": Range(1, 4), "b": Range(0.0, 1.0)}) == inf
    assert points.size({f"x{k}": Range(1, 10**6) for k in range(9)}) == pytest.approx(1e54)


OUTSIDE = [
    {},
    {"a": "x", "e": True},
    {"a": "z", "b": 1, "e": True},
    {"a": "y", "c": 0, "d": 0.5, "e": True},
    {"a": "z", "e": 1},
    {"a": "w", "e": True},
]


@pytest.mark.parametrize("values", OUTSIDE)
def test_what_is_no_point_of_the_space(values):
    assert not points.contains(SIZED, values)


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=5, max_size=5))
def test_every_quantiles_are_a_point_of_the_space(quantiles):
    assert points.contains(SIZED, points.at(SIZED, quantiles))


def test_values_are_put_into_a_copy_of_the_config():
    changed = with_values(CONFIG, {"optimizer.lr": 0.5, "seed": 3, "model.hidden": [8, 8]})
    assert changed == {
        "seed": 3,
        "optimizer": {"name": "sgd", "lr": 0.5},
        "model": {"hidden": [8, 8]},
    }
    assert CONFIG["optimizer"] == {"name": "sgd", "lr": 0.1}


@pytest.mark.parametrize(
    ("key", "near"),
    {
        "optimizer.lrr": " (did you mean optimizer.lr?)",
        "optimzer.lr": " (did you mean optimizer.lr?)",
        "seeds": " (did you mean seed?)",
        "seed.x": " (did you mean seed?)",
        "zzzzzzzz": "",
    }.items(),
)
def test_a_key_that_the_config_does_not_have_is_refused(key, near):
    with pytest.raises(UserError) as error:
        with_values(CONFIG, {key: inf})
    assert str(error.value) == (
        f"parameters.{key} is not a key of the config{near}; `nnlab train --cfg job` shows the keys"
    )

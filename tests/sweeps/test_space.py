from math import inf, nan

import pytest

from nnlab.errors import UserError
from nnlab.sweeps.space import Choices, Range, parse_space, with_values

LEGAL = {
    "floats": ({"low": 0.1, "high": 0.9}, Range(0.1, 0.9)),
    "whole numbers": ({"low": 1, "high": 9, "log": True}, Range(1, 9, log=True)),
    "not log": ({"low": -1.0, "high": 1.0, "log": False}, Range(-1.0, 1.0)),
    "a list": (["a", "b"], Choices(("a", "b"))),
    "choices": ({"choices": [1, 2.5, True]}, Choices((1, 2.5, True))),
    "lists to choose from": ([[8], [8, 8], []], Choices(([8], [8, 8], []))),
    "one choice": ([None], Choices((None,))),
}
NOT_A_SPEC = "parameters.x must be a range (low, high) or a list of choices, but is "
KNOWN = "; a range has low, high and log, a choice has choices"
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
        {"choices": [1], "low": 0},
        "parameters.x.low is not known" + KNOWN,
    ),
    "no low": ({"high": 1}, "parameters.x.low must be a number, but got None"),
    "no high": ({"low": 1}, "parameters.x.high must be a number, but got None"),
    "empty": ({}, "parameters.x.low must be a number, but got None"),
    "low is text": ({"low": "a", "high": 1}, "parameters.x.low must be a number, but got 'a'"),
    "high is true": ({"low": 0, "high": True}, "parameters.x.high must be a number, but got True"),
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
    "not a number": (
        {"low": nan, "high": 1.0},
        "`low < high` must hold, but got low=nan, high=1.0 (parameters.x)",
    ),
    "log of zero": (
        {"low": 0.0, "high": 1.0, "log": True},
        "`low > 0` must hold where log is true, but got low=0.0 (parameters.x)",
    ),
    "no choices": ([], "parameters.x must list at least one choice, but got []"),
    "choices is text": (
        {"choices": "abc"},
        "parameters.x must list at least one choice, but got 'abc'",
    ),
    "choices is nothing": (
        {"choices": None},
        "parameters.x must list at least one choice, but got None",
    ),
    "a choice twice": (["a", "b", "a"], "parameters.x lists a choice twice: ['a', 'b', 'a']"),
    "the same label": ([True, "True"], "parameters.x lists a choice twice: [True, 'True']"),
}
CONFIG = {"seed": 0, "optimizer": {"name": "sgd", "lr": 0.1}, "model": {"hidden": [64]}}


@pytest.mark.parametrize(("spec", "parameter"), LEGAL.values(), ids=LEGAL)
def test_a_space_is_read(spec, parameter):
    assert parse_space({"x": spec}) == {"x": parameter}


@pytest.mark.parametrize(("spec", "message"), ILLEGAL.values(), ids=ILLEGAL)
def test_what_is_no_space_is_refused_with_its_key_and_the_law(spec, message):
    with pytest.raises(UserError) as error:
        parse_space({"fine": {"low": 0, "high": 1}, "x": spec})
    assert str(error.value) == message


@pytest.mark.parametrize("nothing", [None, {}, [], "x", 3])
def test_a_sweep_without_parameters_is_refused(nothing):
    with pytest.raises(UserError) as error:
        parse_space(nothing)
    assert str(error.value) == (
        f"parameters must name at least one key, but got parameters={nothing!r}"
    )


def test_the_ends_of_a_parameter():
    assert Range(0.5, 2.5).ends() == (0.5, 2.5)
    assert Choices(("a", "b", "c")).ends() == ("a", "b", "c")


def test_a_choice_is_suggested_by_its_label_and_keeps_its_type():
    choices = Choices((8, "8x", [8], None, 0.5))
    assert choices.labels == ("8", "8x", "[8]", "None", "0.5")
    assert [choices.value(label) for label in choices.labels] == [8, "8x", [8], None, 0.5]


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

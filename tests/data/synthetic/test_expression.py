import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnlab.core.laws import LawError
from nnlab.data.sources.synthetic.expression import FUNCTIONS, LONGEST, Expression

X1, X2 = np.array([0.5, -0.25, 2.0]), np.array([1.0, 3.0, -2.0])
VALUES = {"x1": X1, "x2": X2}

BY_HAND = [
    ("1", 1.0),
    ("x1", X1),
    ("-x1 + +x2", X2 - X1),
    ("x1 + x2*2", X1 + 2 * X2),
    ("(x1 + x2) * 2", 2 * X1 + 2 * X2),
    ("x1 - x2 - 1", X1 - X2 - 1),
    ("x2 / 4", np.array([0.25, 0.75, -0.5])),
    ("2**3**2", 512.0),
    ("-2**2", -4.0),
    ("x2 ** 2", np.array([1.0, 9.0, 4.0])),
    ("x2 % 2", np.array([1.0, 1.0, 0.0])),
    ("7 / 2", 3.5),
    ("1e-3", 0.001),
    ("  x1 ", X1),
    ("pi * e", np.pi * np.e),
    ("sin(3*x1) + x2**2", np.sin(3 * X1) + X2**2),
    ("maximum(x1, 0)", np.array([0.5, 0.0, 2.0])),
    ("abs(x2)", np.array([1.0, 3.0, 2.0])),
    ("tanh(exp(-x1**2))", np.tanh(np.exp(-X1 * X1))),
]


@pytest.mark.parametrize(("text", "expected"), BY_HAND, ids=[row[0] for row in BY_HAND])
def test_a_formula_by_hand(text, expected):
    np.testing.assert_allclose(Expression(text, ("x1", "x2"))(VALUES), expected, rtol=1e-15)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_numpys_of_that_name(name):
    function = FUNCTIONS[name]
    assert function is getattr(np, name)
    assert function.nout == 1
    names = ("x1", "x2")[: function.nin]
    with np.errstate(all="ignore"):
        expected = function(*(VALUES[one] for one in names))
    np.testing.assert_array_equal(
        Expression(f"{name}({', '.join(names)})", names)(VALUES), expected
    )


REFUSED = [
    ("", "not a formula"),
    ("x1 +", "not a formula"),
    ("x1; x2", "not a formula"),
    ("y = x1", "not a formula"),
    ("import os", "not a formula"),
    ("x1\0", "not a formula"),
    ("x3", "no name x3; it has x1, x2, pi, e"),
    ("sin", "no name sin"),
    ("sinn(x1)", "no function sinn (did you mean sin?)"),
    ("x1(2)", "no function x1"),
    ("sin(x1, x2)", "sin is of 1 number(s), not 2"),
    ("hypot(x1)", "hypot is of 2 number(s), not 1"),
    ("sin()", "sin is of 1 number(s), not 0"),
    ("sin(x=x1)", "`sin(x=x1)` is none of numbers"),
    ("sin(*x1)", "`*x1` is none of numbers"),
    ("__import__('os')", "no function __import__"),
    ("x1.__class__", "`x1.__class__` is none of numbers"),
    ("().__class__.__bases__", "is none of numbers"),
    ("(lambda: 1)()", "is none of numbers"),
    ("[x1 for x1 in x2]", "is none of numbers"),
    ("x1[0]", "`x1[0]` is none of numbers"),
    ("x1 if x2 else 0", "is none of numbers"),
    ("x1 < x2", "`x1 < x2` is none of numbers"),
    ("x1 and x2", "is none of numbers"),
    ("not x1", "`not x1` is none of numbers"),
    ("~x1", "`~x1` is none of numbers"),
    ("x1 // 2", "`x1 // 2` is none of numbers"),
    ("x1 @ x2", "`x1 @ x2` is none of numbers"),
    ("(n := 3)", "is none of numbers"),
    ("f'{x1}'", "is none of numbers"),
    ("'x1'", "`'x1'` is none of numbers"),
    ("True", "`True` is none of numbers"),
    ("None", "`None` is none of numbers"),
    ("2j", "`2j` is none of numbers"),
    ("...", "`...` is none of numbers"),
    ("1e999", "finite in 64 bits"),
    ("9" * 400, "finite in 64 bits"),
    ("x1" + "+x1" * 200, "at most 500 characters, not 602"),
    ("x1" + "+1" * 120, "at most 100 deep"),
    ("-" * 499 + "1", "at most 100 deep"),
    ("(" * 249 + "1" + ")" * 249, "not a formula"),
    ("sin(" * 110 + "1" + ")" * 50, "not a formula"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[row[0][:20] for row in REFUSED])
def test_anything_else_is_refused_when_it_is_read(text, said):
    with pytest.raises(LawError, match=re.escape(said)) as error:
        Expression(text, ("x1", "x2"))
    assert error.value.field == "formula"
    assert len(str(error.value)) < 800


def test_numbers_do_not_grow_without_end():
    start = time.perf_counter()
    assert np.isinf(Expression("9**9**9**9**9", ())({}))
    assert time.perf_counter() - start < 1


def test_what_is_not_defined_is_not_a_number():
    z = {"z": np.array([0.0, -1.0])}
    np.testing.assert_array_equal(Expression("1/z", ["z"])(z), [np.inf, -1])
    np.testing.assert_array_equal(Expression("0/z", ["z"])(z), [np.nan, 0])
    np.testing.assert_array_equal(Expression("log(z)", ["z"])(z), [-np.inf, np.nan])
    np.testing.assert_array_equal(Expression("1/0", [])({}), np.inf)


WORDS = [*FUNCTIONS, *"+-*/%()[]{}.,:~<>=!@&|'\" \n\\", "**", "//", "x1", "x2", "pi", "1", "2.5"]
WORDS += ["lambda", "if", "else", "for", "in", "not", "and", "True", "__class__", "1e9", "é"]


@given(st.lists(st.sampled_from(WORDS), max_size=60).map("".join))
@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
def test_any_text_is_a_formula_or_refused(text):
    try:
        expression = Expression(text, ("x1", "x2"))
    except LawError as error:
        assert error.field == "formula"
    else:
        assert len(text) <= LONGEST
        assert expression(VALUES).shape in ((), (3,))
        assert expression(VALUES).dtype == np.float64

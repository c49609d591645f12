from dataclasses import replace

import numpy as np
import pytest

from nnlab.core.laws import LawError
from nnlab.data.sources.synthetic.curves import Curve, Formula, Line, Parabola

EXACT = [  # source, its curve in y and the columns of x
    (Line(), lambda x: 2.21 * x),
    (Line(slope=-3.0, intercept=7.0), lambda x: 7 - 3 * x),
    (Parabola(), lambda x: x**2),
    (Parabola(a=2.0, b=-1.0, c=0.5), lambda x: 2 * x**2 - x + 0.5),
    (Formula(), lambda x, z: np.sin(3 * x) + z**2),
    (Formula(formula="x1*x3", inputs=3), lambda x, _, z: x * z),
    (Formula(formula="4", inputs=1), lambda x: np.full_like(x, 4)),
]


@pytest.mark.parametrize(("source", "curve"), EXACT, ids=[repr(source)[:60] for source, _ in EXACT])
def test_without_noise_the_targets_are_on_the_curve(source, curve):
    exact = replace(source, noise=0.0).load()
    np.testing.assert_allclose(exact.y[:, 0], curve(*exact.x.T), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("source", [Line, Parabola, Formula])
def test_inputs_are_uniform_from_low_to_high(source):
    x = source(low=2.0, high=6.0, examples=20_000).load().x
    assert x.min() >= 2
    assert x.max() < 6
    counts = np.histogram(x, 8, (2, 6))[0]
    expected = x.size / 8
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_least_squares_finds_the_line():
    data = Line(examples=10_000, intercept=0.3).load()
    slope, intercept = np.polyfit(data.x[:, 0], data.y[:, 0], 1)
    assert abs(slope - 2.21) < 4 * 0.1 / np.sqrt(10_000 / 3)
    assert abs(intercept - 0.3) < 4 * 0.1 / np.sqrt(10_000)


def test_inputs_are_not_scaled_so_weights_are_those_of_the_equation():
    assert all(source().scale == "none" for source in (Line, Parabola, Formula))
    splits, dataset = Line().split(), Line().load()
    assert np.isin(splits.train.x, dataset.x).all()
    assert issubclass(Line, Curve)


def test_a_formula_that_is_not_a_number_says_for_how_many_examples():
    source = Formula(formula="log(x1)", inputs=1)
    negative = int((replace(source, formula="x1").load().x < 0).sum())
    with pytest.raises(LawError, match=rf"nan at x1=-.*not finite for {negative} of 1000") as error:
        source.load()
    assert error.value.field == "formula"
    with pytest.raises(LawError, match=r"which is inf at .*for 1000 of 1000 examples"):
        Formula(formula="1/(x1 - x1)").load()
    with pytest.raises(LawError, match=r"for 1000 of 1000 examples"):
        Formula(formula="9**9**9**9").load()


def test_a_formula_is_read_when_the_config_is():
    with pytest.raises(LawError, match="no name x2; it has x1, pi, e") as error:
        Formula(formula="x1 + x2", inputs=1)
    assert error.value.field == "formula"


def test_where_the_data_are_from_names_the_formula():
    assert Formula().load().origin.endswith("y = sin(3*x1) + x2**2")

"""Curves of several runs: what is drawn where, by whose name and in which colour."""

import math

import numpy as np
import pytest

from nnlab.plots.comparison import compared
from nnlab.plots.curves import save

LOSS, SCORE, EMA = "validation/loss", "validation/accuracy", "validation/loss_ema"


def lines(axes):
    """The lines by their labels: their points, colour and style."""
    return {
        line.get_label(): (
            np.column_stack([line.get_xdata(), line.get_ydata()]).tolist(),
            line.get_color(),
            line.get_linestyle(),
        )
        for line in axes.get_lines()
    }


def names(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_each_run_has_a_colour_and_averaged_weights_are_dashed():
    first = {LOSS: {0: 8.0, 1: 1.0}, EMA: {0: 8.0, 1: 2.0}, SCORE: {0: 0.1, 1: 0.5}}
    second = {LOSS: {0: 8.0, 0.5: 4.0}, SCORE: {0: 0.1}}
    figure = compared({"A": first, "B": second}, "epoch")
    loss, score = figure.axes
    drawn = lines(loss)
    assert drawn["A"][0] == [[0, 8], [1, 1]]
    assert drawn["_A"][0] == [[0, 8], [1, 2]]
    assert drawn["B"][0] == [[0, 8], [0.5, 4]]
    assert (drawn["A"][1], drawn["A"][2], drawn["_A"][2]) == (drawn["_A"][1], "-", "--")
    assert drawn["A"][1] != drawn["B"][1]
    assert lines(score)["A"][1] == drawn["A"][1]
    assert score.get_lines()[1].get_marker() == "o"  # a single point
    assert (loss.get_yscale(), score.get_yscale()) == ("log", "linear")
    assert (loss.get_title(), score.get_title()) == ("validation loss", "validation accuracy")
    assert loss.get_xlabel() == "epoch"
    assert names(figure) == ["A", "B", "dashed: averaged weights"]


def test_runs_of_other_scores_share_the_axes_and_all_are_named():
    runs = {"A": {LOSS: {0: 1.0}}, "B": {LOSS: {0: 1.1}, "validation/r2": {0: 0.5}}}
    runs["C"] = {LOSS: {0: 1.2}, SCORE: {0: 0.5}}
    figure = compared(runs, "epoch")
    loss, score = figure.axes
    assert score.get_title() == "validation accuracy and R²"
    assert lines(score).keys() == {"B", "C"}
    assert names(figure) == ["A", "B", "C"]
    assert loss.get_yscale() == "linear"


def test_a_study_is_a_staircase_over_whole_trials():
    figure = compared({"A": {"best/validation/loss": {1: 0.5, 2: 0.25}}}, "trials")
    (axes,) = figure.axes
    assert axes.get_lines()[0].get_drawstyle() == "steps-post"
    assert (axes.get_title(), axes.get_xlabel()) == ("best/validation/loss", "trials")
    assert all(tick == round(tick) for tick in axes.get_xticks())


@pytest.mark.parametrize("values", [(math.nan, math.inf), (0.0, -1.0), (1.0, math.nan)], ids=str)
def test_values_that_are_not_finite_can_be_drawn(tmp_path, values):
    curve = dict(enumerate(values))
    save(compared({"A": {LOSS: curve, SCORE: curve}}, "epoch"), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_each_of_many_runs_has_a_colour_of_its_own():
    figure = compared({f"run {k}": {LOSS: {0: 1.0, 1: k}} for k in range(25)}, "epoch")
    assert len({line.get_color() for line in figure.axes[0].get_lines()}) == 25

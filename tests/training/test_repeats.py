from math import inf, nan, sqrt

import pytest
from scipy import stats

from nnlab.training.repeats import names, student, together
from nnlab.training.report import Report, Stop

DONE = Stop("max_epochs", "epoch 3 is done")


def reports(*values, key="validation/loss", stops=None):
    """A report of each training; the second metric is one that nothing is said of."""
    stops = stops or [None] * len(values)
    return [
        Report(4 + k, 1.0 + k, {key: value, "lr": 0.1}, float(k), stop)
        for k, (value, stop) in enumerate(zip(values, stops, strict=True))
    ]


def test_folds_by_hand():
    report = together(reports(1.0, 2.0, 6.0), seeds=1, folds=3, step=7)
    assert (report.step, report.epoch, report.seconds) == (7, 2.0, 2.0)
    # mean 3, deviation sqrt((4 + 1 + 9) / 2)
    assert report.metrics == {
        "validation/loss": 3.0,
        "se/validation/loss": pytest.approx(sqrt(7) / sqrt(3)),
        "lr": pytest.approx(0.1),
    }


def test_seeds_by_hand():
    report = together(reports(1.0, 3.0), seeds=2, folds=1, step=4)
    # Student's t of one degree of freedom is 12.706, the deviation sqrt(2)
    assert report.metrics["ci95/validation/loss"] == pytest.approx(12.7062047, rel=1e-8)
    assert "se/validation/loss" not in report.metrics


def test_seeds_and_folds_are_two_questions():
    values = [1.0, 2.0, 5.0, 2.0, 4.0, 7.0]  # two seeds of three folds
    metrics = together(reports(*values), seeds=2, folds=3, step=1).metrics
    assert metrics["validation/loss"] == 3.5
    assert metrics["se/validation/loss"] == pytest.approx(stats.sem([1.5, 3.0, 6.0]))
    low, high = stats.t.interval(0.95, 1, 3.5, stats.sem([8 / 3, 13 / 3]))
    assert metrics["ci95/validation/loss"] == pytest.approx((high - low) / 2)


@pytest.mark.parametrize("freedom", [1, 2, 9, 1000])
def test_student_is_scipy_s(freedom):
    assert student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-12)


def test_what_only_some_have_is_left_out():
    ended = reports(1.0, 2.0)
    ended[0].metrics["test/loss"] = 5.0
    assert not any("test" in key for key in together(ended, 1, 2, 1).metrics)


def test_the_names_are_those_of_the_reports():
    for seeds, folds in ((1, 3), (3, 1), (3, 3)):
        metrics = together(reports(*[1.0] * (seeds * folds)), seeds, folds, 1).metrics
        assert set(names(["validation/loss"], seeds, folds)) | {"lr"} == metrics.keys()


ENDS = [  # (stops, the stop of all)
    ([None, None], None),
    ([DONE, None], None),
    ([DONE, DONE], DONE),
    ([DONE, Stop("patience", "no better")], Stop("members", "all 2 trainings are done")),
    ([DONE, Stop("diverged", "at 3")], Stop("diverged", "training 2 of 2: at 3")),
    ([Stop("diverged", "at 3"), None], Stop("diverged", "training 1 of 2: at 3")),
]


@pytest.mark.parametrize(("stops", "expected"), ENDS, ids=str)
def test_all_end_when_the_last_does_or_one_diverges(stops, expected):
    assert together(reports(1.0, 2.0, stops=stops), 1, 2, 1).stop == expected


@pytest.mark.parametrize("bad", [nan, inf])
def test_one_that_diverged_is_seen_in_the_mean(bad):
    value = together(reports(1.0, bad), 1, 2, 1).metrics["validation/loss"]
    assert value != value or value == inf

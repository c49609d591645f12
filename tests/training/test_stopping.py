import inspect
import re
from math import nan

import pytest

from nnlab.core.laws import LawError
from nnlab.training import stopping
from nnlab.training.report import Report
from nnlab.training.stopping import (
    AccuracyReached,
    LossBelow,
    MaxEpochs,
    MaxSteps,
    Patience,
    TimeBudget,
)


def report(step=0, epoch=0.0, seconds=0.0, **metrics):
    return Report(
        step, epoch, {key.replace("_", "/", 1): value for key, value in metrics.items()}, seconds
    )


def losses(*values):
    return [report(validation_loss=value) for value in values]


TABLE = [  # (rule, reports, the first one at which it stops), by hand
    (MaxEpochs(3), [report(epoch=epoch) for epoch in (0, 1, 2.99, 3, 4)], 3),
    (MaxEpochs(3), [report(epoch=3.5)], 0),
    (MaxSteps(10), [report(step) for step in (0, 5, 9, 10, 15)], 3),
    (MaxSteps(10), [report(step, epoch=99) for step in range(10)], None),
    (TimeBudget(2.5), [report(seconds=seconds) for seconds in (0, 2.49, 2.5)], 2),
    (LossBelow(0.5), [report(train_loss=loss) for loss in (2, 0.6, 0.5, 0.49, 0.1)], 3),
    (LossBelow(0.5, "validation/loss_ema"), [report(validation_loss_ema=0.4, train_loss=2)], 0),
    (
        AccuracyReached(0.9),
        [report(validation_accuracy=accuracy) for accuracy in (0, 0.89, 0.9, 1)],
        2,
    ),
    (AccuracyReached(1.0, "train/accuracy"), [report(train_accuracy=0.999)], None),
    # best 3 2 2 2 2: the third report without an improvement stops
    (Patience(3), losses(3, 2, 2, 2.5, 2), 4),
    # an improvement, however small, starts the count anew
    (Patience(2), losses(3, 4, 2.999, 4, 5), 4),
    (Patience(1), losses(3, 2, 1, 1), 3),
    (Patience(1), losses(3, 2, 1, 0), None),
    # by more than 0.5 of the best: 3, 2.5 (not more), 2.4 (0.6 below 3), 2 (0.4), 1.9 (0.5)
    (Patience(2, min_delta=0.5), losses(3, 2.5, 2.4, 2, 1.9), 4),
    # small steps add up to an improvement over the best
    (Patience(3, min_delta=0.5), losses(3, 2.75, 2.5, 2.25, 2), None),
    (
        Patience(2, "validation/accuracy", "maximize"),
        [report(validation_accuracy=accuracy) for accuracy in (0, 0.5, 0.4, 0.6, 0.6, 0.1)],
        5,
    ),
    (
        Patience(1, "validation/r2", "maximize", min_delta=0.125),
        [report(validation_r2=r2) for r2 in (-3, -2, -1.875)],
        2,
    ),
]
every_row = pytest.mark.parametrize(
    ("rule", "reports", "at"), TABLE, ids=lambda value: str(value)[:40]
)


def stops(rule, reports, memory=None):
    """What the rule says of each report."""
    memory = rule.init() if memory is None else memory
    return [rule.check(one, memory) for one in reports]


def test_every_rule_is_in_the_table():
    rules = {
        cls
        for _, cls in inspect.getmembers(stopping, inspect.isclass)
        if cls.__module__ == stopping.__name__ and "name" in vars(cls)
    }
    assert rules == {type(rule) for rule, _, _ in TABLE}
    assert len({rule.name for rule in rules}) == len(rules)


@every_row
def test_a_rule_stops_at_the_first_report_that_breaks_it(rule, reports, at):
    said = stops(rule, reports)
    expected = len(reports) if at is None else at
    assert said[:expected] == [None] * expected
    assert at is None or said[at]


@every_row
def test_a_rule_remembers_in_its_memory_alone(rule, reports, at):
    memory = rule.init()
    before = stops(rule, reports[:2], memory)
    restored = {key: array.copy() for key, array in memory.items()}
    stops(rule, reports, memory)  # what happens to the old memory does not matter
    assert before + stops(rule, reports[2:], restored) == stops(rule, reports)


@pytest.mark.parametrize(
    ("rule", "one", "words"),
    [
        (MaxEpochs(3), report(epoch=3), ["3", "epoch"]),
        (MaxSteps(1000), report(1000), ["1000", "step"]),
        (TimeBudget(2.5), report(seconds=9), ["2.5", "seconds"]),
        (LossBelow(0.5), report(train_loss=0.25), ["train/loss", "0.25", "below 0.5"]),
        (AccuracyReached(0.9), report(validation_accuracy=0.95), ["accuracy", "0.95", "0.9"]),
    ],
    ids=str,
)
def test_the_reason_is_a_sentence_with_the_values(rule, one, words):
    (reason,) = stops(rule, [one])
    for word in words:
        assert word in reason


def test_the_reason_of_patience_names_the_metric_and_the_number():
    reason = stops(Patience(2), losses(1, 1, 1))[-1]
    assert "validation/loss" in reason
    assert "2" in reason


LAWS = {  # (class, field): (the law, values that break it, values at its edge)
    (MaxEpochs, "epochs"): ("epochs >= 1", [0, -3], [1]),
    (MaxSteps, "steps"): ("steps >= 1", [0, -3], [1]),
    (TimeBudget, "seconds"): ("seconds > 0", [0.0, -1.0, nan], [1e-9]),
    (AccuracyReached, "value"): ("0 < value <= 1", [0.0, 1.01, 99.0, nan], [1e-9, 1.0]),
    (Patience, "evaluations"): ("evaluations >= 1", [0, -1], [1]),
    (Patience, "min_delta"): ("min_delta >= 0", [-1e-9, nan], [0.0]),
}


@pytest.mark.parametrize(("cls", "field"), LAWS, ids=lambda value: getattr(value, "name", value))
def test_a_value_out_of_range_is_refused(cls, field):
    law, bad_values, good_values = LAWS[cls, field]
    for bad in bad_values:
        with pytest.raises(LawError, match=re.escape(f"`{law}` must hold, but got {field}={bad}")):
            cls(**{field: bad})
    for good in good_values:
        assert getattr(cls(**{field: good}), field) == good


def test_an_unknown_direction_is_refused():
    with pytest.raises(LawError, match=r"direction=minimise \(did you mean minimize\?\)"):
        Patience(direction="minimise")

"""Are two runs equal? Hand-made metric points, ends and hashes."""

import math
import sys
from math import inf, nan

import pytest

from nnlab.reproduction.comparison import Hash, Stopped, compare, hashes, relative, sampled
from nnlab.reproduction.logged import Ended

LARGEST = sys.float_info.max
POINTS = {
    (0, "train/loss"): 2.5,
    (0, "validation/loss"): 2.75,
    (40, "train/loss"): 0.1 + 0.2,
    (40, "validation/loss"): -0.0,
    (40, "test/loss"): 5e-324,
}


def test_equal_points_are_identical(logged):
    found = compare(logged(POINTS), POINTS)
    assert (found.points, found.differing, found.first) == (5, 0, None)
    assert found.steps == {0: 0.0, 40: 0.0}
    assert found.largest_relative == 0.0


@pytest.mark.parametrize("key", POINTS, ids=str)
@pytest.mark.parametrize("towards", [-inf, inf])
def test_a_point_that_differs_by_one_bit_is_named(logged, key, towards):
    new = math.nextafter(POINTS[key], towards)
    found = compare(logged(POINTS), POINTS | {key: new})
    step, name = key
    assert (found.points, found.differing) == (5, 1)
    assert (found.first.step, found.first.metric) == key
    assert str(found.first) == f"{name} at step {step}: {POINTS[key]!r} then, {new!r} now"


def test_the_first_difference_is_the_one_of_the_earliest_step(logged):
    points = {(step, name): 0.0 for step in (9, 10, 100) for name in ("b", "a")}
    found = compare(logged(points), {key: value + 1 for key, value in points.items()})
    assert (found.points, found.differing) == (6, 6)
    assert str(found.first) == "a at step 9: 0.0 then, 1.0 now"


def test_a_point_that_is_missing_now_or_then_is_a_difference(logged):
    fewer = {key: value for key, value in POINTS.items() if key != (40, "train/loss")}
    missing = compare(logged(POINTS), fewer)
    assert (missing.points, missing.differing) == (5, 1)
    assert str(missing.first) == f"train/loss at step 40: {0.1 + 0.2!r} then, absent now"
    extra = compare(logged(fewer), POINTS)
    assert (extra.points, extra.differing) == (5, 1)
    assert str(extra.first) == f"train/loss at step 40: absent then, {0.1 + 0.2!r} now"
    assert missing.largest_relative == extra.largest_relative == inf


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (nan, nan, True),
        (nan, 1.0, False),
        (1.0, nan, False),
        (nan, inf, False),
        (inf, inf, True),
        (-inf, -inf, True),
        (inf, -inf, False),
        (LARGEST, inf, False),
        (inf, 1.0, False),
        (1.0, inf, False),
        (inf, nan, False),
        (inf, LARGEST, False),
        (0.0, -0.0, True),  # SQLite keeps no sign of zero apart
    ],
    ids=str,
)
def test_values_that_are_not_finite(logged, old, new, same):
    found = compare(logged({(0, "loss"): old}), {(0, "loss"): new})
    assert found.differing == (not same)
    assert found.largest_relative == (0.0 if same else inf)


def test_that_only_the_new_run_was_tested_is_no_difference(logged):
    untested = {key: value for key, value in POINTS.items() if not key[1].startswith("test/")}
    found = compare(logged(untested), POINTS | {(40, "se/test/loss"): 1.0})
    assert (found.points, found.differing) == (4, 0)


def test_that_only_the_old_run_was_tested_is_a_difference(logged):
    untested = {key: value for key, value in POINTS.items() if not key[1].startswith("test/")}
    first = compare(logged(POINTS), untested).first
    assert str(first) == "test/loss at step 40: 5e-324 then, absent now"


@pytest.mark.parametrize(
    ("then", "now", "apart"),
    [(1.0, 1.0, 0.0), (1.0, 0.75, 0.25), (-2.0, -1.0, 0.5), (1.0, -1.0, 2.0), (0.0, 3.0, 1.0),
     (LARGEST, -LARGEST, 2.0), (5e-324, 0.0, 1.0)],
)  # fmt: skip
def test_a_relative_difference(then, now, apart):
    assert relative(then, now) == relative(now, then) == apart


def test_the_difference_over_time_is_that_of_all_and_that_of_the_first_metric(logged):
    then = {(s, name): 1.0 for s in (0, 10, 20) for name in ("a", "b")}
    now = then | {(10, "b"): 0.5, (20, "b"): 0.75, (20, "a"): 0.25}
    found = compare(logged(then), now)
    assert found.first_metric == {0: 0.0, 10: 0.5, 20: 0.25}
    assert found.steps == {0: 0.0, 10: 0.5, 20: 0.75}
    assert found.largest_relative == 0.75


def test_few_of_many_steps_are_shown_the_first_and_the_last_among_them():
    assert list(sampled(dict.fromkeys(range(101), 0.0), 5)) == [
        (0, 0.0), (25, 0.0), (50, 0.0), (75, 0.0), (100, 0.0),
    ]  # fmt: skip
    assert list(sampled({7: 1.0}, 5)) == [(7, 1.0)]
    assert list(sampled({7: 1.0, 9: 2.0}, 5)) == [(7, 1.0), (9, 2.0)]


def test_hashes_are_compared_where_both_have_them(logged):
    found = hashes(logged(tags={"a": "1", "b": "2"}), {"a": "1", "b": "3", "c": "4"})
    assert {tag: one.equal for tag, one in found.items()} == {"a": True, "b": False, "c": None}
    assert found["b"] == Hash("2", "3")


ENDED = Ended("max_epochs", "epoch 3 is done", 40)


@pytest.mark.parametrize(
    ("now", "equal", "beyond"),
    [
        (ENDED, True, False),
        (Ended("max_epochs", "epoch 3 is done", 39), False, False),
        (Ended("patience", "epoch 3 is done", 40), False, False),
        (Ended("max_epochs", "epoch 4 is done", 40), False, False),
        (Ended("until", "step 40 is reached", 40), False, True),
    ],
)
def test_a_run_that_its_config_ended_must_end_alike(now, equal, beyond):
    stopped = Stopped(ENDED, now, by_config=True)
    assert (stopped.equal, stopped.beyond) == (equal, beyond)


@pytest.mark.parametrize(("step", "equal"), [(40, True), (39, False)])
def test_a_run_that_something_else_ended_is_compared_up_to_its_last_step(step, equal):
    stopped = Stopped(Ended("pruned", "worse", 40), Ended("until", "x", step), by_config=False)
    assert (stopped.equal, stopped.beyond) == (equal, False)

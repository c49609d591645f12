"""Verdicts on hand-made runs. What `nnlab reproduce` does with them is in tests/commands."""

import math
import subprocess
import sys
from math import inf, nan

import pytest

from nnlab.errors import UserError
from nnlab.reproduce import Logged, Verdict, compare, environment_differences, fetch

LARGEST = sys.float_info.max
POINTS = {
    (0, "train/loss"): 2.5,
    (0, "validation/loss"): 2.75,
    (40, "train/loss"): 0.1 + 0.2,
    (40, "validation/loss"): -0.0,
    (40, "test/loss"): 5e-324,
}
HASHES = {"nnlab.weights_sha256": "aa", "nnlab.averaged_sha256": "bb"}


@pytest.fixture
def logged():
    """Makes a run that MLflow knows."""

    def make(points=POINTS, rule="max_epochs", tags=HASHES):
        ended = {} if rule is None else {"nnlab.stop_rule": rule}
        return Logged({}, {}, "run", "mlflow", "name", "FINISHED", {**tags, **ended}, dict(points))

    return make


def test_equal_points_and_hashes_are_identical(logged):
    verdict = compare(logged(), POINTS, HASHES)
    assert verdict == Verdict(5, 0, "", dict.fromkeys(HASHES, True))
    assert verdict.identical


@pytest.mark.parametrize("key", POINTS, ids=str)
@pytest.mark.parametrize("towards", [-inf, inf])
def test_a_point_that_differs_by_one_bit_is_named(logged, key, towards):
    new = math.nextafter(POINTS[key], towards)
    verdict = compare(logged(), POINTS | {key: new}, HASHES)
    step, name = key
    assert not verdict.identical
    assert (verdict.points, verdict.differing) == (5, 1)
    assert verdict.first == f"{name} at step {step}: {POINTS[key]!r} then, {new!r} now"


def test_the_first_difference_is_the_one_of_the_earliest_step(logged):
    points = {(step, name): 0.0 for step in (9, 10, 100) for name in ("b", "a")}
    verdict = compare(logged(points), {key: value + 1 for key, value in points.items()}, {})
    assert (verdict.points, verdict.differing) == (6, 6)
    assert verdict.first == "a at step 9: 0.0 then, 1.0 now"


def test_a_point_that_is_missing_now_or_then_is_a_difference(logged):
    fewer = {key: value for key, value in POINTS.items() if key != (40, "train/loss")}
    missing = compare(logged(), fewer, HASHES)
    assert (missing.points, missing.differing) == (5, 1)
    assert missing.first == f"train/loss at step 40: {0.1 + 0.2!r} then, absent now"
    extra = compare(logged(fewer), POINTS, HASHES)
    assert (extra.points, extra.differing) == (5, 1)
    assert extra.first == f"train/loss at step 40: absent then, {0.1 + 0.2!r} now"
    assert not missing.identical and not extra.identical


def test_a_step_too_many_is_a_difference(logged):
    verdict = compare(logged(), POINTS | {(80, "train/loss"): 0.1}, HASHES)
    assert verdict.first == "train/loss at step 80: absent then, 0.1 now"
    assert not verdict.identical


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
    verdict = compare(logged({(0, "loss"): old}), {(0, "loss"): new}, {})
    assert verdict.identical is same
    assert verdict.differing == (not same)


def test_that_only_the_new_run_was_tested_is_no_difference(logged):
    untested = {key: value for key, value in POINTS.items() if not key[1].startswith("test/")}
    verdict = compare(logged(untested), POINTS, HASHES)
    assert verdict.identical
    assert verdict.points == 4


def test_that_only_the_old_run_was_tested_is_a_difference(logged):
    untested = {key: value for key, value in POINTS.items() if not key[1].startswith("test/")}
    assert (
        compare(logged(), untested, HASHES).first == "test/loss at step 40: 5e-324 then, absent now"
    )


def test_a_hash_that_differs_is_a_difference_and_one_that_was_not_logged_is_none(logged):
    wrong = compare(logged(), POINTS, HASHES | {"nnlab.weights_sha256": "cc"})
    assert wrong.hashes == {"nnlab.weights_sha256": False, "nnlab.averaged_sha256": True}
    assert not wrong.identical
    assert wrong.first == ""
    unknown = compare(logged(tags={"nnlab.averaged_sha256": "bb"}), POINTS, HASHES)
    assert unknown.hashes == {"nnlab.weights_sha256": None, "nnlab.averaged_sha256": True}
    assert unknown.identical


def test_nothing_to_compare_is_not_identical(logged):
    assert not compare(logged({}), {}, HASHES).identical


@pytest.mark.parametrize(
    ("rule", "until"),
    [
        ("max_epochs", None),
        ("patience", None),
        ("diverged", None),
        ("time_budget", 40),
        ("pruned", 40),
        ("interrupted", 40),
        ("died", 40),
        ("raised", 40),
        (None, 40),  # it never came to an end
    ],
)
def test_a_run_that_its_config_did_not_end_is_repeated_up_to_its_last_step(logged, rule, until):
    assert logged(rule=rule).until == until


def test_the_last_step_of_a_run_without_reports_is_the_start(logged):
    assert logged({}).last_step == 0


def test_differences_of_environments_are_named_by_their_dotted_keys():
    then = {"a": 1, "packages": {"numpy": "2.3", "scipy": "1"}, "blas": [{"v": 1}], "gone": None}
    now = {"a": 1, "packages": {"numpy": "2.4", "scipy": "1"}, "blas": [{"v": 2}], "new": "x"}
    assert list(environment_differences(then, now)) == [
        "packages.numpy: 2.3 -> 2.4",
        "blas: [{'v': 1}] -> [{'v': 2}]",
        "new: None -> x",
    ]
    assert list(environment_differences(then, then)) == []


def test_what_the_fetching_process_says_last_is_the_error(tmp_path, monkeypatch):
    for stderr, message in {
        "a warning\nno such run\n": "no such run",
        "": "sqlite:///x cannot be read",
    }.items():
        done = subprocess.CompletedProcess([], 2, "", stderr)
        monkeypatch.setattr(subprocess, "run", lambda *_, done=done, **options: done)
        with pytest.raises(UserError) as error:
            fetch("sqlite:///x", "abc", tmp_path)
        assert str(error.value) == message

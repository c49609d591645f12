from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnlab.core.durations import Duration
from nnlab.core.laws import LawError
from nnlab.core.schedules import Constant, Cosine, Step

STEPS_PER_EPOCH, TOTAL = 5, 200
HAND_WORKED = {  # schedule: instances, and their factors at some steps
    Constant: {Constant(): {0: 1, 7: 1, 10**6: 1}},
    Step: {
        Step(): {0: 1, 49: 1, 50: 0.1, 99: 0.1, 100: 0.01, 150: 0.001},  # every 10 epochs
        Step(every="3 steps", gamma=0.5): {0: 1, 2: 1, 3: 0.5, 5: 0.5, 6: 0.25, 9: 0.125},
        Step(every="25%", gamma=0.5): {49: 1, 50: 0.5, 100: 0.25},
    },
    Cosine: {
        Cosine(): {0: 1, 50: (1 + sqrt(0.5)) / 2, 100: 0.5, 200: 0, 300: 0},
        Cosine(over="50%", final=0.2): {0: 1, 50: 0.6, 100: 0.2, 101: 0.2},
        Cosine(over="6 epochs", final=0.5): {0: 1, 10: 0.875, 20: 0.625, 30: 0.5},
        Cosine(over="1 step", final=1.0): {0: 1, 1: 1},
    },
}


def test_every_schedule_is_in_the_table(schedule_class):
    assert schedule_class in HAND_WORKED


def test_factors_by_hand(schedule_class):
    for schedule, expected in HAND_WORKED[schedule_class].items():
        factor = schedule.start(STEPS_PER_EPOCH, TOTAL)
        got = {t: factor(t) for t in expected}
        assert got == pytest.approx(expected, rel=1e-12, abs=1e-15)


@settings(max_examples=50, deadline=None)
@given(t=st.integers(0, 500))
def test_factors_start_at_one_and_never_rise_nor_leave_0_to_1(schedule_class, t):
    for schedule in HAND_WORKED[schedule_class]:
        factor = schedule.start(STEPS_PER_EPOCH, TOTAL)
        assert factor(0) == 1
        assert 1 >= factor(t) >= factor(t + 1) >= 0


def test_only_a_schedule_in_percent_needs_the_length_of_the_run():
    assert Step("2 epochs").start(STEPS_PER_EPOCH, None)(10) == 0.1
    for schedule in (Step("25%"), Cosine()):
        with pytest.raises(LawError, match="needs a run of known length: add the stopping rule"):
            schedule.start(STEPS_PER_EPOCH, None)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("1 step", 1),
        ("500 steps", 500),
        ("1e3 steps", 1000),
        ("10 epochs", 400),
        ("1 epoch", 40),
        ("2epochs", 80),
        ("  0.5   epochs ", 20),
        ("20%", 200),
        ("12.5 %", 125),
        ("100%", 1000),
        ("0.01 epochs", 1),  # at least one step
        ("0.001%", 1),
        ("0.06 epochs", 2),  # 2.4 is rounded
        ("0.066 epochs", 3),  # 2.64 too
    ],
)
def test_durations_in_steps(text, steps):
    assert Duration.parse(text).steps(steps_per_epoch=40, total=1000) == steps


@pytest.mark.parametrize("text", ["1 step", "7 epochs", "2.5 epochs"])
def test_steps_and_epochs_do_not_depend_on_the_length_of_the_run(text):
    duration = Duration.parse(text)
    assert duration.steps(8, total=None) == duration.steps(8, total=3)


@pytest.mark.parametrize(
    "text",
    ["", "ten epochs", "10", "epochs", "-1 steps", "0 steps", "0.0 epochs", "0%", "5 hours",
     "1 2 steps", "1.steps", ".5 epochs", "nan%", "inf steps", "10 epochs of", "1_000 steps"],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(LawError) as error:
        Duration.parse(text, "every")
    assert error.value.field == "every"
    assert str(error.value) == (
        'every must be a duration above zero such as "500 steps", "10 epochs" or "20%", '
        f"but got every={text!r}"
    )


def test_percent_of_a_run_of_unknown_length_names_the_percent():
    with pytest.raises(LawError, match=r"a duration in percent \(duration=12.5%\)"):
        Duration.parse("12.5%").steps(40, total=None)

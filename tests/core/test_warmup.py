from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnlab.core.laws import LawError
from nnlab.core.schedules import Constant, Cosine, Exponential, ReduceOnPlateau, Step
from nnlab.core.warmup import LinearWarmup, NoWarmup

STEPS_PER_EPOCH, TOTAL = 5, 200
HAND_WORKED = {  # warm-up: instances before a schedule, and the factors at some steps
    NoWarmup: [(NoWarmup(), Step("3 steps", 0.5), {0: 1, 2: 1, 3: 0.5, 6: 0.25})],
    LinearWarmup: [
        (LinearWarmup(), Constant(), {0: 0.1, 4: 0.5, 9: 1, 10: 1, 199: 1}),  # 5% are 10 steps
        (LinearWarmup("1 epoch"), Constant(), {0: 0.2, 1: 0.4, 4: 1, 5: 1}),
        # the schedule begins when the warm-up is over
        (
            LinearWarmup("4 steps"),
            Step("3 steps", 0.5),
            {0: 0.25, 3: 1, 4: 1, 6: 1, 7: 0.5, 10: 0.25},
        ),
        # and has the steps that are left: 100% of 200 - 40
        (
            LinearWarmup("20%"),
            Cosine(),
            {19: 0.5, 39: 1, 40: 1, 80: (1 + sqrt(0.5)) / 2, 120: 0.5, 200: 0},
        ),
        (LinearWarmup("1 step"), Exponential("1 step", 0.5), {0: 1, 1: 1, 2: 0.5, 3: 0.25}),
        (LinearWarmup("2 steps"), ReduceOnPlateau(), {0: 0.5, 1: 1, 2: 1, 50: 1}),
    ],
}


def test_every_warm_up_is_in_the_table(warmup_class):
    assert warmup_class in HAND_WORKED


def test_factors_by_hand(warmup_class):
    for warmup, schedule, expected in HAND_WORKED[warmup_class]:
        factor = warmup.before(schedule, STEPS_PER_EPOCH, TOTAL)
        got = {t: factor(t) for t in expected}
        assert got == pytest.approx(expected, rel=1e-12, abs=1e-15)


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 199))
def test_it_rises_by_equal_steps_to_the_schedule_s_start(n):
    factor = LinearWarmup(f"{n} steps").before(Cosine(), STEPS_PER_EPOCH, TOTAL)
    assert factor(0) == 1 / n
    assert factor(n - 1) == factor(n) == 1
    for t in range(1, n):
        assert factor(t) - factor(t - 1) == pytest.approx(1 / n, rel=1e-9)
    assert factor(TOTAL) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize(("over", "steps"), [("200 steps", 200), ("41 epochs", 205), ("100%", 200)])
def test_a_warm_up_as_long_as_the_run_is_refused(over, steps):
    with pytest.raises(LawError) as error:
        LinearWarmup(over).before(Constant(), STEPS_PER_EPOCH, TOTAL)
    assert str(error.value) == (
        "the warm-up must be shorter than the run of 200 steps, "
        f"but got warmup.over={over}, {steps} steps"
    )
    assert error.value.field == "warmup.over"
    shorter = LinearWarmup("199 steps").before(Constant(), STEPS_PER_EPOCH, TOTAL)
    assert shorter(198) == shorter(199) == 1


def test_only_percent_need_the_length_of_the_run():
    factor = LinearWarmup("2 epochs").before(Step("1 epoch"), STEPS_PER_EPOCH, None)
    assert [factor(t) for t in (0, 9, 10, 14, 15)] == pytest.approx([0.1, 1, 1, 1, 0.1])
    unknown = [
        (LinearWarmup(), Constant(), "warmup.over=5%"),
        (LinearWarmup("1 step"), Cosine(), "schedule.over=100%"),
        (NoWarmup(), Cosine(), "schedule.over=100%"),
    ]
    for warmup, schedule, named in unknown:
        with pytest.raises(LawError, match=rf"\({named}\) needs a run of known length"):
            warmup.before(schedule, STEPS_PER_EPOCH, None)

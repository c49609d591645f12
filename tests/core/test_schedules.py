from math import inf, nan, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnlab.core.durations import Duration
from nnlab.core.laws import LawError
from nnlab.core.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseTime,
    OneCycle,
    Planned,
    ReduceOnPlateau,
    Step,
)

STEPS_PER_EPOCH, TOTAL = 5, 200
HAND_WORKED = {  # schedule: instances, and their factors at some steps
    Constant: {Constant(): {0: 1, 7: 1, 10**6: 1}},
    Step: {
        Step(): {0: 1, 49: 1, 50: 0.1, 99: 0.1, 100: 0.01, 150: 0.001},  # every 10 epochs
        Step(every="3 steps", gamma=0.5): {0: 1, 2: 1, 3: 0.5, 5: 0.5, 6: 0.25, 9: 0.125},
        Step(every="25%", gamma=0.5): {49: 1, 50: 0.5, 100: 0.25},
    },
    Exponential: {
        Exponential(): {0: 1, 5: 0.95, 10: 0.9025, 15: 0.857375},  # every epoch
        Exponential(every="2 steps", gamma=0.25): {1: 0.5, 2: 0.25, 3: 0.125, 10: 0.25**5},
        Exponential(every="50%", gamma=0.25): {50: 0.5, 100: 0.25, 200: 0.0625},
        Exponential(gamma=1.0): {0: 1, 77: 1},
    },
    InverseTime: {
        InverseTime(): {0: 1, 5: 1 / 1.1, 50: 0.5, 450: 0.1},  # every epoch
        InverseTime(every="1 step", decay=1.0): {0: 1, 1: 1 / 2, 2: 1 / 3, 3: 1 / 4},
        InverseTime(every="10%", decay=3.0): {20: 0.25, 40: 1 / 7},
        InverseTime(decay=0.0): {0: 1, 77: 1},
    },
    Cosine: {
        Cosine(): {0: 1, 50: (1 + sqrt(0.5)) / 2, 100: 0.5, 200: 0, 300: 0},
        Cosine(over="50%", final=0.2): {0: 1, 50: 0.6, 100: 0.2, 101: 0.2},
        Cosine(over="6 epochs", final=0.5): {0: 1, 10: 0.875, 20: 0.625, 30: 0.5},
        Cosine(over="1 step", final=1.0): {0: 1, 1: 1},
    },
    OneCycle: {
        # up from 1/25 at step 0 to 1 at 0.3 * 200 - 1, down to 1/250000 at the last, 199
        OneCycle(): {0: 0.04, 29.5: 0.52, 59: 1, 129: (1 + 4e-6) / 2, 199: 4e-6, 500: 4e-6},
        # up during 5 steps, 0 to 4; down to the last, 9
        OneCycle(over="2 epochs", rise=0.5, initial=2.0, final=5.0): {
            0: 0.5,
            1: 1 - 0.25 * (1 + sqrt(0.5)),
            2: 0.75,
            4: 1,
            9: 0.1,
            10: 0.1,
        },
        OneCycle(over="5 steps", rise=0.2, initial=10.0, final=1.0): {0: 1, 2: 0.55, 4: 0.1},
        OneCycle(initial=1.0, final=1.0): {0: 1, 30: 1, 59: 1, 100: 1, 199: 1},
    },
    ReduceOnPlateau: {ReduceOnPlateau(): {0: 1, 7: 1, 10**6: 1}},  # until it hears of a plateau
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
        if schedule_class is OneCycle:
            assert 0 <= factor(t) <= 1
        else:
            assert factor(0) == 1
            assert 1 >= factor(t) >= factor(t + 1) >= 0


@settings(max_examples=50, deadline=None)
@given(
    over=st.integers(1, 50),
    rise=st.floats(0.01, 0.99),
    initial=st.floats(1, 100),
    final=st.floats(1, 1e4),
)
def test_one_cycle_goes_up_once_and_down_once(over, rise, initial, final):
    schedule = OneCycle(f"{over} steps", rise, initial, final)
    factor = schedule.start(STEPS_PER_EPOCH, None)
    factors = [factor(t) for t in range(over)]
    top = factors.index(max(factors))
    assert factors[:top] == sorted(factors[:top])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert factors[-1] == factor(over) == pytest.approx(1 / (initial * final))


def test_what_is_planned_remembers_nothing(schedule_class):
    schedule = schedule_class()
    assert issubclass(schedule_class, Planned) == (schedule_class is not ReduceOnPlateau)
    memory = schedule.init()
    assert schedule.held(memory) == 1
    if isinstance(schedule, Planned):
        schedule.hear({"validation/loss": 1.0}, memory)
        assert memory == {}
        assert schedule.held(memory) == 1


def hold(schedule, values, memory=None):
    """What is held after each report of the metric."""
    memory = schedule.init() if memory is None else memory
    for value in values:
        schedule.hear({schedule.metric: value, "other": 0.0}, memory)
        yield schedule.held(memory)


FALLS = [3.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0]
PLATEAUS = [  # a schedule, values, what is held after each
    (ReduceOnPlateau(evaluations=2, gamma=0.5), FALLS, [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]),
    # two in a row that are no better; a better one between them begins the count anew
    (ReduceOnPlateau(evaluations=2, gamma=0.5), [3, 3, 2, 2, 2], [1, 1, 1, 1, 0.5]),
    (ReduceOnPlateau(evaluations=1, gamma=0.1), [1, 1, 2, 0.5], [1, 0.1, 0.01, 0.01]),
    (ReduceOnPlateau(evaluations=1, gamma=0.5, floor=0.2), [1] * 5, [1, 0.5, 0.25, 0.2, 0.2]),
    (
        ReduceOnPlateau("test/accuracy", "maximize", evaluations=2, gamma=0.5),
        [-value for value in FALLS],
        [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25],
    ),
    # by more than min_delta, and against the best, not the last
    (
        ReduceOnPlateau(evaluations=2, gamma=0.5, min_delta=0.5),
        [3, 2.5, 2.25, 1.75, 1.25],
        [1, 1, 1, 1, 1],
    ),
    (ReduceOnPlateau(evaluations=2, gamma=0.5, min_delta=0.5), [3, 2.5, 2.5], [1, 1, 0.5]),
    (ReduceOnPlateau(evaluations=2, gamma=0.5), [1, nan, inf, nan, 0.5], [1, 1, 0.5, 0.5, 0.5]),
]


@pytest.mark.parametrize(("schedule", "values", "expected"), PLATEAUS)
def test_a_plateau_by_hand(schedule, values, expected):
    assert list(hold(schedule, values)) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(("schedule", "values", "expected"), PLATEAUS)
def test_a_plateau_is_remembered_through_a_stop(schedule, values, expected):
    for stop in range(len(values)):
        memory = schedule.init()
        before = list(hold(schedule, values[:stop], memory))
        memory = {name: array.copy() for name, array in memory.items()}
        after = list(hold(schedule, values[stop:], memory))
        assert before + after == pytest.approx(expected, rel=1e-15)


def test_a_plateau_s_memory_is_arrays_that_keep_their_shape_and_dtype():
    schedule = PLATEAUS[0][0]
    memory = schedule.init()
    before = {name: (array.shape, array.dtype) for name, array in memory.items()}
    list(hold(schedule, FALLS, memory))
    assert {name: (array.shape, array.dtype) for name, array in memory.items()} == before


def test_only_a_schedule_in_percent_needs_the_length_of_the_run():
    assert Step("2 epochs").start(STEPS_PER_EPOCH, None)(10) == 0.1
    assert Exponential().start(STEPS_PER_EPOCH, None)(5) == 0.95
    assert InverseTime().start(STEPS_PER_EPOCH, None)(50) == 0.5
    assert Cosine("2 steps").start(STEPS_PER_EPOCH, None)(1) == 0.5
    assert OneCycle("2 epochs", rise=0.5).start(STEPS_PER_EPOCH, None)(4) == 1
    assert ReduceOnPlateau().start(STEPS_PER_EPOCH, None)(4) == 1
    for schedule in (Step("25%"), Exponential("1%"), InverseTime("1%"), Cosine(), OneCycle()):
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

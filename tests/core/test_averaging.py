import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from nnlab.core.arrays import Workspace
from nnlab.core.averaging import EMA, SWA, NoAveraging
from nnlab.core.laws import LawError

DECAYS = (0.0, 0.3, 0.9, 0.99, 0.999)
TABLE = {
    NoAveraging: [NoAveraging()],
    EMA: [
        EMA(decay, correction, warmup)
        for decay in DECAYS
        for correction in (True, False)
        for warmup in (True, False)
    ],
    SWA: [SWA()],
}
ROWS = [row for rows in TABLE.values() for row in rows]
every_row = pytest.mark.parametrize("averaging", ROWS, ids=str)


def average(averaging, initial, thetas):
    """The value after each theta."""
    state, work = averaging.init(initial), Workspace()
    for theta in thetas:
        averaging.update(theta, state, work)
        yield averaging.value(theta, state).copy()


def test_every_averaging_is_in_the_table(averaging_class):
    assert averaging_class in {type(row) for row in ROWS}


def test_metrics_of_an_average_are_marked():
    assert (NoAveraging.label, EMA.label, SWA.label) == ("", "ema", "swa")


@pytest.mark.parametrize(
    ("averaging", "start", "every"),
    [
        (NoAveraging(), 0, 1),
        (EMA(), 0, 1),
        (SWA(), 150, 5),  # of 200 steps, 5 in an epoch
        (SWA("10 epochs", "1 step"), 50, 1),
        (SWA("7 steps", "2 epochs"), 7, 10),
        (SWA("50%", "1%"), 100, 2),
    ],
    ids=str,
)
def test_when_an_average_is_taken(averaging, start, every):
    assert averaging.when(steps_per_epoch=5, total=200) == (start, every)


@pytest.mark.parametrize("field", ["start", "every"])
def test_only_an_average_in_percent_needs_the_length_of_the_run(field):
    assert SWA("2 epochs", "3 steps").when(5, None) == (10, 3)
    with pytest.raises(LawError, match="needs a run of known length") as error:
        SWA(**{"start": "1 step", "every": "1 step"} | {field: "25%"}).when(5, None)
    assert error.value.field == f"averaging.{field}"


def test_no_averaging_is_theta_itself():
    theta = np.array([1.0, 2.0])
    averaging = NoAveraging()
    state = averaging.init(theta)
    averaging.update(theta, state, Workspace())
    assert averaging.value(theta, state) is theta


def test_ema_of_three_steps_by_hand():
    # v = 1/2, 5/4, 21/8 over 1 - 2^-t = 1/2, 3/4, 7/8
    thetas = [np.array([x]) for x in (1.0, 2.0, 4.0)]
    initial = np.array([8.0])
    corrected = [float(v[0]) for v in average(EMA(0.5), initial, thetas)]
    assert corrected == pytest.approx([1, 5 / 3, 3], rel=1e-15)
    # 8 -> (8 + 1)/2 -> (4.5 + 2)/2 -> (3.25 + 4)/2
    from_the_start = average(EMA(0.5, bias_correction=False), initial, thetas)
    assert [float(v[0]) for v in from_the_start] == [4.5, 3.25, 3.625]


def test_swa_is_the_plain_mean():
    # 1, 3/2, 7/3, and what was before the first does not count
    thetas = [np.array([x]) for x in (1.0, 2.0, 4.0)]
    means = [float(v[0]) for v in average(SWA(), np.array([8.0]), thetas)]
    assert means == pytest.approx([1, 3 / 2, 7 / 3], rel=1e-15)
    thetas = np.random.default_rng(4).normal(size=(50, 3, 7)) + 5
    for k, mean in enumerate(average(SWA(), thetas[0], thetas), start=1):
        np.testing.assert_allclose(mean, thetas[:k].sum(axis=0) / k, rtol=1e-13)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("warmup", [True, False])
def test_ema_is_the_loop_of_its_definition(decay, warmup):
    """v = beta v + (1 - beta) theta, read as v / (1 - the product of all beta), or from theta_0."""
    thetas = np.random.default_rng(5).normal(size=(60, 4))
    v, w, product = np.zeros(4), thetas[0], 1.0
    corrected = average(EMA(decay, True, warmup), thetas[0], thetas[1:])
    plain = average(EMA(decay, False, warmup), thetas[0], thetas[1:])
    averages = zip(thetas[1:], corrected, plain, strict=True)
    for t, (theta, with_it, without) in enumerate(averages, start=1):
        beta = min(decay, (1 + t) / (10 + t)) if warmup else decay
        v = beta * v + (1 - beta) * theta
        w = beta * w + (1 - beta) * theta
        product = product * beta
        np.testing.assert_allclose(with_it, v / (1 - product), rtol=1e-12)
        np.testing.assert_allclose(without, w, rtol=1e-12)
        if not warmup:
            assert product == pytest.approx(decay**t, rel=1e-12)


def test_the_warm_up_of_the_decay_by_hand():
    # beta = 2/11, 3/12, 4/13, 5/14, then the decay: 6/15 = 0.4 is more than 0.38
    ones = [np.ones(1)] * 6
    left = [1 - float(v[0]) for v in average(EMA(0.38, False, True), np.zeros(1), ones)]
    factors = [left[0], *(after / before for before, after in pairwise(left))]
    assert factors == pytest.approx([2 / 11, 3 / 12, 4 / 13, 5 / 14, 0.38, 0.38], rel=1e-12)


@every_row
def test_an_average_is_a_convex_combination_of_what_it_saw(averaging):
    """The average of unit vectors is the weights that the thetas have."""
    n = 12
    initial, *thetas = np.eye(n + 1)
    for k, weights in enumerate(average(averaging, initial, thetas), start=1):
        assert (weights >= 0).all()
        assert weights.sum() == pytest.approx(1, rel=1e-12)
        assert (weights[k + 1 :] == 0).all()
        assert weights[0] == 0 or not getattr(averaging, "bias_correction", True)


@pytest.mark.parametrize("correction", [True, False])
@pytest.mark.parametrize("warmup", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ema_without_decay_is_theta_bit_for_bit(dtype, warmup, correction):
    thetas = np.random.default_rng(0).normal(size=(10, 3, 7)).astype(dtype)
    averages = average(EMA(0.0, correction, warmup), np.ones((3, 7), dtype), thetas)
    for theta, value in zip(thetas, averages, strict=True):
        assert value.tobytes() == theta.tobytes()


@every_row
def test_a_constant_theta_is_a_fixed_point(averaging):
    theta = np.random.default_rng(1).normal(size=20)
    for value in average(averaging, theta, [theta] * 50):
        np.testing.assert_allclose(value, theta, rtol=1e-12)


@every_row
def test_before_the_first_step_the_average_is_theta(averaging):
    theta = np.array([1.0, -3.0], np.float32)
    assert averaging.value(theta, averaging.init(theta)) is theta


@every_row
@settings(max_examples=20, deadline=None)
@given(
    thetas=arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, max_side=8),
        elements=st.floats(-(2.0**60), 2.0**60, width=32),
    )
)
def test_the_average_is_between_the_least_and_the_greatest_theta_seen(averaging, thetas):
    tolerance = 1e-12 * np.abs(thetas).max()
    for k, value in enumerate(average(averaging, thetas[0], thetas), start=1):
        assert value.dtype == np.float32
        assert (value >= thetas[:k].min(axis=0) - tolerance).all()
        assert (value <= thetas[:k].max(axis=0) + tolerance).all()


def test_ema_in_float32_does_not_stall_short_of_its_target():
    # In float32 it would stop where 0.001 * (1 - average) is lost in rounding: 3e-5 short.
    ema, work = EMA(0.999, bias_correction=False), Workspace()
    state = ema.init(np.zeros(1, np.float32))
    theta = np.ones(1, np.float32)
    for _ in range(20_000):
        ema.update(theta, state, work)
    assert ema.value(theta, state)[0] == pytest.approx(1, abs=1e-7)


def test_swa_in_float32_does_not_lose_what_a_late_theta_adds():
    # the mean of 1 and 1000 times 1 + 2^-20: in float32 it would stay where 2^-20 / t rounds to 0
    thetas = [np.ones(1, np.float32)] + [np.full(1, 1 + 2.0**-20, np.float32)] * 1000
    swa, work = SWA(), Workspace()
    state = swa.init(thetas[0])
    for theta in thetas:
        swa.update(theta, state, work)
    assert state["average"].dtype == np.float64
    assert state["average"][0] == pytest.approx(1 + 2.0**-20 * (1 - 1 / 1001), abs=1e-12)


@every_row
def test_stop_save_restore_go_on_equals_never_stopped(averaging):
    thetas = np.random.default_rng(2).normal(size=(20, 9)).astype(np.float32)
    uninterrupted = list(average(averaging, thetas[0], thetas))[-1]

    state = averaging.init(thetas[0])
    for theta in thetas[:7]:
        averaging.update(theta, state, Workspace())
    state = {name: array.copy() for name, array in state.items()}
    for theta in thetas[7:]:
        averaging.update(theta, state, Workspace())
    np.testing.assert_array_equal(averaging.value(thetas[-1], state), uninterrupted)


@every_row
def test_neither_the_initial_nor_a_later_theta_is_changed_or_kept(averaging):
    initial, theta, work = np.ones(3), np.full(3, 2.0), Workspace()
    state = averaging.init(initial)
    averaging.update(theta, state, work)
    expected = averaging.value(theta, state).copy()
    np.testing.assert_array_equal(initial, 1)
    np.testing.assert_array_equal(theta, 2)
    initial += 5
    np.testing.assert_array_equal(averaging.value(theta, state), expected)


@pytest.mark.parametrize("correction", [True, False])
@pytest.mark.parametrize("warmup", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_k_stacked_models_average_like_k_single_ones(dtype, warmup, correction):
    thetas = np.random.default_rng(3).normal(size=(30, len(DECAYS), 11)).astype(dtype)
    decays = np.array(DECAYS)[:, None]
    stacked = [
        list(average(averaging, thetas[0], thetas))
        for averaging in (EMA(decays, correction, warmup), EMA(0.9, correction, warmup), SWA())
    ]
    for k, decay in enumerate(DECAYS):
        alone = (EMA(decay, correction, warmup), EMA(0.9, correction, warmup), SWA())
        for values, averaging in zip(stacked, alone, strict=True):
            alike = zip(values, average(averaging, thetas[0, k], thetas[:, k]), strict=True)
            for value, value_alone in alike:
                assert value.dtype == dtype
                np.testing.assert_array_equal(value[k], value_alone)


@every_row
def test_no_array_of_theta_s_size_is_allocated_after_the_first_update(averaging):
    theta, work = np.ones(200_000, np.float32), Workspace()
    state = averaging.init(theta)
    averaging.update(theta, state, work)
    tracemalloc.start()
    try:
        averaging.update(theta, state, work)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < theta.nbytes / 4

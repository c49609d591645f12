import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from nnlab.core.arrays import Workspace
from nnlab.core.averaging import EMA, NoAveraging

DECAYS = (0.0, 0.3, 0.9, 0.99, 0.999)
TABLE = {
    NoAveraging: [NoAveraging()],
    EMA: [EMA(decay, correction) for decay in DECAYS for correction in (True, False)],
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
    assert (NoAveraging.label, EMA.label) == ("", "ema")


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


@pytest.mark.parametrize("correction", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ema_without_decay_is_theta_bit_for_bit(dtype, correction):
    thetas = np.random.default_rng(0).normal(size=(10, 3, 7)).astype(dtype)
    averages = average(EMA(0.0, correction), np.ones((3, 7), dtype), thetas)
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
def test_k_stacked_models_average_like_k_single_ones(correction):
    thetas = np.random.default_rng(3).normal(size=(30, len(DECAYS), 11)).astype(np.float32)
    decays = np.array(DECAYS)[:, None]
    *_, stacked = average(EMA(decays, correction), thetas[0], thetas)
    assert stacked.dtype == np.float32
    for k, decay in enumerate(DECAYS):
        *_, alone = average(EMA(decay, correction), thetas[0, k], thetas[:, k])
        np.testing.assert_array_equal(stacked[k], alone)


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

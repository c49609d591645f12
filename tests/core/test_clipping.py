import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nnlab.core.arrays import Workspace
from nnlab.core.clipping import ClipNorm, ClipValue, NoClipping
from nnlab.core.objective import Oracle
from nnlab.core.surfaces import Parabola

HAND_WORKED = {  # clipping: instances, a gradient, and what is left of it
    NoClipping: [(NoClipping(), [3.0, -4.0, 1e9], [3, -4, 1e9])],
    ClipNorm: [
        (ClipNorm(), [3.0, -4.0], [0.6, -0.8]),  # the norm is 5
        (ClipNorm(2.5), [3.0, -4.0], [1.5, -2]),
        (ClipNorm(5.0), [3.0, -4.0], [3, -4]),
        (ClipNorm(6.0), [3.0, -4.0], [3, -4]),
        (ClipNorm(), [0.0, 0.0], [0, 0]),
        (ClipNorm(3.0), [2.0, 4.0, 4.0], [1, 2, 2]),  # each number is below 6, the norm
    ],
    ClipValue: [
        (ClipValue(), [3.0, -4.0, 0.5, -0.5, 1.0], [1, -1, 0.5, -0.5, 1]),
        (ClipValue(3.5), [3.0, -4.0], [3, -3.5]),
    ],
}
STRONG = [NoClipping(), ClipNorm(0.5), ClipValue(0.5)]
gradients = arrays(np.float32, st.integers(1, 8), elements=st.floats(-(2.0**60), 2.0**60, width=32))


def clipped(clipping, grad):
    grad = np.array(grad)
    clipping.clip(grad)
    return grad


def test_every_clipping_is_in_the_table(clipping_class):
    assert clipping_class in HAND_WORKED
    assert clipping_class in {type(clipping) for clipping in STRONG}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clipping_by_hand(clipping_class, dtype):
    for clipping, grad, expected in HAND_WORKED[clipping_class]:
        got = clipped(clipping, np.array(grad, dtype))
        assert got.dtype == dtype
        np.testing.assert_allclose(got, expected, rtol=2 * np.finfo(dtype).eps)


@settings(max_examples=50, deadline=None)
@given(grad=gradients, norm=st.floats(1e-3, 1e3))
def test_a_clipped_norm_is_the_shorter_of_the_two_and_the_direction_stays(grad, norm):
    length = np.linalg.norm(grad.astype(np.float64))
    got = clipped(ClipNorm(norm), grad)
    assert np.linalg.norm(got.astype(np.float64)) == pytest.approx(min(length, norm), rel=1e-6)
    factor = min(1, norm / length) if length else 1
    np.testing.assert_allclose(got, grad.astype(np.float64) * factor, rtol=1e-6, atol=1e-40)


@settings(max_examples=50, deadline=None)
@given(grad=gradients, value=st.floats(2.0**-10, 2.0**10, width=32))
def test_a_clipped_value_is_the_nearest_in_range(grad, value):
    nearest = [max(-value, min(value, float(g))) for g in grad]
    np.testing.assert_array_equal(clipped(ClipValue(value), grad), nearest)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_short_gradient_is_left_alone_bit_for_bit(dtype):
    rng = np.random.default_rng(0)
    for size in (1, 3, 100, 10_001):
        grad = rng.normal(size=size).astype(dtype)
        norm = 1.000001 * np.linalg.norm(grad.astype(np.float64))
        for clipping in (ClipNorm(norm), ClipValue(float(np.abs(grad).max()))):
            assert clipped(clipping, grad).tobytes() == grad.tobytes()


@pytest.mark.parametrize("clipping", STRONG, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_stays_visible(clipping, dtype):
    for grad in ([1.0, np.nan, 3.0], [np.nan], [np.inf, np.nan], [0.0, np.nan]):
        with np.errstate(invalid="ignore"):
            assert np.isnan(clipped(clipping, np.array(grad, dtype))).any()


def test_infinity_stays_visible_where_the_norm_is_clipped():
    with np.errstate(invalid="ignore"):
        assert not np.isfinite(clipped(ClipNorm(), [1.0, np.inf])).all()
    # a value that is clipped is the bound, as in PyTorch: the direction is lost, its sign is not
    np.testing.assert_array_equal(clipped(ClipValue(), [np.inf, -np.inf]), [1, -1])


def test_a_float32_gradient_whose_square_overflows():
    huge = np.array([3e30, -4e30], np.float32)
    np.testing.assert_allclose(clipped(ClipNorm(), huge), [0.6, -0.8], rtol=1e-6)
    tiny = np.array([3e-30, -4e-30], np.float32)  # and one whose square underflows
    np.testing.assert_array_equal(clipped(ClipNorm(), tiny), tiny)
    np.testing.assert_allclose(clipped(ClipNorm(1e-30), tiny), tiny / 5, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 7, 1000, 8193, 20_001])
def test_k_stacked_gradients_are_clipped_like_k_single_ones(clipping_class, size, dtype):
    rng = np.random.default_rng(1)
    bounds = np.array([[0.1], [1.0], [30.0], [1e6]])
    grads = (rng.normal(size=(4, size)) * [[5], [0.1], [10], [3]]).astype(dtype)

    def make(bound):
        return clipping_class() if clipping_class is NoClipping else clipping_class(bound)

    for column in (bounds, np.full((4, 1), 2.0)):
        got = clipped(make(column), grads)
        for k in range(4):
            alone = clipped(make(float(column[k, 0])), grads[k])
            np.testing.assert_array_equal(got[k], alone)
    np.testing.assert_array_equal(clipped(make(2.0), grads), got)


@pytest.mark.parametrize("clipping", STRONG, ids=str)
@pytest.mark.parametrize("shape", [(200_000,), (3, 70_000)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_array_of_the_gradient_s_size_is_allocated(clipping, shape, dtype):
    grad = np.ones(shape, dtype)
    tracemalloc.start()
    try:
        clipping.clip(grad)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < grad.nbytes / 4


def test_the_oracle_clips_what_the_optimizer_gets_and_looks_before():
    class Looking(Oracle):
        def look(self, grad):
            self.seen = grad.copy()

    theta = np.array([3.0, 0.4])  # the gradient is (3, 4)
    oracle = Looking(Parabola((1.0, 10.0)), Workspace(), ClipNorm(0.5))
    value, grad = oracle(theta)
    np.testing.assert_allclose(grad, [0.3, 0.4], rtol=1e-15)
    np.testing.assert_allclose(oracle.seen, [3, 4], rtol=1e-15)
    assert value == oracle.value(theta) == pytest.approx(4.5 + 0.8)

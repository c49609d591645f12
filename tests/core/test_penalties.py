import tracemalloc
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nnlab.core.arrays import Workspace
from nnlab.core.layout import Layout
from nnlab.core.penalties import L1, L2, Elastic, NoPenalty

LAYOUT = Layout.of({"a.weight": (2, 2), "a.bias": (2,), "b.weight": (2, 1), "b.bias": (1,)})
#                  a.weight             a.bias        b.weight    b.bias
THETA = np.array([1.0, -2.0, 0.0, 3.0, 100.0, -100.0, -0.5, 4.0, 100.0])

HAND_WORKED = {  # penalty: (an instance, value at THETA, gradient at THETA)
    NoPenalty: (NoPenalty(), 0.0, np.zeros(9)),
    # squares: 1 + 4 + 0 + 9 + 1/4 + 16 = 30.25
    L2: (L2(0.5), 15.125, [1, -2, 0, 3, 0, 0, -0.5, 4, 0]),
    # absolutes: 1 + 2 + 0 + 3 + 1/2 + 4 = 10.5
    L1: (L1(0.5), 5.25, [0.5, -0.5, 0, 0.5, 0, 0, -0.5, 0.5, 0]),
    Elastic: (Elastic(l1=2.0, l2=0.5), 36.125, [3, -4, 0, 5, 0, 0, -2.5, 6, 0]),
}


def evaluate(penalty, theta, layout=LAYOUT):
    grad = np.zeros_like(theta)
    return penalty.add(theta, layout, grad, Workspace()), grad


def strong(penalty_class, strength):
    """A penalty of that class with the strength in each of its fields."""
    return penalty_class(**{field.name: strength for field in fields(penalty_class)})


def test_every_penalty_is_in_the_table(penalty_class):
    assert penalty_class in HAND_WORKED


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_penalties_by_hand(penalty_class, dtype):
    penalty, expected, expected_grad = HAND_WORKED[penalty_class]
    value, grad = evaluate(penalty, THETA.astype(dtype))
    assert value == expected
    assert type(value) is float or value.dtype == dtype
    np.testing.assert_array_equal(grad, expected_grad)


@pytest.mark.parametrize("theta", [THETA, np.stack([THETA, 2 * THETA])], ids=["one", "stacked"])
def test_without_a_gradient_the_value_is_the_same_and_nothing_is_touched(penalty_class, theta):
    penalty, _, _ = HAND_WORKED[penalty_class]
    before = theta.copy()
    value = penalty.add(theta, LAYOUT, None, Workspace())
    np.testing.assert_array_equal(value, evaluate(penalty, theta)[0])
    np.testing.assert_array_equal(theta, before)


def test_what_work_arrays_hold_from_before_does_not_matter(penalty_class):
    penalty, expected, expected_grad = HAND_WORKED[penalty_class]
    work, grad = Workspace(), np.zeros(9)
    penalty.add(np.full(9, 7.0), LAYOUT, np.ones(9), work)
    penalty.add(-THETA, LAYOUT, None, work)
    assert penalty.add(THETA, LAYOUT, grad, work) == expected
    np.testing.assert_array_equal(grad, expected_grad)


def test_gradients_are_central_differences(penalty_class):
    h, penalty = 1e-6, strong(penalty_class, 0.3)
    theta = np.random.default_rng(1).normal(size=9)
    _, grad = evaluate(penalty, theta)
    for i in range(9):
        step = h * np.eye(9)[i]
        ahead, behind = evaluate(penalty, theta + step)[0], evaluate(penalty, theta - step)[0]
        assert grad[i] == pytest.approx((ahead - behind) / (2 * h), rel=1e-7, abs=1e-9)


def test_the_gradient_is_0_at_the_kink(penalty_class):
    value, grad = evaluate(strong(penalty_class, 1.0), np.zeros(9))
    assert value == 0
    np.testing.assert_array_equal(grad, 0)


def test_l2_prefers_spread_out_weights_and_l1_does_not_care():
    layout = Layout.of({"weight": (4, 1)})
    one, spread = np.array([1.0, 0.0, 0.0, 0.0]), np.full(4, 0.25)
    assert [evaluate(L2(1.0), theta, layout)[0] for theta in (one, spread)] == [1.0, 0.25]
    assert [evaluate(L1(1.0), theta, layout)[0] for theta in (one, spread)] == [1.0, 1.0]


def test_the_gradient_is_added_to_what_is_there(penalty_class):
    penalty, _, expected = HAND_WORKED[penalty_class]
    grad = np.arange(9.0)
    penalty.add(THETA, LAYOUT, grad, Workspace())
    np.testing.assert_array_equal(grad, np.arange(9.0) + expected)


def test_biases_are_never_penalised(penalty_class):
    biases = np.zeros(9)
    biases[[4, 5, 8]] = [7.0, -8.0, 9.0]
    value, grad = evaluate(strong(penalty_class, 1.0), biases)
    assert value == 0
    np.testing.assert_array_equal(grad, 0)


@settings(max_examples=50, deadline=None)
@given(theta=arrays(np.float64, 9, elements=st.floats(-1e3, 1e3)), strength=st.floats(0, 10))
def test_penalties_are_even_and_at_least_zero(penalty_class, theta, strength):
    penalty = strong(penalty_class, strength)
    value, grad = evaluate(penalty, theta)
    mirrored, mirrored_grad = evaluate(penalty, -theta)
    assert value == mirrored >= 0
    np.testing.assert_array_equal(grad, -mirrored_grad)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_k_stacked_models_have_the_gradients_of_k_single_ones(penalty_class, dtype):
    rng = np.random.default_rng(0)
    layout = Layout.of({"a.weight": (9, 7), "a.bias": (7,), "b.weight": (7, 3)})
    theta = rng.normal(size=(4, layout.size)).astype(dtype)
    strengths = np.array([[0.1], [0.03], [0.0], [0.7]])
    values, grads = evaluate(strong(penalty_class, strengths), theta, layout)
    assert np.shape(values) in {(4,), ()}
    for k in range(4):
        alone, grad = evaluate(strong(penalty_class, float(strengths[k, 0])), theta[k], layout)
        np.testing.assert_array_equal(grads[k], grad)
        np.testing.assert_array_equal(np.broadcast_to(values, 4)[k], alone)
        assert np.asarray(values).dtype == np.asarray(alone).dtype
        if penalty_class is not NoPenalty:
            assert (values.dtype, grads.dtype) == (dtype, dtype)


@pytest.mark.parametrize("wanted", [True, False], ids=["gradient", "value"])
def test_no_array_of_theta_s_size_is_allocated_after_the_first_call(penalty_class, wanted):
    layout = Layout.of({"weight": (400, 500)})
    theta, work = np.ones(layout.size), Workspace()
    grad = np.zeros(layout.size) if wanted else None
    penalty = strong(penalty_class, 0.1)
    penalty.add(theta, layout, grad, work)
    tracemalloc.start()
    try:
        penalty.add(theta, layout, grad, work)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < theta.nbytes / 8

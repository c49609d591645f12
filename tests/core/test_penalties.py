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


def test_penalties_by_hand(penalty_class):
    penalty, expected, expected_grad = HAND_WORKED[penalty_class]
    value, grad = evaluate(penalty, THETA)
    assert value == expected
    np.testing.assert_array_equal(grad, expected_grad)


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


def test_no_array_of_theta_s_size_is_allocated_after_the_first_call(penalty_class):
    layout = Layout.of({"weight": (400, 500)})
    theta, grad, work = np.ones(layout.size), np.zeros(layout.size), Workspace()
    penalty = strong(penalty_class, 0.1)
    penalty.add(theta, layout, grad, work)
    tracemalloc.start()
    try:
        penalty.add(theta, layout, grad, work)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < theta.nbytes / 8

from dataclasses import fields
from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nnlab.core.arrays import Workspace
from nnlab.core.laws import LawError
from nnlab.core.losses import (
    MSE,
    BinaryCrossEntropy,
    BinaryHinge,
    CrossEntropy,
    HalfMSE,
    Hinge,
    Huber,
    SigmoidSquaredError,
    SquaredHinge,
)
from nnlab.core.smoothing import LabelSmoothing, NoSmoothing, UniformSmoothing

OF_THREE = [[0.5, -1.0, 2.0]]
TOTAL = exp(0.5) + exp(-1) + exp(2)


def sigmoid(z):
    return 1 / (1 + exp(-z))


BY_HAND = {  # loss: its values at OF_THREE for the labels 0, 1, 2
    MSE: (5.25, 8.25, 2.25),
    HalfMSE: (2.625, 4.125, 1.125),
    Huber: (0.125 + 0.5 + 1.5, 0.125 + 1.5 + 1.5, 0.125 + 0.5 + 0.5),
    SigmoidSquaredError: (
        (sigmoid(-0.5) ** 2 + sigmoid(-1) ** 2 + sigmoid(2) ** 2) / 2,
        (sigmoid(0.5) ** 2 + sigmoid(1) ** 2 + sigmoid(2) ** 2) / 2,
        (sigmoid(0.5) ** 2 + sigmoid(-1) ** 2 + sigmoid(-2) ** 2) / 2,
    ),
    CrossEntropy: (log(TOTAL) - 0.5, log(TOTAL) + 1, log(TOTAL) - 2),
    BinaryCrossEntropy: (
        -log(sigmoid(0.5) * sigmoid(1) * sigmoid(-2)),
        -log(sigmoid(-0.5) * sigmoid(-1) * sigmoid(-2)),
        -log(sigmoid(-0.5) * sigmoid(1) * sigmoid(2)),
    ),
    Hinge: (2.5, 2.5 + 4, 0),
    SquaredHinge: (2.5**2, 2.5**2 + 4**2, 0),
    BinaryHinge: (0.5 + 0 + 3, 1.5 + 2 + 3, 1.5 + 0 + 0),
}


def evaluate(loss, z, labels, classes, weights=None):
    """Value and a copy of dz."""
    y = loss.encode(np.asarray(labels), classes, z.dtype)
    value, dz = loss(z, y, Workspace(), weights)
    return value, dz.copy()


def by_definition(loss, epsilon, z, labels, classes, weights=None):
    """Value and dz of the smoothed loss: a loop over all labels."""
    value, dz = evaluate(loss, z, labels, classes, weights)
    value, dz = (1 - epsilon) * value, (1 - epsilon) * dz
    for label in range(classes):
        of_label, dz_of_label = evaluate(loss, z, np.full(len(labels), label), classes, weights)
        value, dz = value + epsilon / classes * of_label, dz + epsilon / classes * dz_of_label
    return value, dz


def scores(loss, classes, m, *leading, dtype=np.float64):
    """Random scores as wide as the loss wants them, and labels."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(*leading, m, loss.outputs(classes)), scale=3).astype(dtype)
    return z, rng.integers(classes, size=m)


WEIGHTS = {
    "unweighted": None,
    "weighted": np.array([1.0, 0.0, 2.5, 0.3, 0.0, 4.0, 1.0]),
    "weightless": np.zeros(7),
}
weighted = pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)


def test_every_loss_is_in_the_table(loss_class):
    assert loss_class in BY_HAND


def test_values_by_hand(loss_class):
    of_labels = BY_HAND[loss_class]
    for label in range(3):
        value, _ = evaluate(LabelSmoothing(loss_class(), 0.3), np.array(OF_THREE), [label], 3)
        assert value == pytest.approx(0.7 * of_labels[label] + 0.1 * sum(of_labels), rel=1e-12)


def test_cross_entropy_by_hand():
    # softmax: 1/8, 2/8, 5/8; targets of label 1: 0.1, 0.8, 0.1
    z = np.log([[1.0, 2.0, 5.0]])
    value, dz = evaluate(LabelSmoothing(CrossEntropy(), 0.3), z, [1], 3)
    assert value == pytest.approx(0.1 * log(8) + 0.8 * log(4) + 0.1 * log(8 / 5))
    np.testing.assert_allclose(dz, [[0.125 - 0.1, 0.25 - 0.8, 0.625 - 0.1]])


def test_binary_cross_entropy_of_one_score_by_hand():
    # sigmoid(log 3) = 3/4; the target of yes is 1 - 0.2 / 2
    z = np.array([[log(3)]])
    value, dz = evaluate(LabelSmoothing(BinaryCrossEntropy(), 0.2), z, [1], 2)
    assert value == pytest.approx(0.9 * log(4 / 3) + 0.1 * log(4))
    np.testing.assert_allclose(dz, [[0.75 - 0.9]])


@weighted
@pytest.mark.parametrize("epsilon", [0.1, 0.75])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_a_smoothed_loss_is_the_expectation_over_labels(loss_class, classes, epsilon, weights):
    loss = loss_class()
    z, labels = scores(loss, classes, 7)
    value, dz = evaluate(LabelSmoothing(loss, epsilon), z, labels, classes, weights)
    expected, expected_dz = by_definition(loss, epsilon, z, labels, classes, weights)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(dz, expected_dz, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("classes", [2, 4])
def test_gradients_are_central_differences(loss_class, classes):
    h, loss = 1e-5, LabelSmoothing(loss_class(), 0.3)
    z, labels = scores(loss, classes, 7)
    weights = WEIGHTS["weighted"]
    _, dz = evaluate(loss, z, labels, classes, weights)
    for i in np.ndindex(z.shape):
        step = np.zeros_like(z)
        step[i] = h
        ahead, _ = evaluate(loss, z + step, labels, classes, weights)
        behind, _ = evaluate(loss, z - step, labels, classes, weights)
        assert dz[i] == pytest.approx((ahead - behind) / (2 * h), rel=1e-7, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    z=arrays(np.float64, (4, 3), elements=st.floats(-50, 50)),
    labels=arrays(np.int64, 4, elements=st.integers(0, 2)),
)
def test_an_epsilon_of_zero_is_the_loss_itself(loss_class, z, labels):
    value, dz = evaluate(LabelSmoothing(loss_class(), 0.0), z, labels, 3)
    expected, expected_dz = evaluate(loss_class(), z, labels, 3)
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-14)
    np.testing.assert_allclose(dz, expected_dz, rtol=1e-12, atol=1e-16)


def test_an_epsilon_of_one_does_not_see_the_labels(loss_class):
    loss = LabelSmoothing(loss_class(), 1.0)
    z, labels = scores(loss, 3, 7)
    value, dz = evaluate(loss, z, labels, 3)
    other, other_dz = evaluate(loss, z, (labels + 1) % 3, 3)
    assert value == pytest.approx(other, rel=1e-12)
    np.testing.assert_allclose(dz, other_dz, rtol=1e-12)


def test_a_smoothed_squared_error_has_the_gradient_of_smoothed_targets():
    z, labels = scores(HalfMSE(), 5, 7)
    _, dz = evaluate(LabelSmoothing(HalfMSE(), 0.2), z, labels, 5)
    np.testing.assert_allclose(dz, (z - 0.8 * np.eye(5)[labels] - 0.04) / 7, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_at_zero_is_the_loss_of_zero_scores(loss_class, classes):
    plain = loss_class()
    for loss in (plain, *(type(plain)(delta) for delta in (0.25, 3.5) if fields(plain))):
        smoothed, outputs = LabelSmoothing(loss, 0.3), loss.outputs(classes)
        labels = np.random.default_rng(0).integers(classes, size=7)
        baseline = smoothed.at_zero(smoothed.encode(labels, classes, np.float64), outputs)
        assert type(baseline) is float
        value, _ = evaluate(smoothed, np.zeros((7, outputs)), labels, classes)
        assert baseline == pytest.approx(value, rel=1e-12)


def test_it_is_a_loss_of_labels_that_decides_as_the_smoothed_one(loss_class):
    loss = loss_class()
    smoothed = LabelSmoothing(loss, 0.1)
    assert not smoothed.regression
    assert smoothed.on_scores is loss.on_scores
    for classes in (2, 3):
        assert smoothed.outputs(classes) == loss.outputs(classes)
        z, _ = scores(loss, classes, 20)
        np.testing.assert_array_equal(smoothed.decide(z), loss.decide(z))


def test_targets_are_the_loss_s_own_but_for_cross_entropy(loss_class):
    loss, labels = loss_class(), np.array([1, 0, 2], np.uint8)
    y = LabelSmoothing(loss, 0.3).encode(labels, 3, np.float32)
    if loss_class is CrossEntropy:
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, [[0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]], 1e-7)
    else:
        expected = loss.encode(labels, 3, np.float32)
        assert y.dtype == expected.dtype
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 3])
def test_extreme_scores_give_finite_values_and_gradients(loss_class, classes, dtype):
    loss = LabelSmoothing(loss_class(), 0.1)
    width = loss.outputs(classes)
    extremes = np.array(np.meshgrid(*[[-1e4, 0, 1e4]] * width), dtype).reshape(width, -1).T
    for label in range(classes):
        value, dz = evaluate(loss, extremes, [label] * len(extremes), classes)
        assert np.isfinite(value)
        assert np.isfinite(dz).all()


@weighted
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_k_stacked_scores_give_the_bits_of_k_single_calls(loss_class, classes, dtype, weights):
    loss = LabelSmoothing(loss_class(), 0.1)
    weights = None if weights is None else weights.astype(dtype)
    z, labels = scores(loss, classes, 7, 4, 3, dtype=dtype)
    values, dz = evaluate(loss, z, labels, classes, weights)
    assert values.shape == (4, 3)
    assert (values.dtype, dz.dtype) == (dtype, dtype)
    for k in np.ndindex(4, 3):
        alone, dz_alone = evaluate(loss, z[k], labels, classes, weights)
        assert values[k] == alone
        np.testing.assert_array_equal(dz[k], dz_alone)


def test_inputs_are_left_alone_and_what_work_arrays_held_does_not_matter(loss_class):
    loss, work = LabelSmoothing(loss_class(), 0.1), Workspace()
    z, labels = scores(loss, 3, 7)
    y = loss.encode(labels, 3, z.dtype)
    z_before, y_before = z.copy(), y.copy()
    _, first = loss(-2 * z, y, work)
    value, dz = loss(z, y, work)
    assert dz is first
    fresh, fresh_dz = evaluate(loss, z, labels, 3)
    assert value == fresh
    np.testing.assert_array_equal(dz, fresh_dz)
    np.testing.assert_array_equal(z, z_before)
    np.testing.assert_array_equal(y, y_before)


def test_what_the_config_says_becomes_a_loss(smoothing_class, loss_class):
    loss = loss_class()
    expected = {NoSmoothing: loss, UniformSmoothing: LabelSmoothing(loss, 0.1)}
    assert smoothing_class().of(loss) == expected[smoothing_class]


def test_epsilon_is_passed_on_and_has_a_range():
    assert UniformSmoothing(0.0).of(Hinge()) == LabelSmoothing(Hinge(), 0.0)
    assert UniformSmoothing(0.3).of(Hinge(2.0)) == LabelSmoothing(Hinge(2.0), 0.3)
    for bad in (-0.1, 1.0, float("nan")):
        with pytest.raises(LawError, match=f"`0 <= epsilon < 1` must hold, but got epsilon={bad}"):
            UniformSmoothing(bad)

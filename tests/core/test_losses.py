from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nnlab.core.arrays import Workspace
from nnlab.core.losses import MSE, BinaryCrossEntropy, CrossEntropy, Hinge, SquaredHinge

# The example of Stanford's CS231n, "Linear classification".
SCORES = np.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
LABELS = np.array([0, 1, 2])


def mse(z, label):
    return sum((score - (c == label)) ** 2 for c, score in enumerate(z))


def cross_entropy(z, label):
    return -log(exp(z[label]) / sum(exp(score) for score in z))


def binary_cross_entropy(z, label):
    if len(z) == 1:
        return -log(1 / (1 + exp(-z[0]))) if label == 1 else -log(1 / (1 + exp(z[0])))
    return sum(binary_cross_entropy([score], int(c == label)) for c, score in enumerate(z))


def hinge(z, label, power=1):
    others = [score for c, score in enumerate(z) if c != label]
    return sum(max(0.0, score - z[label] + 1) ** power for score in others)


TEXTBOOK = {  # loss: the loss of one example, in Python's own numbers
    MSE: mse,
    CrossEntropy: cross_entropy,
    BinaryCrossEntropy: binary_cross_entropy,
    Hinge: hinge,
    SquaredHinge: lambda z, label: hinge(z, label, power=2),
}

DECISIONS = {  # loss: outputs(2); labels [1, 0] encoded of two, of three; regression
    MSE: (2, [[0, 1], [1, 0]], [[0, 1, 0], [1, 0, 0]], True),
    CrossEntropy: (2, [1, 0], [1, 0], False),
    BinaryCrossEntropy: (1, [[1], [0]], [[0, 1, 0], [1, 0, 0]], False),
    Hinge: (2, [1, 0], [1, 0], False),
    SquaredHinge: (2, [1, 0], [1, 0], False),
}


def evaluate(loss, z, labels, classes=None):
    """Value and a copy of dz."""
    z = np.asarray(z)
    y = loss.encode(np.asarray(labels), classes or z.shape[-1], z.dtype)
    value, dz = loss(z, y, Workspace())
    return value, dz.copy()


def scores(loss, classes, m, *leading, dtype=np.float64):
    """Random scores as wide as the loss wants them, and labels."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(*leading, m, loss.outputs(classes)), scale=3).astype(dtype)
    return z, rng.integers(classes, size=m)


def test_every_loss_is_in_the_tables(loss_class):
    assert loss_class in TEXTBOOK
    assert loss_class in DECISIONS


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_values_are_the_textbook_s(loss_class, classes):
    z, labels = scores(loss_class(), classes, m=20)
    one_by_one = [TEXTBOOK[loss_class](row, label) for row, label in zip(z, labels, strict=True)]
    value, _ = evaluate(loss_class(), z, labels, classes)
    assert value == pytest.approx(sum(one_by_one) / 20, rel=1e-12)


def test_hinge_by_hand():
    assert evaluate(Hinge(), SCORES[:1], [0])[0] == pytest.approx(2.9)
    assert evaluate(Hinge(), SCORES[1:2], [1])[0] == 0
    assert evaluate(Hinge(), SCORES[2:], [2])[0] == pytest.approx(12.9)
    assert evaluate(Hinge(), SCORES, LABELS)[0] == pytest.approx(5.27, abs=0.005)
    # label 0: 5.1 is above 3.2 - 3, and so is -1.7 + 5; delta is added to both margins
    assert evaluate(Hinge(delta=5.0), SCORES[:1], [0])[0] == pytest.approx(6.9 + 0.1)


def test_hinge_gradient_by_hand():
    # Row 1: one margin is positive. Row 2: none. Row 3: both. Each over m = 3.
    expected = np.array([[-1, 1, 0], [0, 0, 0], [1, 1, -2]]) / 3
    np.testing.assert_allclose(evaluate(Hinge(), SCORES, LABELS)[1], expected)


def test_squared_hinge_by_hand():
    value, dz = evaluate(SquaredHinge(), SCORES, LABELS)
    assert value == pytest.approx((2.9**2 + 6.3**2 + 6.6**2) / 3)
    expected = 2 * np.array([[-2.9, 2.9, 0], [0, 0, 0], [6.3, 6.6, -12.9]]) / 3
    np.testing.assert_allclose(dz, expected, rtol=1e-13)


def test_the_hinges_derivative_is_zero_at_the_kink():
    for loss in (Hinge(), SquaredHinge()):
        value, dz = evaluate(loss, [[2.0, 1.0, 1.0]], [0])
        assert value == 0
        np.testing.assert_array_equal(dz, 0)


def test_cross_entropy_by_hand():
    assert evaluate(CrossEntropy(), SCORES[:1], [0])[0] == pytest.approx(2.04, abs=0.005)
    value, dz = evaluate(CrossEntropy(), np.log([[1.0, 2.0, 5.0]]), [1])
    assert value == pytest.approx(log(4))
    np.testing.assert_allclose(dz, [[0.125, 0.25 - 1, 0.625]])
    value, _ = evaluate(CrossEntropy(), np.zeros((6, 10)), np.arange(6))
    assert value == pytest.approx(log(10))


def test_cross_entropy_of_large_scores_is_finite():
    for label, expected in ((0, 789 - 123), (1, 789 - 456), (2, 0)):
        value, dz = evaluate(CrossEntropy(), [[123.0, 456.0, 789.0]], [label])
        assert value == expected
        np.testing.assert_allclose(dz, [np.eye(3)[2] - np.eye(3)[label]], atol=1e-100)


def test_binary_cross_entropy_by_hand():
    # sigmoid(log 3) = 3/4
    for label, expected in ((1, log(4 / 3)), (0, log(4))):
        value, dz = evaluate(BinaryCrossEntropy(), [[log(3)]], [label], classes=2)
        assert value == pytest.approx(expected)
        np.testing.assert_allclose(dz, [[0.75 - label]])


def test_mse_by_hand():
    value, dz = evaluate(MSE(), SCORES[:1], [0])
    assert value == pytest.approx(2.2**2 + 5.1**2 + 1.7**2)
    np.testing.assert_allclose(dz, [[4.4, 10.2, -3.4]])


def test_mse_of_numbers_is_a_mean_over_examples_and_a_sum_over_outputs():
    z, y = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[0.0, 0.0], [3.0, 2.0]])
    value, dz = MSE()(z, y, Workspace())
    assert value == (1 + 4 + 0 + 9) / 2
    np.testing.assert_array_equal(dz, [[1, 2], [0, 3]])


def test_outputs_and_targets_of_two_and_three_classes(loss_class):
    outputs_of_two, targets_of_two, targets_of_three, regression = DECISIONS[loss_class]
    loss = loss_class()
    assert (loss.outputs(2), loss.outputs(3)) == (outputs_of_two, 3)
    assert loss.regression is regression
    for classes, expected in ((2, targets_of_two), (3, targets_of_three)):
        y = loss.encode(np.array([1, 0], np.uint8), classes, np.float32)
        assert y.tolist() == expected
        assert y.dtype == (np.float32 if y.ndim == 2 else np.intp)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 3])
def test_extreme_scores_give_finite_values_and_gradients(loss_class, classes, dtype):
    loss = loss_class()
    width = loss.outputs(classes)
    extremes = np.array(np.meshgrid(*[[-1e4, 0, 1e4]] * width), dtype).reshape(width, -1).T
    for label in range(classes):
        value, dz = evaluate(loss, extremes, [label] * len(extremes), classes)
        assert np.isfinite(value)
        assert np.isfinite(dz).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("classes", "m"), [(2, 1), (2, 33), (3, 8), (10, 129)])
def test_k_stacked_scores_give_the_bits_of_k_single_calls(loss_class, classes, m, dtype):
    loss = loss_class()
    z, labels = scores(loss, classes, m, 4, dtype=dtype)
    values, dz = evaluate(loss, z, labels, classes)
    assert values.shape == (4,)
    assert (values.dtype, dz.dtype) == (dtype, dtype)
    for k in range(4):
        alone, dz_alone = evaluate(loss, z[k], labels, classes)
        assert values[k] == alone
        assert alone.dtype == dtype
        np.testing.assert_array_equal(dz[k], dz_alone)


def test_scores_and_targets_are_left_alone(loss_class):
    loss = loss_class()
    z, labels = scores(loss, 3, m=5)
    y = loss.encode(labels, 3, z.dtype)
    z_before, y_before = z.copy(), y.copy()
    loss(z, y, Workspace())
    np.testing.assert_array_equal(z, z_before)
    np.testing.assert_array_equal(y, y_before)


batches = st.tuples(
    arrays(np.float64, (4, 3), elements=st.floats(-50, 50)),
    arrays(np.int64, 4, elements=st.integers(0, 2)),
)


@settings(max_examples=50, deadline=None)
@given(batch=batches)
def test_losses_are_at_least_zero(loss_class, batch):
    value, _ = evaluate(loss_class(), *batch)
    assert value >= -1e-15  # log(sum exp) - z may round below zero


@settings(max_examples=50, deadline=None)
@given(batch=batches, shift=st.floats(-100, 100))
@pytest.mark.parametrize("loss", [CrossEntropy(), Hinge(), SquaredHinge()], ids=str)
def test_losses_of_differences_of_scores_do_not_see_a_shift(loss, batch, shift):
    z, labels = batch
    value, dz = evaluate(loss, z, labels)
    shifted, _ = evaluate(loss, z + shift, labels)
    assert shifted == pytest.approx(value, rel=1e-11, abs=1e-11)
    np.testing.assert_allclose(dz.sum(axis=-1), 0, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(z=arrays(np.float64, (4, 1), elements=st.floats(-50, 50)))
def test_one_score_for_two_classes_is_a_softmax_over_zero_and_it(z):
    labels = [0, 1, 1, 0]
    value, dz = evaluate(BinaryCrossEntropy(), z, labels, classes=2)
    softmax, dz_softmax = evaluate(CrossEntropy(), np.hstack([np.zeros_like(z), z]), labels)
    assert value == pytest.approx(softmax, rel=1e-12, abs=1e-15)
    np.testing.assert_allclose(dz, dz_softmax[:, 1:], rtol=1e-12, atol=1e-15)

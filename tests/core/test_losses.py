from dataclasses import fields
from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nnlab.core.arrays import Workspace
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
from nnlab.core.model import MLP, Linear
from nnlab.core.objective import Batch, NetworkObjective
from nnlab.core.penalties import NoPenalty

# The example of Stanford's CS231n, "Linear classification".
SCORES = np.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
LABELS = np.array([0, 1, 2])


def one_hot(of_a_number):
    """The loss of an example from the loss of one score and its number."""
    return lambda z, label, *delta: sum(
        of_a_number(score, float(c == label), *delta) for c, score in enumerate(z)
    )


def one_or_rest(of_a_yes):
    """The loss of an example from the loss of one score that should say yes (or, negated, no)."""

    def loss(z, label, *delta):
        if len(z) == 1:
            return of_a_yes(z[0] if label == 1 else -z[0], *delta)
        return sum(of_a_yes(score if c == label else -score, *delta) for c, score in enumerate(z))

    return loss


def huber(z, y, delta):
    return (z - y) ** 2 / 2 if abs(z - y) < delta else delta * abs(z - y) - delta**2 / 2


def cross_entropy(z, label):
    return -log(exp(z[label]) / sum(exp(score) for score in z))


def hinge(z, label, delta, power=1):
    others = [score for c, score in enumerate(z) if c != label]
    return sum(max(0.0, score - z[label] + delta) ** power for score in others)


OF_NUMBERS = {  # loss: the loss of one score and its number, in Python's own numbers
    MSE: lambda z, y: (z - y) ** 2,
    HalfMSE: lambda z, y: (z - y) ** 2 / 2,
    Huber: huber,
}

TEXTBOOK = {  # loss: the loss of one example (and of delta, if it has one)
    **{loss: one_hot(of_a_number) for loss, of_a_number in OF_NUMBERS.items()},
    SigmoidSquaredError: one_hot(lambda z, y: (1 / (1 + exp(-z)) - y) ** 2 / 2),
    CrossEntropy: cross_entropy,
    BinaryCrossEntropy: one_or_rest(lambda z: -log(1 / (1 + exp(-z)))),
    Hinge: hinge,
    SquaredHinge: lambda z, label, delta: hinge(z, label, delta, power=2),
    BinaryHinge: one_or_rest(lambda z, delta: max(0.0, delta - z)),
}

DECISIONS = {  # loss: outputs(2); labels [1, 0] encoded of two, of three; regression, on_scores
    MSE: (2, [[0, 1], [1, 0]], [[0, 1, 0], [1, 0, 0]], True, False),
    HalfMSE: (2, [[0, 1], [1, 0]], [[0, 1, 0], [1, 0, 0]], True, False),
    Huber: (2, [[0, 1], [1, 0]], [[0, 1, 0], [1, 0, 0]], True, False),
    SigmoidSquaredError: (2, [[0, 1], [1, 0]], [[0, 1, 0], [1, 0, 0]], False, True),
    CrossEntropy: (2, [1, 0], [1, 0], False, True),
    BinaryCrossEntropy: (1, [[1], [0]], [[0, 1, 0], [1, 0, 0]], False, True),
    Hinge: (2, [1, 0], [1, 0], False, False),
    SquaredHinge: (2, [1, 0], [1, 0], False, False),
    BinaryHinge: (1, [[1], [-1]], [[-1, 1, -1], [1, -1, -1]], False, True),
}

AT_ZERO = {  # loss: its value for K outputs whose scores are all zero (and delta)
    MSE: lambda K: 1,
    HalfMSE: lambda K: 1 / 2,
    Huber: lambda K, delta: 1 / 2 if delta >= 1 else delta * (1 - delta / 2),
    SigmoidSquaredError: lambda K: K / 8,
    CrossEntropy: log,
    BinaryCrossEntropy: lambda K: K * log(2),
    Hinge: lambda K, delta: (K - 1) * delta,
    SquaredHinge: lambda K, delta: (K - 1) * delta**2,
    BinaryHinge: lambda K, delta: K * delta,
}


def instances(loss_class):
    """The loss, with several deltas where it has one; and what the tables are asked with."""
    if not fields(loss_class):
        return [(loss_class(), ())]
    return [(loss_class(delta), (delta,)) for delta in (1.0, 0.25, 3.5)]


def evaluate(loss, z, labels, classes=None, weights=None):
    """Value and a copy of dz."""
    z = np.asarray(z)
    y = loss.encode(np.asarray(labels), classes or z.shape[-1], z.dtype)
    value, dz = loss(z, y, Workspace(), weights)
    return value, dz.copy()


def scores(loss, classes, m, *leading, dtype=np.float64):
    """Random scores as wide as the loss wants them, and labels."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(*leading, m, loss.outputs(classes)), scale=3).astype(dtype)
    return z, rng.integers(classes, size=m)


def some_weights(m, dtype=np.float64):
    """Weights of m examples, every third of them 0 (but not of one alone)."""
    weights = np.random.default_rng(3).uniform(0.1, 4, size=m).astype(dtype)
    weights[1::3] = 0
    return weights


def test_every_loss_is_in_the_tables(loss_class):
    assert loss_class in TEXTBOOK
    assert loss_class in DECISIONS
    assert loss_class in AT_ZERO
    assert (loss_class in OF_NUMBERS) == loss_class.regression


@pytest.mark.parametrize(("dtype", "accuracy"), [(np.float32, 2e-6), (np.float64, 1e-12)])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_values_are_the_textbook_s(loss_class, classes, dtype, accuracy):
    weights = some_weights(20)
    for loss, delta in instances(loss_class):
        z, labels = scores(loss, classes, 20, dtype=dtype)
        one_by_one = [
            TEXTBOOK[loss_class](row, label, *delta)
            for row, label in zip(z.tolist(), labels, strict=True)
        ]
        value, _ = evaluate(loss, z, labels, classes)
        assert value == pytest.approx(sum(one_by_one) / 20, rel=accuracy)
        value, _ = evaluate(loss, z, labels, classes, weights.astype(dtype))
        expected = np.average(one_by_one, weights=weights)
        assert value == pytest.approx(expected, rel=accuracy)
        losses, _ = loss.each(z, loss.encode(labels, classes, dtype), Workspace())
        np.testing.assert_allclose(losses, one_by_one, rtol=10 * accuracy, atol=accuracy)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 3, 8, 10, 17, 32, 33, 200])
def test_losses_alone_have_the_bits_that_they_have_with_their_gradient(loss_class, classes, dtype):
    work = Workspace()
    for loss, _ in instances(loss_class):
        for m, *leading in ((1,), (24,), (1025,), (31, 3)):
            z, labels = scores(loss, classes, m, *leading, dtype=dtype)
            z[..., 0, :] = 0  # ties
            y, before = loss.encode(labels, classes, dtype), z.copy()
            alone = loss.losses(z, y, work).copy()
            np.testing.assert_array_equal(alone, loss.each(z, y, work)[0])
            np.testing.assert_array_equal(z, before)
            assert alone.dtype == dtype
            assert alone.shape == z.shape[:-1]
            for first in range(min(m, 2)):  # with and without ties
                judged, right = loss.judge(z[..., first:, :], y[first:], labels[first:], work)
                np.testing.assert_array_equal(judged, alone[..., first:])
                np.testing.assert_array_equal(right, (loss.decide(z) == labels)[..., first:])


def test_losses_alone_of_distributions_and_of_what_is_not_finite():
    work, z = Workspace(), scores(CrossEntropy(), 3, 9)[0]
    y = np.random.default_rng(2).dirichlet(np.ones(3), 9)
    np.testing.assert_array_equal(
        CrossEntropy().losses(z, y, work), CrossEntropy().each(z, y, work)[0]
    )
    z[[0, 1, 2], [0, 1, 2]] = np.nan, np.inf, -np.inf
    for loss in (CrossEntropy(), Hinge(), SquaredHinge(), BinaryCrossEntropy()):
        y = loss.encode(np.arange(9) % 3, 3, z.dtype)
        with np.errstate(invalid="ignore"):
            alone, each = loss.losses(z, y, work).copy(), loss.each(z, y, work)[0]
            right = loss.judge(z, y, np.arange(9) % 3, work)[1]
        np.testing.assert_array_equal(alone, each)
        np.testing.assert_array_equal(right, loss.decide(z) == np.arange(9) % 3)


def test_a_loss_made_of_another_one_has_its_own_value_alone():
    class Doubled(CrossEntropy):
        def each(self, z, y, work):
            losses, dz = super().each(z, y, work)
            return 2 * losses, 2 * dz

    z, labels = scores(CrossEntropy(), 3, 9)
    one, two = (loss.losses(z, labels, Workspace()) for loss in (CrossEntropy(), Doubled()))
    np.testing.assert_array_equal(two, 2 * one)


def test_a_loss_that_inherits_what_each_costs_has_its_value_alone():
    class Free:
        def each(self, z, y, work):
            return np.zeros(z.shape[:-1]), np.zeros_like(z)

    class Both(Free, CrossEntropy):
        pass

    z, labels = scores(CrossEntropy(), 3, 9)
    np.testing.assert_array_equal(Both().losses(z, labels, Workspace()), np.zeros(9))
    judged, right = Both().judge(z, labels, labels, Workspace())
    np.testing.assert_array_equal(judged, np.zeros(9))
    np.testing.assert_array_equal(right, z.argmax(axis=1) == labels)


def test_a_loss_that_decides_otherwise_is_judged_by_that():
    class Lowest(CrossEntropy):
        def decide(self, z):
            return z.argmin(axis=-1)

    z, labels = scores(CrossEntropy(), 3, 9)
    right = Lowest().judge(z, labels, labels, Workspace())[1]
    np.testing.assert_array_equal(right, z.argmin(axis=1) == labels)


@pytest.mark.parametrize("loss_of_numbers", OF_NUMBERS, ids=lambda cls: cls.__name__)
def test_values_of_numbers_are_the_textbook_s(loss_of_numbers):
    rng = np.random.default_rng(4)
    z, y = rng.normal(size=(2, 9, 3), scale=2)
    for loss, delta in instances(loss_of_numbers):
        pairs = zip(z.ravel().tolist(), y.ravel().tolist(), strict=True)
        every = [OF_NUMBERS[loss_of_numbers](*pair, *delta) for pair in pairs]
        value, _ = loss(z, y, Workspace())
        assert value == pytest.approx(sum(every) / 9, rel=1e-12)


@pytest.mark.parametrize("weights", [None, some_weights(6)], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("classes", [2, 4])
def test_gradients_are_central_differences(loss_class, classes, weights):
    h = 1e-5
    for loss, _ in instances(loss_class):
        z, labels = scores(loss, classes, 6)
        _, dz = evaluate(loss, z, labels, classes, weights)
        for i in np.ndindex(z.shape):
            step = np.zeros_like(z)
            step[i] = h
            ahead, _ = evaluate(loss, z + step, labels, classes, weights)
            behind, _ = evaluate(loss, z - step, labels, classes, weights)
            assert dz[i] == pytest.approx((ahead - behind) / (2 * h), rel=1e-7, abs=1e-9)


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


def test_weighted_hinge_by_hand():
    # (1 * 2.9 + 5 * 0 + 3 * 12.9) / 9
    value, dz = evaluate(Hinge(), SCORES, LABELS, weights=np.array([1.0, 5.0, 3.0]))
    assert value == pytest.approx((2.9 + 38.7) / 9)
    np.testing.assert_allclose(dz, np.array([[-1, 1, 0], [0, 0, 0], [3, 3, -6]]) / 9)


def test_the_hinges_derivative_is_zero_at_the_kink():
    for loss in (Hinge(), SquaredHinge()):
        value, dz = evaluate(loss, [[2.0, 1.0, 1.0]], [0])
        assert value == 0
        np.testing.assert_array_equal(dz, 0)
    value, dz = evaluate(BinaryHinge(0.5), [[0.5, -0.5, -0.5]], [0])
    assert value == 0
    np.testing.assert_array_equal(dz, 0)


def test_binary_hinge_by_hand():
    # one score, delta 1: yes at 0.25 is 0.75 short; no at 0.25 is 1.25 too much; no at -3 is enough
    value, dz = evaluate(BinaryHinge(), [[0.25], [0.25], [-3.0]], [1, 0, 0], classes=2)
    assert value == (0.75 + 1.25 + 0) / 3
    np.testing.assert_allclose(dz, np.array([[-1], [1], [0]]) / 3)
    # one against the rest, delta 2: (2 - 0.5) + (2 + 1.5) + 0
    value, dz = evaluate(BinaryHinge(2.0), [[0.5, 1.5, -4.0]], [0])
    assert value == 1.5 + 3.5
    np.testing.assert_array_equal(dz, [[-1, 1, 0]])


def test_cross_entropy_by_hand():
    value, _ = evaluate(CrossEntropy(), SCORES[:1], [0])
    assert value == pytest.approx(2.04, abs=0.005)
    assert value / log(10) == pytest.approx(0.89, abs=0.005)
    value, dz = evaluate(CrossEntropy(), np.log([[1.0, 2.0, 5.0]]), [1])
    assert value == pytest.approx(log(4))
    np.testing.assert_allclose(dz, [[0.125, 0.25 - 1, 0.625]])
    value, _ = evaluate(CrossEntropy(), np.zeros((6, 10)), np.arange(6))
    assert value == pytest.approx(log(10))


def test_cross_entropy_of_a_distribution_by_hand():
    # p = (1, 2, 5) / 8: 1/2 log 8 + 1/4 log 4 + 1/4 log(8/5)
    z, y = np.log([[1.0, 2.0, 5.0]]), np.array([[0.5, 0.25, 0.25]])
    value, dz = CrossEntropy()(z, y, Workspace())
    assert value == pytest.approx(2.75 * log(2) - 0.25 * log(5))
    np.testing.assert_allclose(dz, [[0.125 - 0.5, 0, 0.625 - 0.25]], atol=1e-16)


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
    value, dz = HalfMSE()(z, y, Workspace())
    assert value == (1 + 4 + 0 + 9) / 4
    np.testing.assert_array_equal(dz, [[0.5, 1], [0, 1.5]])


def test_huber_on_both_sides_of_delta_by_hand():
    # delta 2, distances 1, -1, 2, 5, -5: squares below delta, lines from it on
    z, y = np.array([[11.0], [9.0], [12.0], [15.0], [5.0]]), np.full((5, 1), 10.0)
    losses, _ = Huber(2.0).each(z, y, Workspace())
    assert losses.tolist() == [0.5, 0.5, 2, 2 * (5 - 1), 2 * (5 - 1)]
    value, dz = Huber(2.0)(z, y, Workspace())
    assert value == 19 / 5
    np.testing.assert_array_equal(dz, np.array([[1], [-1], [2], [2], [-2]]) / 5)


def test_sigmoid_squared_error_by_hand():
    # sigmoid(log 3) = 3/4, sigmoid(0) = 1/2, sigmoid(-log 3) = 1/4; label 0
    value, dz = evaluate(SigmoidSquaredError(), [[log(3), 0.0, -log(3)]], [0])
    assert value == pytest.approx((1 / 16 + 1 / 4 + 1 / 16) / 2)
    np.testing.assert_allclose(dz, [[-3 / 64, 1 / 8, 3 / 64]])


@pytest.mark.parametrize("far", [1e4, -1e4])
def test_losses_of_far_scores_by_hand(far):
    z, right = np.array([[far]]), int(far > 0)
    for label in (0, 1):
        wrong = label != right
        value, dz = evaluate(BinaryCrossEntropy(), z, [label], classes=2)
        assert (value, dz) == (1e4 if wrong else 0, right - label)
        value, dz = evaluate(BinaryHinge(3.0), z, [label], classes=2)
        assert (value, dz) == (1e4 + 3 if wrong else 0, right - label)
        y = np.array([[float(label)]])
        assert SigmoidSquaredError()(z, y, Workspace()) == (0.5 if wrong else 0, 0)
        assert Huber(2.0)(z, y, Workspace()) == (2 * (abs(far - label) - 1), np.copysign(2, far))


def test_outputs_and_targets_of_two_and_three_classes(loss_class):
    outputs_of_two, of_two, of_three, regression, on_scores = DECISIONS[loss_class]
    loss = loss_class()
    assert (loss.outputs(2), loss.outputs(3)) == (outputs_of_two, 3)
    assert loss.regression is regression
    assert loss.on_scores is on_scores
    for classes, expected in ((2, of_two), (3, of_three)):
        y = loss.encode(np.array([1, 0], np.uint8), classes, np.float32)
        assert y.tolist() == expected
        assert y.dtype == (np.float32 if y.ndim == 2 else np.intp)


def test_the_highest_score_decides_and_a_single_one_by_its_sign(loss_class):
    loss = loss_class()
    z = np.array([[[1.0, 3.0, 2.0], [-1.0, -3.0, -2.0]], [[0.0, 0.0, 5.0], [7.0, 7.0, 6.0]]])
    assert loss.decide(z).tolist() == [[1, 0], [2, 0]]
    two = np.array([[-2.0], [0.0], [1e-9]]) * ([-1, 1] if loss.outputs(2) == 2 else [1])
    assert loss.decide(two).tolist() == [0, 0, 1]


def test_a_perfect_score_is_decided_as_its_label(loss_class):
    for classes in (2, 3, 10):
        loss, labels = loss_class(), np.arange(classes)
        signs = np.sign(np.arange(classes)[:, None] - 0.5)
        z = 9 * (signs if loss.outputs(classes) == 1 else 2 * np.eye(classes) - 1)
        assert loss.decide(z).tolist() == labels.tolist()
        value, _ = evaluate(loss, z, labels, classes)
        assert value <= evaluate(loss, -z, labels, classes)[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 3])
def test_extreme_scores_give_finite_values_and_gradients(loss_class, classes, dtype):
    loss = loss_class()
    width = loss.outputs(classes)
    extremes = np.array(np.meshgrid(*[[-1e4, 0, 1e4]] * width), dtype).reshape(width, -1).T
    weights = some_weights(len(extremes), dtype)
    for label in range(classes):
        for w in (None, weights, 0 * weights):
            value, dz = evaluate(loss, extremes, [label] * len(extremes), classes, w)
            assert np.isfinite(value)
            assert np.isfinite(dz).all()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("classes", "m"), [(2, 1), (2, 33), (3, 8), (10, 129)])
def test_k_stacked_scores_give_the_bits_of_k_single_calls(loss_class, classes, m, dtype, weighted):
    loss = loss_class()
    weights = some_weights(m, dtype) if weighted else None
    z, labels = scores(loss, classes, m, 4, 3, dtype=dtype)
    values, dz = evaluate(loss, z, labels, classes, weights)
    assert values.shape == (4, 3)
    assert (values.dtype, dz.dtype) == (dtype, dtype)
    for k in np.ndindex(4, 3):
        alone, dz_alone = evaluate(loss, z[k], labels, classes, weights)
        assert values[k] == alone
        assert alone.dtype == dtype
        np.testing.assert_array_equal(dz[k], dz_alone)


@pytest.mark.parametrize("weights", [None, some_weights(5)], ids=["unweighted", "weighted"])
def test_scores_targets_and_weights_are_left_alone(loss_class, weights):
    loss = loss_class()
    z, labels = scores(loss, 3, m=5)
    y = loss.encode(labels, 3, z.dtype)
    given_arrays = [array for array in (z, y, weights) if array is not None]
    before = [array.copy() for array in given_arrays]
    loss(z, y, Workspace(), weights)
    for array, copy in zip(given_arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_the_gradient_is_a_work_array_and_what_it_held_does_not_matter(loss_class):
    loss, work = loss_class(), Workspace()
    z, labels = scores(loss, 3, m=5)
    y = loss.encode(labels, 3, z.dtype)
    _, first = loss(-2 * z, y, work)
    value, dz = loss(z, y, work)
    assert dz is first
    fresh, fresh_dz = evaluate(loss, z, labels, 3)
    assert value == fresh
    np.testing.assert_array_equal(dz, fresh_dz)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_at_zero_is_the_loss_of_zero_scores(loss_class, classes):
    for loss, delta in instances(loss_class):
        labels = np.random.default_rng(0).integers(classes, size=7)
        outputs = loss.outputs(classes)
        baseline = loss.at_zero(loss.encode(labels, classes, np.float64), outputs)
        assert type(baseline) is float
        assert baseline == pytest.approx(AT_ZERO[loss_class](outputs, *delta), rel=1e-12)
        value, _ = evaluate(loss, np.zeros((7, outputs)), labels, classes)
        assert baseline == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("loss_of_numbers", OF_NUMBERS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("outputs", [1, 3])
def test_at_zero_of_numbers_is_the_loss_of_zero_scores(loss_of_numbers, outputs):
    y = np.random.default_rng(1).normal(size=(7, outputs), scale=2)
    for loss, _ in instances(loss_of_numbers):
        value, _ = loss(np.zeros_like(y), y, Workspace())
        assert loss.at_zero(y, outputs) == pytest.approx(value, rel=1e-12)


def test_at_zero_of_numbers_by_hand():
    y = np.array([[3.0, -4.0], [0.0, 1.0]])
    assert MSE().at_zero(y, 2) == (9 + 16 + 0 + 1) / 2
    assert HalfMSE().at_zero(y, 2) == (9 + 16 + 0 + 1) / 4
    assert Huber(2.0).at_zero(y, 2) == (2 * (3 - 1) + 2 * (4 - 1) + 0 + 0.5) / 2


batches = st.tuples(
    arrays(np.float64, (4, 3), elements=st.floats(-50, 50)),
    arrays(np.int64, 4, elements=st.integers(0, 2)),
)
counts = arrays(np.int64, 4, elements=st.integers(0, 3))


@settings(max_examples=30, deadline=None)
@given(batch=batches)
def test_losses_are_at_least_zero(loss_class, batch):
    value, _ = evaluate(loss_class(), *batch)
    assert value >= -1e-15  # log(sum exp) - z may round below zero


@settings(max_examples=30, deadline=None)
@given(batch=batches, count=counts)
def test_an_example_of_weight_n_counts_as_if_it_were_there_n_times(loss_class, batch, count):
    z, labels = batch
    value, dz = evaluate(loss_class(), z, labels, weights=count.astype(float))
    if not count.any():
        assert value == 0
        np.testing.assert_array_equal(dz, 0)
        return
    repeated, dz_repeated = evaluate(
        loss_class(), np.repeat(z, count, axis=0), np.repeat(labels, count)
    )
    assert value == pytest.approx(repeated, rel=1e-12, abs=1e-14)
    gathered = np.zeros_like(z)
    np.add.at(gathered, np.repeat(np.arange(4), count), dz_repeated)
    np.testing.assert_allclose(dz, gathered, rtol=1e-12, atol=1e-14)


@settings(max_examples=30, deadline=None)
@given(batch=batches, count=counts, constant=st.floats(1e-3, 1e3))
def test_weights_times_a_constant_change_nothing(loss_class, batch, count, constant):
    value, dz = evaluate(loss_class(), *batch, weights=count.astype(float))
    same, same_dz = evaluate(loss_class(), *batch, weights=constant * count)
    assert value == pytest.approx(same, rel=1e-12)
    np.testing.assert_allclose(dz, same_dz, rtol=1e-12, atol=1e-300)


@settings(max_examples=30, deadline=None)
@given(batch=batches, weight=st.floats(1e-3, 1e3))
def test_equal_weights_are_no_weights(loss_class, batch, weight):
    value, dz = evaluate(loss_class(), *batch)
    same, same_dz = evaluate(loss_class(), *batch, weights=np.full(4, weight))
    assert value == pytest.approx(same, rel=1e-12, abs=1e-15)
    np.testing.assert_allclose(dz, same_dz, rtol=1e-12, atol=1e-15)


@settings(max_examples=30, deadline=None)
@given(batch=batches, shift=st.floats(-100, 100))
@pytest.mark.parametrize("loss", [CrossEntropy(), Hinge(), SquaredHinge()], ids=str)
def test_losses_of_differences_of_scores_do_not_see_a_shift(loss, batch, shift):
    z, labels = batch
    value, dz = evaluate(loss, z, labels)
    shifted, _ = evaluate(loss, z + shift, labels)
    assert shifted == pytest.approx(value, rel=1e-11, abs=1e-11)
    np.testing.assert_allclose(dz.sum(axis=-1), 0, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(z=arrays(np.float64, (4, 1), elements=st.floats(-50, 50)))
def test_one_score_for_two_classes_is_a_softmax_over_zero_and_it(z):
    labels = [0, 1, 1, 0]
    value, dz = evaluate(BinaryCrossEntropy(), z, labels, classes=2)
    softmax, dz_softmax = evaluate(CrossEntropy(), np.hstack([np.zeros_like(z), z]), labels)
    assert value == pytest.approx(softmax, rel=1e-12, abs=1e-15)
    np.testing.assert_allclose(dz, dz_softmax[:, 1:], rtol=1e-12, atol=1e-15)


@settings(max_examples=100, deadline=None)
@given(z=arrays(np.float64, (4, 1), elements=st.floats(-5, 5)), delta=st.floats(0.01, 10))
def test_one_score_for_two_classes_is_a_multiclass_hinge_over_zero_and_it(z, delta):
    labels = [0, 1, 1, 0]
    value, dz = evaluate(BinaryHinge(delta), z, labels, classes=2)
    both = np.hstack([np.zeros_like(z), z])
    multiclass, dz_multiclass = evaluate(Hinge(delta), both, labels)
    assert value == multiclass
    np.testing.assert_array_equal(dz, dz_multiclass[:, 1:])


@settings(max_examples=30, deadline=None)
@given(
    z=arrays(np.float64, (4, 3), elements=st.floats(-50, 50)),
    shares=arrays(np.float64, (4, 3), elements=st.floats(0.01, 1)),
)
def test_cross_entropy_of_a_distribution_is_the_mean_over_its_labels(z, shares):
    y = shares / shares.sum(axis=1, keepdims=True)
    losses, dz = CrossEntropy().each(z, y, Workspace())
    expected, expected_dz = np.zeros(4), np.zeros((4, 3))
    for label in range(3):
        of_label, dz_of_label = CrossEntropy().each(z, np.full(4, label), Workspace())
        expected += y[:, label] * of_label
        expected_dz += y[:, [label]] * dz_of_label
    np.testing.assert_allclose(losses, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dz, expected_dz, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_of_one_hot_rows_is_that_of_labels_in_a_stack_too(dtype):
    z, labels = scores(CrossEntropy(), 3, 8, 4, dtype=dtype)
    values, dz = evaluate(CrossEntropy(), z, labels)
    rows, dz_of_rows = CrossEntropy()(z, np.eye(3, dtype=dtype)[labels], Workspace())
    assert (rows.dtype, dz_of_rows.dtype) == (dtype, dtype)
    np.testing.assert_allclose(rows, values, rtol=2e-6)
    np.testing.assert_allclose(dz_of_rows, dz, rtol=2e-6)


@pytest.mark.parametrize("model", [Linear, lambda **kw: MLP((5,), **kw)], ids=["Linear", "MLP"])
@pytest.mark.parametrize("weights", [None, some_weights(7)], ids=["unweighted", "weighted"])
def test_sigmoid_squared_error_is_half_the_squared_error_after_a_sigmoid_layer(model, weights):
    rng = np.random.default_rng(5)
    x, labels = rng.normal(size=(7, 4)), rng.integers(3, size=7)
    batch = Batch(x, HalfMSE().encode(labels, 3, np.float64), weights)
    squashes = NetworkObjective(model().build(4, 3), SigmoidSquaredError(), NoPenalty())
    composed = NetworkObjective(model(output="sigmoid").build(4, 3), HalfMSE(), NoPenalty())
    theta = rng.normal(size=squashes.network.layout.size)
    grad, composed_grad = np.empty_like(theta), np.empty_like(theta)
    value = squashes(theta, batch, grad, Workspace())
    assert value == composed(theta, batch, composed_grad, Workspace())
    np.testing.assert_allclose(grad, composed_grad, rtol=1e-12, atol=1e-15)

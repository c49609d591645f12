import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import hinge_loss, log_loss
from sklearn.utils.class_weight import compute_sample_weight

from nnlab.core.arrays import Workspace
from nnlab.core.laws import LawError
from nnlab.core.losses import BinaryHinge, CrossEntropy
from nnlab.core.weighting import Balanced, ByClass, NoWeighting

LABELS = np.array([0, 1, 1, 2, 1, 1])

BY_HAND = {  # weighting: (an instance, the weights of LABELS, of three classes)
    NoWeighting: (NoWeighting(), None),
    # 6 / (3 * 1), 6 / (3 * 4), 6 / (3 * 1)
    Balanced: (Balanced(), [2, 0.5, 0.5, 2, 0.5, 0.5]),
    ByClass: (ByClass((0.0, 1.0, 2.5)), [0, 1, 1, 2.5, 1, 1]),
}

labels_of_four = arrays(np.int64, st.integers(4, 60), elements=st.integers(0, 3))


def test_every_weighting_is_in_the_table(weighting_class):
    assert weighting_class in BY_HAND


@pytest.mark.parametrize("of_labels", [np.uint8, np.int64])
@pytest.mark.parametrize("dtype", [np.float32, "float64"])
def test_weights_by_hand(weighting_class, dtype, of_labels):
    weighting, expected = BY_HAND[weighting_class]
    labels = LABELS.astype(of_labels)
    weights = weighting.of(labels, 3, dtype)
    np.testing.assert_array_equal(labels, LABELS)
    if expected is None:
        assert weights is None
    else:
        assert weights.dtype == dtype
        np.testing.assert_array_equal(weights, expected)


@settings(max_examples=100, deadline=None)
@given(labels=labels_of_four)
def test_balanced_is_scikit_learn_s(labels):
    labels[:4] = range(4)
    expected = compute_sample_weight("balanced", labels)
    np.testing.assert_allclose(Balanced().of(labels, 4, np.float64), expected, rtol=1e-15)


@settings(max_examples=100, deadline=None)
@given(labels=labels_of_four)
def test_balanced_classes_count_alike_and_absent_ones_not_at_all(labels):
    weights = Balanced().of(labels, 4, np.float64)
    present = np.unique(labels)
    for label in present:
        assert weights[labels == label].sum() == pytest.approx(len(labels) / 4)
    # scikit-learn counts the classes there are: the same but for a constant
    expected = compute_sample_weight("balanced", labels)
    np.testing.assert_allclose(weights, expected * len(present) / 4, rtol=1e-15)


def test_weights_by_class_are_scikit_learn_s():
    rng = np.random.default_rng(0)
    labels, by_class = rng.integers(4, size=50), (0.0, 0.5, 3.0, 1.0)
    expected = compute_sample_weight(dict(enumerate(by_class)), labels)
    np.testing.assert_array_equal(ByClass(by_class).of(labels, 4, np.float64), expected)


@pytest.mark.parametrize("weighting", [Balanced(), ByClass((0.25, 4.0))], ids=str)
def test_a_weighted_loss_is_scikit_learn_s(weighting):
    rng = np.random.default_rng(1)
    z, labels = rng.normal(size=(40, 1), scale=2), (rng.random(40) < 0.2).astype(int)
    weights = weighting.of(labels, 2, np.float64)
    hinge, softmax = BinaryHinge(), CrossEntropy()
    value, _ = hinge(z, hinge.encode(labels, 2, np.float64), Workspace(), weights)
    assert value == pytest.approx(hinge_loss(labels, z[:, 0], sample_weight=weights), rel=1e-12)
    value, _ = softmax(np.hstack([np.zeros_like(z), z]), labels, Workspace(), weights)
    of_yes = 1 / (1 + np.exp(-z[:, 0]))
    assert value == pytest.approx(log_loss(labels, of_yes, sample_weight=weights), rel=1e-12)


@pytest.mark.parametrize(
    "bad", [(1.0, -0.5), (0.0, 0.0), (), (1.0, float("nan")), (float("nan"), 1.0)], ids=str
)
def test_weights_that_are_negative_or_all_zero_are_refused(bad):
    with pytest.raises(LawError) as error:
        ByClass(bad)
    assert str(error.value) == (
        f"`every weight >= 0, and one > 0` must hold, but got weights={list(bad)}"
    )
    assert error.value.field == "weights"


def test_weights_of_zero_are_taken_where_one_is_positive():
    assert ByClass((0.0, 1e-9)).weights == (0.0, 1e-9)


@pytest.mark.parametrize("by_class", [(1.0, 2.0), (1.0, 2.0, 3.0, 4.0)])
def test_a_weight_for_each_class_is_needed(by_class):
    with pytest.raises(LawError) as error:
        ByClass(by_class).of(LABELS, 3, np.float64)
    assert str(error.value) == (
        f"`one weight for each of the 3 classes` must hold, but got weights={list(by_class)}"
    )
    assert error.value.field == "weights"


def test_regression_data_have_no_class_weights(weighting_class):
    weighting, expected = BY_HAND[weighting_class]
    numbers = np.array([[0.5], [-1.5]])
    if expected is None:
        assert weighting.of(numbers, 0, np.float64) is None
        return
    with pytest.raises(LawError, match="choose weighting=none or other data") as error:
        weighting.of(numbers, 0, np.float64)
    assert "need class labels, but the data have regression targets" in str(error.value)
    assert error.value.field == "weighting"

"""Every loss against PyTorch in float64: plain, weighted, smoothed."""

from dataclasses import is_dataclass

import numpy as np
import pytest

from nnlab.core import losses
from nnlab.core.arrays import Workspace
from nnlab.core.smoothing import LabelSmoothing
from nnlab.core.weighting import ByClass

torch = pytest.importorskip("torch", reason="PyTorch is not installed (make peers)")
pytestmark = pytest.mark.slow  # importing PyTorch takes seconds
functional = torch.nn.functional


def yes(z, labels):
    """1 where a score should say yes, else 0: `(m, C)`, or `(m, 1)` for two classes."""
    if z.shape[1] == 1:
        return labels[:, None].to(z)
    return functional.one_hot(labels, z.shape[1]).to(z)


def squared_error(z, labels):
    return functional.mse_loss(z, yes(z, labels), reduction="none").sum(1)


def huber(delta):
    def each(z, labels):
        return functional.huber_loss(z, yes(z, labels), reduction="none", delta=delta).sum(1)

    return each


def cross_entropy(z, labels):
    return functional.cross_entropy(z, labels, reduction="none")


def binary_cross_entropy(z, labels):
    return functional.binary_cross_entropy_with_logits(z, yes(z, labels), reduction="none").sum(1)


def hinge(delta, power=1):
    def each(z, labels):
        mean = functional.multi_margin_loss(z, labels, p=power, margin=delta, reduction="none")
        return mean * z.shape[1]

    return each


def binary_hinge(delta):
    def each(z, labels):
        signed = z * (2 * yes(z, labels) - 1)
        every = functional.hinge_embedding_loss(
            signed, -torch.ones_like(z), margin=delta, reduction="none"
        )
        return every.sum(1)

    return each


LOSSES = [  # (ours, PyTorch's loss of each example)
    (losses.MSE(), squared_error),
    (losses.HalfMSE(), lambda z, labels: squared_error(z, labels) / 2),
    (losses.Huber(), huber(1.0)),
    (losses.Huber(0.25), huber(0.25)),
    (losses.Huber(30.0), huber(30.0)),
    (
        losses.SigmoidSquaredError(),
        lambda z, labels: squared_error(torch.sigmoid(z), labels) / 2,
    ),
    (losses.CrossEntropy(), cross_entropy),
    (losses.BinaryCrossEntropy(), binary_cross_entropy),
    (losses.Hinge(), hinge(1.0)),
    (losses.Hinge(3.5), hinge(3.5)),
    (losses.SquaredHinge(), hinge(1.0, power=2)),
    (losses.SquaredHinge(0.25), hinge(0.25, power=2)),
    (losses.BinaryHinge(), binary_hinge(1.0)),
    (losses.BinaryHinge(2.5), binary_hinge(2.5)),
]
WEIGHTS = {
    "unweighted": None,
    "weighted": [1.0, 0.0, 2.5, 0.3, 0.0, 4.0, 1.0, 1.0, 7.0],
    "weightless": [0.0] * 9,
}

every_loss = pytest.mark.parametrize(
    ("ours", "theirs"), LOSSES, ids=[str(ours) for ours, _ in LOSSES]
)
every_scale = pytest.mark.parametrize("scale", [1.0, 1e4])
every_weight = pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)


def batch(outputs, classes, scale):
    rng = np.random.default_rng(0)
    return scale * rng.normal(size=(9, outputs)), rng.integers(classes, size=9)


def mean(each, weights):
    """PyTorch's mean, weighted; 0 where all weights are."""
    if weights is None:
        return each.mean()
    weights = torch.tensor(weights, dtype=each.dtype)
    return (weights * each).sum() / (weights.sum() or 1)


def assert_equal(ours, z, y, weights, theirs):
    """Value and gradient, theirs by autograd."""
    weights = None if weights is None else np.array(weights)
    value, dz = ours(z, y, Workspace(), weights)
    scores = torch.tensor(z, requires_grad=True)
    expected = theirs(scores)
    expected.backward()
    np.testing.assert_allclose(value, expected.item(), rtol=1e-12)
    np.testing.assert_allclose(dz, scores.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_every_loss_is_in_the_table():
    known = {cls for cls in vars(losses).values() if is_dataclass(cls)}
    assert {type(ours) for ours, _ in LOSSES} == known


@every_weight
@every_scale
@pytest.mark.parametrize("classes", [2, 5])
@every_loss
def test_losses_and_their_gradients_equal_pytorch_s(ours, theirs, classes, scale, weights):
    z, labels = batch(ours.outputs(classes), classes, scale)
    y = ours.encode(labels, classes, np.float64)
    assert_equal(
        ours, z, y, weights, lambda scores: mean(theirs(scores, torch.tensor(labels)), weights)
    )


@every_weight
@every_scale
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.75])
@every_loss
def test_smoothed_losses_equal_their_definition_in_pytorch(
    ours, theirs, epsilon, classes, scale, weights
):
    def each(scores):
        every = [theirs(scores, torch.full((9,), label)) for label in range(classes)]
        return (1 - epsilon) * theirs(scores, torch.tensor(labels)) + epsilon / classes * sum(every)

    z, labels = batch(ours.outputs(classes), classes, scale)
    smoothed = LabelSmoothing(ours, epsilon)
    y = smoothed.encode(labels, classes, np.float64)
    assert_equal(smoothed, z, y, weights, lambda scores: mean(each(scores), weights))


@every_weight
@every_scale
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.75])
def test_smoothed_cross_entropy_is_pytorch_s(epsilon, classes, scale, weights):
    def each(scores):
        return functional.cross_entropy(
            scores, torch.tensor(labels), label_smoothing=epsilon, reduction="none"
        )

    z, labels = batch(classes, classes, scale)
    smoothed = LabelSmoothing(losses.CrossEntropy(), epsilon)
    y = smoothed.encode(labels, classes, np.float64)
    assert_equal(smoothed, z, y, weights, lambda scores: mean(each(scores), weights))


@every_weight
@every_scale
def test_cross_entropy_of_a_distribution_is_pytorch_s(scale, weights):
    def each(scores):
        return functional.cross_entropy(scores, torch.tensor(y), reduction="none")

    z, _ = batch(5, 5, scale)
    y = np.random.default_rng(1).dirichlet(np.ones(5), size=9)
    assert_equal(losses.CrossEntropy(), z, y, weights, lambda scores: mean(each(scores), weights))


@every_scale
def test_a_cross_entropy_weighted_by_class_is_pytorch_s(scale):
    by_class = (0.5, 2.0, 0.0, 1.0, 3.0)
    z, labels = batch(5, 5, scale)
    weight = torch.tensor(by_class, dtype=torch.float64)
    assert_equal(
        losses.CrossEntropy(),
        z,
        labels,
        ByClass(by_class).of(labels, 5, np.float64),
        lambda scores: functional.cross_entropy(scores, torch.tensor(labels), weight),
    )


@every_scale
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (losses.MSE(), lambda z, y: functional.mse_loss(z, y) * 3),
        (losses.HalfMSE(), lambda z, y: functional.mse_loss(z, y) * 3 / 2),
        (losses.Huber(0.5), lambda z, y: functional.huber_loss(z, y, delta=0.5) * 3),
    ],
    ids=["mse", "half_mse", "huber"],
)
def test_losses_of_numbers_are_pytorch_s_mean_over_outputs_times_their_number(ours, theirs, scale):
    z, _ = batch(3, 3, scale)
    y = np.random.default_rng(1).normal(size=z.shape)
    assert_equal(ours, z, y, None, lambda scores: theirs(scores, torch.tensor(y)))


def test_cross_entropy_at_zero_is_pytorch_s():
    each = functional.cross_entropy(torch.zeros(4, 7), torch.arange(4), reduction="none")
    np.testing.assert_allclose(
        losses.CrossEntropy().at_zero(np.arange(4), 7), each.numpy(), rtol=1e-6
    )

"""Label smoothing: a wrapper around any loss of labels."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import DTypeLike

from nnlab.core.arrays import Array, Workspace
from nnlab.core.laws import law
from nnlab.core.losses import CrossEntropy, Loss, Mean


@dataclass(frozen=True)
class LabelSmoothing(Mean):
    """A loss in expectation over labels that are drawn anew with probability epsilon:
    (1 - epsilon) * loss(z, y) + epsilon / C * sum_c loss(z, c), the sum over all C classes.

    Szegedy et al. 2016, "Rethinking the inception architecture for computer vision", section 7.
    For cross-entropy it is PyTorch's `label_smoothing`: the loss of smoothed one-hot targets. An
    example's weight is that of its own label (PyTorch's class weights follow each label drawn).
    """

    loss: Loss
    epsilon: float

    regression: ClassVar[bool] = False

    @property
    def on_scores(self) -> bool:  # type: ignore[override]
        """As the smoothed loss."""
        return self.loss.on_scores

    def outputs(self, classes: int) -> int:
        return self.loss.outputs(classes)

    def encode(self, labels: Array, classes: int, dtype: DTypeLike) -> Array:
        if isinstance(self.loss, CrossEntropy):  # it takes distributions
            rows = (1 - self.epsilon) * np.eye(classes) + self.epsilon / classes
            return np.asarray(rows.astype(dtype)[labels])
        return self.loss.encode(labels, classes, dtype)

    def decide(self, z: Array) -> Array:
        return self.loss.decide(z)

    def each(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        losses, dz = self.loss.each(z, y, work)
        if isinstance(self.loss, CrossEntropy):
            return losses, dz
        smoothed = np.multiply(dz, 1 - self.epsilon, out=work.get("smoothed", z.shape, z.dtype))
        losses = (1 - self.epsilon) * losses
        every = _every(self.loss, z.shape[-2], z.shape[-1], z.dtype)
        for y_c in every:
            losses_c, dz = self.loss.each(z, y_c, work)
            losses += self.epsilon / len(every) * losses_c
            dz *= self.epsilon / len(every)
            smoothed += dz
        return losses, smoothed

    def at_zero(self, y: Array, outputs: int) -> float:
        if isinstance(self.loss, CrossEntropy):
            return self.loss.at_zero(y, outputs)
        every = [self.loss.at_zero(y_c, outputs) for y_c in _every(self.loss, 1, outputs, y.dtype)]
        return (1 - self.epsilon) * self.loss.at_zero(y, outputs) + self.epsilon * float(
            np.mean(every)
        )


@lru_cache(maxsize=8)
def _every(loss: Loss, m: int, outputs: int, dtype: Any) -> list[Array]:
    """For each class, the encoded targets of m examples of it; made once, for every step."""
    classes = max(outputs, 2)
    return [loss.encode(np.full(m, c), classes, dtype) for c in range(classes)]


class Smoothing(Protocol):
    """What the config says of label smoothing."""

    def of(self, loss: Loss) -> Loss:
        """The loss, smoothed."""


@dataclass(frozen=True)
class NoSmoothing:
    """The loss as it is."""

    def of(self, loss: Loss) -> Loss:
        return loss


@dataclass(frozen=True)
class UniformSmoothing:
    """`LabelSmoothing`: with probability epsilon a label is drawn anew, all classes alike."""

    epsilon: float = 0.1

    def __post_init__(self) -> None:
        law("0 <= epsilon < 1", 0 <= self.epsilon < 1, epsilon=self.epsilon)

    def of(self, loss: Loss) -> Loss:
        return LabelSmoothing(loss, self.epsilon)

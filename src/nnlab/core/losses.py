"""Losses: how wrong the scores z are, as a mean over the batch, and the gradient in z.

Shapes: z `(..., m, C)` for m examples and C scores; the value has the leading axes of z, the
gradient dz has z's shape and lives in a work array. y is what `encode` made of the targets:
labels `(m,)` or numbers `(m, C)`.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import DTypeLike

from nnlab.core.arrays import Array, Workspace
from nnlab.core.laws import law


class Loss(Protocol):
    """The mean loss of a batch and its gradient in the scores."""

    regression: ClassVar[bool]
    """Does it apply to regression targets? Every loss applies to class labels."""

    def outputs(self, classes: int) -> int:
        """How many scores the network must give for that many classes."""

    def encode(self, labels: Array, classes: int, dtype: DTypeLike) -> Array:
        """Integer labels `(n,)` in the form this loss takes as y."""

    def decide(self, z: Array) -> Array:
        """The predicted labels `(..., m)` for scores z."""

    def __call__(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        """The mean loss `(...)` and dz = d(mean loss)/dz."""


class OnLabels:
    """A loss on C scores and integer labels: y is the index of the right score."""

    regression = False

    def outputs(self, classes: int) -> int:
        return classes

    def encode(self, labels: Array, classes: int, dtype: DTypeLike) -> Array:
        return labels.astype(np.intp)

    def decide(self, z: Array) -> Array:
        return np.asarray(z.argmax(axis=-1))


class OnNumbers:
    """A loss on C scores and C numbers: labels become one-hot rows."""

    regression = True

    def outputs(self, classes: int) -> int:
        return classes

    def encode(self, labels: Array, classes: int, dtype: DTypeLike) -> Array:
        return np.eye(classes, dtype=dtype)[labels]

    def decide(self, z: Array) -> Array:
        return np.asarray(z.argmax(axis=-1))


@dataclass(frozen=True)
class MSE(OnNumbers):
    """Squared error: 1/m * sum_i sum_c (z_ic - y_ic)^2.

    PyTorch's `MSELoss` divides by m*C as well.
    """

    def __call__(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        dz = work.get("dz", z.shape, z.dtype)
        np.subtract(z, y, out=dz)
        value = np.vecdot(dz, dz).sum(axis=-1) / z.shape[-2]
        dz *= 2 / z.shape[-2]
        return value, dz


@dataclass(frozen=True)
class CrossEntropy(OnLabels):
    """Softmax cross-entropy from scores: 1/m * sum_i (log sum_c exp(z_ic) - z_i,y_i), in nats.

    The row's maximum is subtracted first, which changes nothing but keeps exp from overflowing.
    """

    def __call__(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        m, rows = z.shape[-2], np.arange(z.shape[-2])
        p = work.get("dz", z.shape, z.dtype)
        np.subtract(z, z.max(axis=-1, keepdims=True), out=p)
        right = p[..., rows, y]
        np.exp(p, out=p)
        total = p.sum(axis=-1)
        value = (np.log(total) - right).mean(axis=-1)
        total *= m
        p /= total[..., None]
        p[..., rows, y] -= 1 / m
        return value, p


@dataclass(frozen=True)
class BinaryCrossEntropy(OnNumbers):
    """Cross-entropy of independent yes/no scores: 1/m * sum_ic (log(1 + exp(z_ic)) - y_ic z_ic).

    Two classes need one score (class 1 if z > 0); more classes are learnt one against the rest.
    Computed as max(z, 0) - y z + log1p(exp(-|z|)): no overflow.
    """

    regression = False

    def outputs(self, classes: int) -> int:
        return 1 if classes == 2 else classes

    def encode(self, labels: Array, classes: int, dtype: DTypeLike) -> Array:
        if classes == 2:
            return labels.astype(dtype)[:, None]
        return super().encode(labels, classes, dtype)

    def decide(self, z: Array) -> Array:
        return (z[..., 0] > 0).astype(np.intp) if z.shape[-1] == 1 else super().decide(z)

    def __call__(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        m = z.shape[-2]
        dz = work.get("dz", z.shape, z.dtype)
        np.exp(-np.abs(z), out=dz)
        losses = np.maximum(z, 0) - y * z + np.log1p(dz)
        np.divide(np.where(z >= 0, 1, dz), 1 + dz, out=dz)  # the sigmoid of z
        dz -= y
        dz /= m
        return losses.sum(axis=(-2, -1)) / m, dz


@dataclass(frozen=True)
class Hinge(OnLabels):
    """Multiclass hinge: 1/m * sum_i sum_{c != y_i} max(0, z_ic - z_i,y_i + delta).

    Weston & Watkins 1999, "Support vector machines for multi-class pattern recognition".
    At a kink the derivative is taken as 0.
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        law("delta > 0", self.delta > 0, delta=self.delta)

    def __call__(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        rows, margins = self.margins(z, y, work)
        value = margins.sum(axis=(-2, -1)) / z.shape[-2]
        np.greater(margins, 0, out=margins, casting="unsafe")
        return value, self.from_slopes(margins, rows, y)

    def margins(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        """Row numbers, and max(0, z_c - z_y + delta) with 0 for c = y."""
        rows = np.arange(z.shape[-2])
        margins = work.get("dz", z.shape, z.dtype)
        np.subtract(z, z[..., rows, y][..., None], out=margins)
        margins += self.delta
        np.maximum(margins, 0, out=margins)
        margins[..., rows, y] = 0
        return rows, margins

    def from_slopes(self, slopes: Array, rows: Array, y: Array) -> Array:
        """dz, given d(loss)/d(margin): every margin holds -z_y."""
        slopes[..., rows, y] = -slopes.sum(axis=-1)
        slopes /= slopes.shape[-2]
        return slopes


@dataclass(frozen=True)
class SquaredHinge(Hinge):
    """Squared multiclass hinge: 1/m * sum_i sum_{c != y_i} max(0, z_ic - z_i,y_i + delta)^2."""

    def __call__(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        rows, margins = self.margins(z, y, work)
        value = np.vecdot(margins, margins).sum(axis=-1) / z.shape[-2]
        margins *= 2
        return value, self.from_slopes(margins, rows, y)

"""Losses: how wrong the scores z are, as a mean over the batch, and the gradient in z.

Shapes: z `(..., m, C)` for m examples and C scores; the value has the leading axes of z, the
gradient dz has z's shape and lives in a work array. y is what `encode` made of the targets:
labels `(m,)` or numbers `(m, C)`, with leading axes where models see different examples. With
weights w `(m,)` the mean is weighted, sum_i w_i loss_i / sum_i w_i: an example of weight 2 counts
as if it were there twice.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from math import log, prod
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import DTypeLike

from nnlab.core.arrays import Array, Workspace
from nnlab.core.laws import law
from nnlab.core.log_sum_exp import log_sum_exp, row_maxima, row_sums


class Loss(Hashable, Protocol):
    """The mean loss of a batch and its gradient in the scores."""

    regression: ClassVar[bool]
    """Does it apply to regression targets? Every loss applies to class labels."""

    @property
    def on_scores(self) -> bool:
        """Does it need raw scores, with no sigmoid or softmax before it?"""

    def outputs(self, classes: int) -> int:
        """How many scores the network must give for that many classes."""

    def encode(self, labels: Array, classes: int, dtype: DTypeLike) -> Array:
        """Integer labels `(n,)` in the form this loss takes as y."""

    def decide(self, z: Array) -> Array:
        """The predicted labels `(..., m)` for scores z."""

    def each(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        """The loss of each example `(..., m)`, and its gradient in its scores."""

    def losses(self, z: Array, y: Array, work: Workspace) -> Array:
        """The loss of each example alone, to the same bits."""

    def judge(self, z: Array, y: Array, labels: Array, work: Workspace) -> tuple[Array, Array]:
        """The same, and whether what is decided is the label `(..., m)`."""

    def at_zero(self, y: Array, outputs: int) -> float:
        """The mean loss if all scores are zero, in closed form."""

    def __call__(
        self, z: Array, y: Array, work: Workspace, weights: Array | None = None
    ) -> tuple[Array, Array]:
        """The mean loss `(...)` and dz = d(mean loss)/dz."""


class Mean:
    """The mean over the batch of a loss that says what `each` example costs."""

    on_scores: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        each, losses, judge, decide = (
            next(k for k, one in enumerate(cls.__mro__) if name in vars(one))
            for name in ("each", "losses", "judge", "decide")
        )
        if each < losses:
            cls.losses = Mean.losses  # type: ignore[method-assign]  # not another loss's
        if min(each, losses, decide) < judge:
            cls.judge = Mean.judge  # type: ignore[method-assign]

    def each(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        raise NotImplementedError

    def losses(self, z: Array, y: Array, work: Workspace) -> Array:
        return self.each(z, y, work)[0]

    def judge(self, z: Array, y: Array, labels: Array, work: Workspace) -> tuple[Array, Array]:
        return self.losses(z, y, work), self.decide(z) == labels

    def decide(self, z: Array) -> Array:
        raise NotImplementedError

    def __call__(
        self, z: Array, y: Array, work: Workspace, weights: Array | None = None
    ) -> tuple[Array, Array]:
        losses, dz = self.each(z, y, work)
        if weights is None:
            m = z.shape[-2]
            dz /= m
            return np.add.reduce(losses, axis=-1) / m, dz
        total = weights.sum()
        shares = weights / total if total else weights  # a batch that counts for nothing costs 0
        dz *= shares[:, None]
        return np.vecdot(losses, shares), dz


class OnLabels(Mean):
    """A loss on C scores and integer labels: y is the index of the right score."""

    regression: ClassVar[bool] = False

    def outputs(self, classes: int) -> int:
        return classes

    def encode(self, labels: Array, classes: int, dtype: DTypeLike) -> Array:
        return labels.astype(np.intp)

    def decide(self, z: Array) -> Array:
        return np.asarray(z.argmax(axis=-1))


class OnNumbers(Mean):
    """A loss on C scores and C numbers: labels become one-hot rows."""

    regression: ClassVar[bool] = True

    def outputs(self, classes: int) -> int:
        return classes

    def encode(self, labels: Array, classes: int, dtype: DTypeLike) -> Array:
        return np.eye(classes, dtype=dtype)[labels]

    def decide(self, z: Array) -> Array:
        return np.asarray(z.argmax(axis=-1))


class OneOrRest(OnNumbers):
    """A loss of yes/no scores: two classes need one (class 1 if z > 0); more classes are learnt
    one against the rest."""

    regression = False

    def outputs(self, classes: int) -> int:
        return 1 if classes == 2 else classes

    def encode(self, labels: Array, classes: int, dtype: DTypeLike) -> Array:
        if classes == 2:
            return labels.astype(dtype)[:, None]
        return super().encode(labels, classes, dtype)

    def decide(self, z: Array) -> Array:
        return (z[..., 0] > 0).astype(np.intp) if z.shape[-1] == 1 else super().decide(z)


@dataclass(frozen=True)
class MSE(OnNumbers):
    """Squared error: 1/m * sum_i sum_c (z_ic - y_ic)^2.

    PyTorch's `MSELoss` divides by m*C as well; `HalfMSE` has a half in front.
    """

    def each(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        dz = np.subtract(z, y, out=work.get("dz", z.shape, z.dtype))
        losses = np.vecdot(dz, dz)
        dz *= 2
        return losses, dz

    def at_zero(self, y: Array, outputs: int) -> float:
        return float(np.square(y).sum() / len(y))


@dataclass(frozen=True)
class HalfMSE(OnNumbers):
    """Half the squared error: 1/(2m) * sum_i sum_c (z_ic - y_ic)^2, whose gradient is (z - y)/m."""

    def each(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        dz = np.subtract(z, y, out=work.get("dz", z.shape, z.dtype))
        return 0.5 * np.vecdot(dz, dz), dz

    def at_zero(self, y: Array, outputs: int) -> float:
        return float(np.square(y).sum() / len(y)) / 2


@dataclass(frozen=True)
class Huber(OnNumbers):
    """1/m * sum_i sum_c h(z_ic - y_ic), with h(d) = d^2 / 2 where |d| <= delta, else
    delta * (|d| - delta / 2): squared error whose gradient outliers cannot dominate.

    Huber 1964, "Robust estimation of a location parameter". PyTorch's `HuberLoss` divides by m*C.
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        law("delta > 0", self.delta > 0, delta=self.delta)

    def each(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        distance = work.get("distance", z.shape, z.dtype)
        np.subtract(z, y, out=distance)
        dz = work.get("dz", z.shape, z.dtype)
        np.clip(distance, -self.delta, self.delta, out=dz)
        # with the clipped distance c, h(d) = c d - c^2 / 2
        return np.vecdot(dz, distance) - 0.5 * np.vecdot(dz, dz), dz

    def at_zero(self, y: Array, outputs: int) -> float:
        far = np.abs(y) > self.delta
        h = np.where(far, self.delta * (np.abs(y) - self.delta / 2), np.square(y) / 2)
        return float(h.sum() / len(y))


@dataclass(frozen=True)
class SigmoidSquaredError(OnNumbers):
    """1/(2m) * sum_i sum_c (a_ic - y_ic)^2 with a = 1 / (1 + exp(-z)), so that
    dz = (a - y) a (1 - a) / m: the pairing of the first texts on backpropagation.

    Rumelhart, Hinton & Williams 1986, "Learning representations by back-propagating errors",
    eq. 2-6. The same as `HalfMSE` after a sigmoid layer (`model.output=sigmoid`).
    """

    regression = False
    on_scores = True

    def each(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        a = work.get("a", z.shape, z.dtype)
        np.multiply(z, 0.5, out=a)
        np.tanh(a, out=a)
        a += 1
        a *= 0.5
        dz = np.subtract(a, y, out=work.get("dz", z.shape, z.dtype))
        losses = 0.5 * np.vecdot(dz, dz)
        dz *= a
        np.subtract(1, a, out=a)
        dz *= a
        return losses, dz

    def at_zero(self, y: Array, outputs: int) -> float:
        return float(np.square(0.5 - y).sum() / len(y)) / 2


@dataclass(frozen=True)
class CrossEntropy(OnLabels):
    """Softmax cross-entropy from scores: 1/m * sum_i (log sum_c exp(z_ic) - z_i,y_i), in nats.

    The row's maximum is subtracted first, which changes nothing but keeps exp from overflowing.
    y may also hold a distribution over the classes for each example, `(m, C)`: then the loss is
    log sum_c exp(z_c) - sum_c y_c z_c.
    """

    on_scores = True

    def each(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        p = work.get("dz", z.shape, z.dtype)
        np.subtract(z, row_maxima(z, work)[..., None], out=p)
        labels = y.dtype.kind != "f"
        if labels:
            flat = p.reshape(-1)  # one index is faster than two
            places = places_of(y, z)
            right = flat[places]
        else:
            right = np.vecdot(p, y)
        np.exp(p, out=p)
        total = row_sums(p, work)
        p /= total[..., None]
        if labels:
            flat[places] -= 1
        else:
            p -= y
        losses = np.log(total)
        losses -= right
        return losses, p

    def losses(self, z: Array, y: Array, work: Workspace) -> Array:
        return super().losses(z, y, work) if y.dtype.kind == "f" else self._judged(z, y, work)[0]

    def judge(self, z: Array, y: Array, labels: Array, work: Workspace) -> tuple[Array, Array]:
        if y.dtype.kind == "f":
            return super().judge(z, y, labels, work)
        losses, margin, alone = self._judged(z, y, work)
        return losses, margin == 0 if alone else self.decide(z) == labels

    def _judged(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array, bool]:
        """The losses, how far the right scores are from the highest ones, and whether each of these
        is known to be the only one in its row."""
        margin = z.reshape(-1)[places_of(y, z)]
        highest, losses, alone = log_sum_exp(z, work)
        margin -= highest
        losses -= margin
        return losses, margin, alone

    def at_zero(self, y: Array, outputs: int) -> float:
        return log(outputs)


@dataclass(frozen=True)
class BinaryCrossEntropy(OneOrRest):
    """Cross-entropy of independent yes/no scores: 1/m * sum_ic (log(1 + exp(z_ic)) - y_ic z_ic).

    Two classes need one score (class 1 if z > 0); more classes are learnt one against the rest.
    Computed as max(z, 0) - y z + log1p(exp(-|z|)): no overflow.
    """

    on_scores = True

    def each(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        losses, small = self._parts(z, y, work)
        dz = np.heaviside(z, 1, out=work.get("dz", z.shape, z.dtype))
        np.maximum(dz, small, out=dz)
        small += 1
        dz /= small  # the sigmoid of z: 1 or exp(-|z|), over 1 + exp(-|z|)
        dz -= y
        return losses, dz

    def losses(self, z: Array, y: Array, work: Workspace) -> Array:
        return self._parts(z, y, work)[0]

    def _parts(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        """The loss of each example, and exp(-|z|)."""
        small, other, losses = (
            work.get(name, z.shape, z.dtype) for name in ("exp", "dz", "losses")
        )
        np.abs(z, out=small)
        np.negative(small, out=small)
        np.exp(small, out=small)
        np.multiply(y, z, out=other)
        np.maximum(z, 0, out=losses)
        losses -= other
        losses += np.log1p(small, out=other)
        return losses.sum(axis=-1), small

    def at_zero(self, y: Array, outputs: int) -> float:
        return outputs * log(2)


@dataclass(frozen=True)
class Hinge(OnLabels):
    """Multiclass hinge: 1/m * sum_i sum_{c != y_i} max(0, z_ic - z_i,y_i + delta).

    Weston & Watkins 1999, "Support vector machines for multi-class pattern recognition".
    At a kink the derivative is taken as 0.
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        law("delta > 0", self.delta > 0, delta=self.delta)

    def each(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        places, margins = self.margins(z, y, work)
        losses = margins.sum(axis=-1)
        np.greater(margins, 0, out=margins, casting="unsafe")
        return losses, self.from_slopes(margins, places)

    def losses(self, z: Array, y: Array, work: Workspace) -> Array:
        return np.asarray(self.margins(z, y, work)[1].sum(axis=-1))

    def margins(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        """Where the right scores are, and max(0, z_c - z_y + delta) with 0 for c = y."""
        places = places_of(y, z)
        margins = work.get("dz", z.shape, z.dtype)
        np.subtract(z, z.reshape(-1)[places][..., None], out=margins)
        margins += self.delta
        np.maximum(margins, 0, out=margins)
        margins.reshape(-1)[places] = 0
        return places, margins

    def from_slopes(self, slopes: Array, places: Array) -> Array:
        """dz, given d(loss)/d(margin): every margin holds -z_y."""
        slopes.reshape(-1)[places] = -slopes.sum(axis=-1)
        return slopes

    def at_zero(self, y: Array, outputs: int) -> float:
        return (outputs - 1) * self.delta


@dataclass(frozen=True)
class SquaredHinge(Hinge):
    """Squared multiclass hinge: 1/m * sum_i sum_{c != y_i} max(0, z_ic - z_i,y_i + delta)^2."""

    def each(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        places, margins = self.margins(z, y, work)
        losses = np.vecdot(margins, margins)
        margins *= 2
        return losses, self.from_slopes(margins, places)

    def losses(self, z: Array, y: Array, work: Workspace) -> Array:
        margins = self.margins(z, y, work)[1]
        return np.asarray(np.vecdot(margins, margins))

    def at_zero(self, y: Array, outputs: int) -> float:
        return (outputs - 1) * self.delta**2


@dataclass(frozen=True)
class BinaryHinge(OneOrRest):
    """1/m * sum_ic max(0, delta - s_ic z_ic) with s = +1 for yes and -1 for no.

    Cortes & Vapnik 1995, "Support-vector networks". For two classes it is the multiclass hinge
    of the two scores 0 and z. At a kink the derivative is taken as 0.
    """

    delta: float = 1.0

    on_scores: ClassVar[bool] = True  # it decides by their sign

    def __post_init__(self) -> None:
        law("delta > 0", self.delta > 0, delta=self.delta)

    def encode(self, labels: Array, classes: int, dtype: DTypeLike) -> Array:
        return 2 * super().encode(labels, classes, dtype) - 1

    def each(self, z: Array, y: Array, work: Workspace) -> tuple[Array, Array]:
        dz = np.multiply(z, y, out=work.get("dz", z.shape, z.dtype))
        np.subtract(self.delta, dz, out=dz)
        np.maximum(dz, 0, out=dz)
        losses = dz.sum(axis=-1)
        np.greater(dz, 0, out=dz, casting="unsafe")
        dz *= y
        return losses, np.negative(dz, out=dz)

    def at_zero(self, y: Array, outputs: int) -> float:
        return outputs * self.delta


def places_of(y: Array, z: Array) -> Array:
    """Where the scores of labels y are in the flattened z."""
    return np.add(_first_places(z.shape), y)


@lru_cache(maxsize=64)
def _first_places(shape: tuple[int, ...]) -> Array:
    """Where the rows of an array begin when it is flattened."""
    return np.arange(0, prod(shape), shape[-1]).reshape(shape[:-1])

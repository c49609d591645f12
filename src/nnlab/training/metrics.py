"""What is measured on a part of the data, in batches that fit the cache."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from nnlab.core.arrays import Array, Workspace
from nnlab.core.layers import Mode
from nnlab.core.losses import Loss
from nnlab.core.model import Network
from nnlab.core.objective import Batch
from nnlab.data.view import Inputs

ROWS = 1024
"""So many examples are measured at a time."""


@dataclass(frozen=True)
class Evaluator:
    """Loss and score of a network on one part of the data.

    The score is the accuracy for labels, and for regression R^2 = 1 - sum (y - z)^2 /
    sum (y - mean(y))^2 (0 where every target is the same). The loss is the data's alone, without
    the penalty. Sums are taken in float64.
    """

    network: Network
    loss: Loss
    encoded: Batch
    labels: Array | None
    """Integer labels, or None for regression."""
    work: Workspace = field(default_factory=Workspace)

    @property
    def score(self) -> str:
        """The score's name."""
        return "r2" if self.labels is None else "accuracy"

    def __call__(self, theta: Array, buffers: Array | None = None) -> dict[str, float]:
        """{"loss": ..., "accuracy" or "r2": ...} at theta `(P,)`, with running statistics
        `buffers` `(B,)` where the network has any."""
        return self.each([(theta, buffers)])[0]

    def each(self, weights: Sequence[tuple[Array, Array | None]]) -> list[dict[str, float]]:
        """The same for each of several weights, to the same bits; the examples are read once."""
        models = [
            (self.network.layout.views(theta), self.network.mode(buffers))
            for theta, buffers in weights
        ]
        loss, right = np.zeros((2, len(models)))
        for rows, x in self._chunks():
            y, z = self.encoded.y[rows], self._scores(models, x)
            losses = self.loss.losses(z, y, self.work)
            loss += (np.add.reduce(losses, axis=-1) / len(x)).astype(np.float64) * len(x)
            if self.labels is None:
                squares = np.square(z - y, dtype=np.float64)
                right += squares.reshape(len(models), -1).sum(axis=-1)
            else:
                right += (self.loss.decide(z) == self.labels[rows]).sum(axis=-1)
        n = len(self.encoded.x)
        score = right / n if self.labels is not None else self._r2(right)
        measured = zip((loss / n).tolist(), score.tolist(), strict=True)
        return [{"loss": one, self.score: other} for one, other in measured]

    def _scores(self, models: Sequence[tuple[Mapping[str, Array], Mode]], x: Array) -> Array:
        """What each model says of x, `(models, m, outputs)`."""
        for k, (parameters, mode) in enumerate(models):
            scores = self.network.run(parameters, x, self.work, mode)[-1]
            if k == 0:
                z = self.work.get("scores", (len(models), *scores.shape), scores.dtype)
            z[k] = scores
        return z

    def _r2(self, squares: Array) -> Array:
        return 1 - squares / self._total if self._total else np.zeros(len(squares))

    @cached_property
    def _total(self) -> float:
        """sum (y - mean(y))^2."""
        y = self.encoded.y.astype(np.float64)
        return float(np.square(y - y.mean(axis=0)).sum())

    def _chunks(self) -> Iterator[tuple[slice, Array]]:
        x: Inputs = self.encoded.x
        slices = [slice(start, start + ROWS) for start in range(0, len(x), ROWS)]
        arrays = (
            map(x.__getitem__, slices) if isinstance(x, np.ndarray) else x.ahead(ROWS, self.work)
        )
        return zip(slices, arrays, strict=True)

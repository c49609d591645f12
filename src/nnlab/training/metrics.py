"""What is measured on a part of the data, in batches that fit the cache."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from nnlab.core.arrays import Array, Workspace
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
        loss = right = 0.0
        mode = self.network.mode(buffers)
        for rows, x in self._chunks():
            y = self.encoded.y[rows]
            z = self.network.forward(theta, x, self.work, mode)[-1]
            loss += float(self.loss(z, y, self.work)[0]) * len(x)
            if self.labels is None:
                right += float(np.square(z - y, dtype=np.float64).sum())
            else:
                right += int((self.loss.decide(z) == self.labels[rows]).sum())
        n = len(self.encoded.x)
        return {"loss": loss / n, self.score: self._r2(right) if self.labels is None else right / n}

    def _r2(self, squares: float) -> float:
        y = self.encoded.y.astype(np.float64)
        total = float(np.square(y - y.mean(axis=0)).sum())
        return 1 - squares / total if total else 0.0

    def _chunks(self) -> Iterator[tuple[slice, Array]]:
        x: Inputs = self.encoded.x
        slices = [slice(start, start + ROWS) for start in range(0, len(x), ROWS)]
        arrays = (
            map(x.__getitem__, slices) if isinstance(x, np.ndarray) else x.ahead(ROWS, self.work)
        )
        return zip(slices, arrays, strict=True)

"""What is measured on a part of the data, in batches that fit the cache."""

from collections.abc import Callable, Hashable, Iterable, Sequence
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
    """Evaluators that are used one after another may share one."""

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
        dtype = weights[0][0].dtype
        models = self.work.get("models", (len(weights), self.network.layout.size), dtype)
        modes = [self.network.mode(buffers) for _, buffers in weights]
        training = modes[0].training
        for model, (theta, _) in zip(models, weights, strict=True):
            model[...] = theta
        loss, right = np.zeros((2, len(models)))
        for name, rows, x in self._chunks():
            y = self.encoded.y[rows]
            z, passes = self.work.bound(
                (id(self), name, len(models)), self._bind, models, x, training
            )
            for run, mode in zip(passes, modes, strict=True):
                run(mode)
            if self.labels is None:
                losses = self.loss.losses(z, y, self.work)
                squares = np.square(z - y, dtype=np.float64)
                right += squares.reshape(len(models), -1).sum(axis=-1)
            else:
                losses, hits = self.loss.judge(z, y, self.labels[rows], self.work)
                right += hits.sum(axis=-1)
            loss += (np.add.reduce(losses, axis=-1) / len(x)).astype(np.float64) * len(x)
        n = len(self.encoded.x)
        score = right / n if self.labels is not None else self._r2(right)
        measured = zip((loss / n).tolist(), score.tolist(), strict=True)
        return [{"loss": one, self.score: other} for one, other in measured]

    def _bind(
        self, models: Array, x: Array, training: bool, work: Workspace
    ) -> tuple[Array, list[Callable[[Mode], None]]]:
        """What each of the models says of x, `(models, m, outputs)`, and what computes it."""
        traces = [self.network.bind_forward(theta, x, training, work) for theta in models]
        last = traces[0][0][-1]
        z = work.get("scores", (len(models), *last.shape), last.dtype)

        def bound(k: int) -> Callable[[Mode], None]:
            (*_, scores), passes = traces[k]
            mine = z[k]

            def run(mode: Mode) -> None:
                for forward in passes:
                    forward(mode)
                np.copyto(mine, scores)

            return run

        return z, [bound(k) for k in range(len(models))]

    def _r2(self, squares: Array) -> Array:
        return 1 - squares / self._total if self._total else np.zeros(len(squares))

    @cached_property
    def _total(self) -> float:
        """sum (y - mean(y))^2."""
        y = self.encoded.y.astype(np.float64)
        return float(np.square(y - y.mean(axis=0)).sum())

    def _chunks(self) -> Iterable[tuple[Hashable, slice, Array]]:
        """The examples in pieces, each with a name for what is bound to it: that of arrays in
        memory is kept for the next time, others are bound one after another."""
        x: Inputs = self.encoded.x
        if isinstance(x, np.ndarray):
            return self._pieces
        slices = _slices(len(x))
        return zip(("read",) * len(slices), slices, x.ahead(ROWS, self.work), strict=True)

    @cached_property
    def _pieces(self) -> list[tuple[Hashable, slice, Array]]:
        x = self.encoded.x
        return [(rows.start, rows, x[rows]) for rows in _slices(len(x))]


def _slices(n: int) -> list[slice]:
    return [slice(start, start + ROWS) for start in range(0, n, ROWS)]

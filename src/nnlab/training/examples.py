"""The data as a training uses them: what is trained on, and what is measured."""

from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike

from nnlab.core.arrays import Array, Workspace
from nnlab.core.laws import law
from nnlab.core.losses import Loss
from nnlab.core.model import Network
from nnlab.core.objective import Batch
from nnlab.data.batches import Batches, BatchOrder, Gathered, Order
from nnlab.data.dataset import Part, Splits
from nnlab.data.stream.order import WindowOrder, edges
from nnlab.data.stream.streamed import Streamed
from nnlab.data.view import View
from nnlab.training.experiment import Experiment
from nnlab.training.metrics import Evaluator


def training_batch(
    experiment: Experiment, loss: Loss, splits: Splits, measured: Evaluator
) -> Batch:
    """Every training example, encoded for the loss that is minimised, with its weight.

    x, which is large, is shared with what is measured.
    """
    classes, y, own = len(splits.classes), splits.train.y, splits.train.weights
    weights = experiment.weighting.of(y, classes, experiment.dtype)
    if own is not None:
        law("every weight >= 0, and one > 0", own.min() >= 0 < own.max(), weights=own)
        weights = own.astype(experiment.dtype) * (1 if weights is None else weights)
    if not classes:
        return Batch(*measured.encoded[:2], weights)
    mixed = any(change.mixes_targets for change in experiment.augmentation)
    encoded = _encoded(splits.train, loss, classes, experiment.dtype, mixed)
    return Batch(measured.encoded.x, encoded, weights)


def in_order(experiment: Experiment, batch: Batch) -> tuple[Order, Batches]:
    """The order of the training examples, and their inputs in it.

    Raises `LawError` where a batch is larger than the window that is read ahead.
    """
    x = batch.x
    if not _streamed(x):
        order = BatchOrder(experiment.seed, len(x), experiment.batch_size)
        return order, Gathered(x)
    assert isinstance(x, View) and not isinstance(x.of, np.ndarray)
    window = x.of.window
    law(
        f"batch_size <= data.window = {window:,}",
        min(experiment.batch_size, len(x)) <= window,
        batch_size=experiment.batch_size,
    )
    blocks = edges(x.rows, x.of.groups, window)
    windows = WindowOrder(experiment.seed, blocks, experiment.batch_size, window)
    return windows, Streamed(x, windows)


def evaluators(experiment: Experiment, network: Network, splits: Splits) -> dict[str, Evaluator]:
    """What measures each part: the loss itself, neither smoothed nor weighted nor penalised."""
    loss, dtype, classes = experiment.loss, experiment.dtype, len(splits.classes)
    work = Workspace()

    def evaluator(part: Part) -> Evaluator:
        y = _encoded(part, loss, classes, dtype) if classes else part.y.astype(dtype)
        encoded = Batch(cast(Array, part.x.astype(dtype)), y)  # a view does what is asked of it
        return Evaluator(network, loss, encoded, part.y if classes else None, work)

    return {
        name: evaluator(part) for name, part in zip(Splits._fields[:3], splits[:3], strict=True)
    }


class Coded:
    """The encoded targets of labels, made when they are read: of data on disk nothing of their
    number is held twice."""

    def __init__(self, labels: Array, codes: Array) -> None:
        """`codes` `(classes, ...)` are the encoded labels 0, 1, ..."""
        self.labels = labels
        self.codes = codes
        self.dtype = codes.dtype
        self.shape = (len(labels), *codes.shape[1:])
        self.ndim = codes.ndim

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: Any) -> Array:
        return np.asarray(self.codes[self.labels[key]])

    def take(self, rows: Array, axis: int, out: Array, mode: str = "clip") -> Array:
        """`y[rows]`, written to `out`."""
        return np.take(self.codes, self.labels[rows], 0, out, "clip")


def _encoded(part: Part, loss: Loss, classes: int, dtype: DTypeLike, mixed: bool = False) -> Array:
    """The labels of a part as the loss takes them; as distributions where they will be mixed."""
    streamed = _streamed(part.x)
    encoded = loss.encode(np.arange(classes) if streamed else part.y, classes, dtype)
    if mixed and encoded.ndim == 1:  # cross-entropy takes distributions as well
        encoded = np.eye(classes, dtype=dtype)[encoded]
    return cast(Array, Coded(part.y, encoded)) if streamed else encoded


def _streamed(x: Any) -> bool:
    return isinstance(x, View) and not x.in_memory

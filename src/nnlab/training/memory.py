"""What a training takes of memory at the least, told before it is taken."""

from dataclasses import dataclass
from math import prod

import numpy as np

from nnlab.core.layers import Dense
from nnlab.core.lbfgs import LBFGS
from nnlab.core.model import Network
from nnlab.data.dataset import Splits
from nnlab.data.memory import available, refuse_more
from nnlab.training.experiment import Experiment
from nnlab.training.metrics import ROWS

_DOUBLE = np.dtype(np.float64).itemsize


@dataclass(frozen=True)
class Footprint:
    """Bytes that a training holds while it runs; what it holds besides is small or shared."""

    vectors: int
    """theta, its gradient, theta before a step, what the optimizer and the averaging keep, and
    once a vector of float64: norms are summed in it."""
    batches: int
    """The outputs of dense layers and their gradients, for a batch and for what is measured."""
    targets: int
    """The encoded targets of all examples."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.vectors + self.batches + self.targets


def footprint(experiment: Experiment, network: Network, splits: Splits) -> Footprint:
    """Of the training of this network on these data. Nothing of that size is made to tell it."""
    size = np.dtype(experiment.dtype).itemsize
    two = np.zeros(2, experiment.dtype)  # what is kept of each parameter is kept of these
    kept = (experiment.optimizer.init(two), experiment.averaging.init(two))
    each = sum(
        array.nbytes // 2 for state in kept for array in state.values() if array.shape == (2,)
    )
    each += 3 * size + _DOUBLE
    each += size * (2 if experiment.averaging.label else 1)  # what is evaluated is copied
    if isinstance(experiment.optimizer, LBFGS):
        each += 2 * experiment.optimizer.memory * _DOUBLE
    dense = [layer for layer in network.layers if isinstance(layer, Dense)]
    trained = min(experiment.batch_size, len(splits.train.y))
    measured = sum(min(ROWS, len(part.y)) for part in splits[:2])
    outputs, inputs = sum(one.outputs for one in dense), sum(one.inputs for one in dense[1:])
    rows = sum(len(part.y) for part in splits[:3])
    return Footprint(
        network.layout.size * each,
        size * (trained * (outputs + inputs) + measured * outputs),
        rows * _width(experiment, splits) * size,
    )


def check_memory(
    experiment: Experiment, network: Network, splits: Splits, trainings: int = 1
) -> None:
    """Raise `LawError` unless so many trainings like this one fit into memory together."""
    needed = footprint(experiment, network, splits)
    sizes = (needed.vectors, needed.batches, needed.targets)
    there = available()
    blamed = next((size for size in sizes if size > there), max(sizes))
    hidden = getattr(experiment.model, "hidden", ())
    if blamed == needed.vectors:
        field = "model.hidden" if hidden else "data"
        cure = "choose smaller model.hidden" if hidden else "choose data with fewer features"
    elif blamed == needed.batches:
        field, cure = "batch_size", "choose a smaller batch_size, or narrower layers"
    else:
        field, cure = (
            "loss",
            "choose loss=cross_entropy, whose targets are labels, or fewer classes",
        )
    what = f"a network of {network.layout.size:,} parameters"
    if trainings > 1:
        what = f"{trainings:,} trainings of {what}"
        field, cure = f"seeds, validation, {field}", f"{cure}, or fewer seeds or folds"
    parts = {
        "vectors as long as theta": needed.vectors,
        "the layers' outputs": needed.batches,
        "the encoded targets": needed.targets,
    }
    held = ", ".join(f"{trainings * size / 1e9:,.1f} GB {name}" for name, size in parts.items())
    refuse_more(trainings * needed.total, f"{what} would take at least", held, field, cure)


def _width(experiment: Experiment, splits: Splits) -> int:
    """Numbers in the encoded target of an example."""
    classes = len(splits.classes)
    if not classes:
        return prod(splits.train.y.shape[1:])
    encoded = experiment.loss.encode(np.zeros(1, np.int64), classes, experiment.dtype)
    mixed = any(change.mixes_targets for change in experiment.augmentation)
    return classes if mixed else prod(encoded.shape[1:])

"""What is trained: networks, data, optimizers, and the numbers that every peer begins with."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from nnlab.core.adaptive import Adam
from nnlab.core.arrays import Array
from nnlab.core.averaging import Averaging, NoAveraging
from nnlab.core.losses import CrossEntropy
from nnlab.core.model import MLP
from nnlab.core.optimizers import SGD, Momentum, Optimizer
from nnlab.core.penalties import NoPenalty
from nnlab.core.schedules import Constant
from nnlab.data.dataset import Dataset
from nnlab.data.sources.bundled import Digits
from nnlab.data.sources.mnist import MNIST
from nnlab.data.sources.source import Source
from nnlab.training.experiment import Experiment
from nnlab.training.stopping import MaxEpochs
from nnlab.training.trainer import Training

PLAIN = NoAveraging()
MOMENTUM, BETA1, BETA2, EPSILON = 0.9, 0.9, 0.999, 1e-8
OPTIMIZERS: dict[str, Callable[[float], Optimizer]] = {
    "sgd": SGD,
    "momentum": lambda lr: Momentum(lr, MOMENTUM),
    "adam": lambda lr: Adam(lr / 50, BETA1, BETA2, EPSILON),
}
"""By a network's learning rate."""


@dataclass(frozen=True)
class Wide(Source):
    """10,000 points in 1,024 dimensions, ten clouds that overlap; made, not read."""

    scale: str = "none"

    examples: ClassVar[int] = 10_000

    def load(self) -> Dataset:
        rng = np.random.default_rng(0)
        y = rng.integers(10, size=self.examples)
        centres = rng.standard_normal((10, 1024), dtype=np.float32) / 8
        x = centres[y] + rng.standard_normal((self.examples, 1024), dtype=np.float32)
        return Dataset(x, y, tuple("0123456789"))


@dataclass(frozen=True)
class Network:
    """ReLU layers and a softmax on data, in batches."""

    data: Source
    hidden: tuple[int, ...]
    batch_size: int
    lr: float = 0.05


NETWORKS = {
    "digits": Network(Digits(), (64,), 32),
    "mnist": Network(MNIST(), (128,), 128),
    "mnist2": Network(MNIST(), (256, 128), 64),
    "wide": Network(Wide(), (1024, 1024), 256, 0.005),
}
CASES = tuple(f"{name}-{optimizer}" for name in NETWORKS for optimizer in ("momentum", "adam"))


@dataclass(frozen=True)
class Problem:
    """A case made ready: what nnlab trains, and the same as arrays for everybody else."""

    case: str
    averaging: Averaging = PLAIN

    @property
    def network(self) -> Network:
        return NETWORKS[self.case.split("-")[0]]

    @property
    def optimizer(self) -> str:
        """momentum or adam (or sgd)."""
        return self.case.split("-")[1]

    @property
    def lr(self) -> float:
        return float(self.training.experiment.optimizer.lr)

    @cached_property
    def training(self) -> Training:
        """nnlab's, as every command runs it; it ends never."""
        network = self.network
        return Training(
            Experiment(
                MLP(network.hidden),
                CrossEntropy(),
                NoPenalty(),
                OPTIMIZERS[self.optimizer](network.lr),
                Constant(),
                network.data,
                self.averaging,
                (MaxEpochs(1_000_000),),
                batch_size=network.batch_size,
            )
        )

    @cached_property
    def x(self) -> Array:
        """The training examples `(n, inputs)` in float32; nnlab itself keeps bytes as bytes."""
        x = self.training.batch.x
        return np.ascontiguousarray(x[np.arange(len(x))], np.float32)

    @property
    def y(self) -> Array:
        """Their labels `(n,)`."""
        return self.training.splits.train.y

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of the layers, inputs and outputs included."""
        return (self.training.splits.train.x.shape[1], *self.network.hidden, 10)

    def weights(self) -> list[tuple[Array, Array]]:
        """Initial weights `(inputs, outputs)` and biases of the layers, new arrays."""
        training = self.training
        views = iter(training.network.layout.views(training.start().theta.copy()).values())
        return list(zip(views, views, strict=True))

    def batches(self, epoch: int) -> list[Array]:
        """The rows of each batch of an epoch."""
        order, steps = self.training.order, self.training.order.steps_per_epoch
        return [order.rows(step) for step in range(epoch * steps, (epoch + 1) * steps)]

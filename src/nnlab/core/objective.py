"""The seam between what is minimised and how: an objective is a value and a gradient at theta."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from nnlab.core.arrays import Array, Workspace
from nnlab.core.clipping import Clipping, NoClipping
from nnlab.core.losses import Loss
from nnlab.core.model import Network
from nnlab.core.penalties import Penalty


class Batch(NamedTuple):
    """Examples x `(m, inputs)` and their encoded targets y."""

    x: Array
    y: Array
    weights: Array | None = None
    """How much each example counts `(m,)`; None where all count alike."""
    seed: tuple[int, ...] | None = None
    """What dropout's masks are drawn from: the same seed, the same masks."""
    buffers: Array | None = None
    """Running statistics `(..., B)`, updated in place at every evaluation; None keeps none."""


class Objective(Protocol):
    """A function of theta `(..., P)` on a batch."""

    def __call__(self, theta: Array, batch: Any, grad: Array | None, work: Workspace) -> Array:
        """The value (theta's leading axes); the gradient is written to `grad`, if there is one."""


@dataclass(frozen=True)
class NetworkObjective:
    """loss(network(x), y) + penalty(weights), the network as it is in training."""

    network: Network
    loss: Loss
    penalty: Penalty

    def __call__(self, theta: Array, batch: Batch, grad: Array | None, work: Workspace) -> Array:
        network = self.network
        mode = network.training_mode(batch.seed, batch.buffers)
        trace = network.forward(theta, batch.x, work, mode)
        value, dz = self.loss(trace[-1], batch.y, work, batch.weights)
        if grad is not None:
            network.backward(theta, trace, dz, grad, work, mode)
        return value + self.penalty.add(theta, network.layout, grad, work)


class Gradient(Protocol):
    """Where gradients come from."""

    def of(
        self, objective: Objective, theta: Array, batch: Any, grad: Array, work: Workspace
    ) -> Array:
        """The objective's value; its gradient is written to `grad`."""


@dataclass(frozen=True)
class Analytic:
    """Backpropagation: the objective's own gradient."""

    def of(
        self, objective: Objective, theta: Array, batch: Any, grad: Array, work: Workspace
    ) -> Array:
        return objective(theta, batch, grad, work)


class Oracle:
    """What an optimizer may ask: the objective on the current batch, at any theta.

    The gradient is a work array: it is valid until the next question, and may be overwritten.
    """

    def __init__(
        self,
        objective: Objective,
        work: Workspace,
        clipping: Clipping = NoClipping(),
        gradient: Gradient = Analytic(),
    ) -> None:
        self.objective = objective
        self.work = work
        self.clipping = clipping
        self.gradient = gradient
        self.batch: Any = None
        self.seed: tuple[int, ...] = (0,)
        """What the optimizer's own random numbers of the current step are drawn from."""

    def __call__(self, theta: Array) -> tuple[Array, Array]:
        """Value and gradient at theta, the gradient clipped."""
        grad = self.work.get("grad", theta.shape, theta.dtype)
        value = self.gradient.of(self.objective, theta, self.batch, grad, self.work)
        self.look(grad)
        self.clipping.clip(grad)
        return value, grad

    def look(self, grad: Array) -> None:
        """Called with every gradient, before it is clipped."""

    def value(self, theta: Array) -> Array:
        """The value alone."""
        return self.objective(theta, self.batch, None, self.work)

    def rng(self) -> np.random.Generator:
        """The random numbers of the current step: the same ones at every call."""
        return np.random.default_rng(self.seed)

    def scratch(self, name: str, theta: Array) -> Array:
        """A work array shaped like theta."""
        return self.work.get(name, theta.shape, theta.dtype)

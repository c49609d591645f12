"""The seam between what is minimised and how: an objective is a value and a gradient at theta."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from nnlab.core.arrays import Array, Workspace
from nnlab.core.losses import Loss
from nnlab.core.model import Network
from nnlab.core.penalties import Penalty


class Batch(NamedTuple):
    """Examples x `(m, inputs)` and their encoded targets y."""

    x: Array
    y: Array


class Objective(Protocol):
    """A function of theta `(..., P)` on a batch."""

    def __call__(self, theta: Array, batch: Any, grad: Array, work: Workspace) -> Array:
        """The value (theta's leading axes); the gradient is written to `grad`."""


@dataclass(frozen=True)
class NetworkObjective:
    """loss(network(x), y) + penalty(weights)."""

    network: Network
    loss: Loss
    penalty: Penalty

    def __call__(self, theta: Array, batch: Batch, grad: Array, work: Workspace) -> Array:
        trace = self.network.forward(theta, batch.x, work)
        value, dz = self.loss(trace[-1], batch.y, work)
        self.network.backward(theta, trace, dz, grad, work)
        return value + self.penalty.add(theta, self.network.layout, grad, work)


class Oracle:
    """What an optimizer may ask: the objective on the current batch, at any theta.

    The gradient is a work array: it is valid until the next question, and may be overwritten.
    """

    def __init__(self, objective: Objective, work: Workspace) -> None:
        self.objective = objective
        self.work = work
        self.batch: Any = None

    def __call__(self, theta: Array) -> tuple[Array, Array]:
        """Value and gradient at theta."""
        grad = self.scratch("grad", theta)
        return self.objective(theta, self.batch, grad, self.work), grad

    def scratch(self, name: str, theta: Array) -> Array:
        """A work array shaped like theta."""
        return self.work.get(name, theta.shape, theta.dtype)

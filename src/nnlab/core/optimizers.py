"""Optimizers: `init` makes the state, `step` moves theta in place by one update.

Shapes: theta `(..., P)`. `scale` is the schedule's factor on the learning rate. Hyperparameters
are numbers, or `(K, 1)` arrays with one number for each of K models. A step returns the
objective's value where it asked for the gradient.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from nnlab.core.arrays import Array, Hyper, State, as_coefficient
from nnlab.core.laws import law
from nnlab.core.objective import Oracle


class Optimizer(Protocol):
    """A rule that turns answers of the oracle into updates of theta."""

    full_batch: ClassVar[bool]
    """Does it need every example in each batch, and the gradient as it is?"""
    gradient_free: ClassVar[bool]
    """Does it ask for values alone?"""

    @property
    def lr(self) -> Hyper:
        """The learning rate before the schedule: what the schedule scales."""

    def init(self, theta: Array) -> State:
        """The state before the first step."""

    def step(self, theta: Array, state: State, oracle: Oracle, scale: Hyper) -> Array:
        """Update theta and state in place; return the objective's value."""


class GradientStep:
    """An optimizer that asks for a gradient, of any batch, once a step."""

    full_batch: ClassVar[bool] = False
    gradient_free: ClassVar[bool] = False


@dataclass(frozen=True)
class SGD(GradientStep):
    """theta -= lr * g, stochastic gradient descent."""

    lr: Hyper = 0.1

    def __post_init__(self) -> None:
        law("lr > 0", np.greater(self.lr, 0), lr=self.lr)

    def init(self, theta: Array) -> State:
        return {}

    def step(self, theta: Array, state: State, oracle: Oracle, scale: Hyper) -> Array:
        value, grad = oracle(theta)
        grad *= as_coefficient(self.lr * scale, theta)
        theta -= grad
        return value


@dataclass(frozen=True)
class Momentum(GradientStep):
    """v = momentum * v - lr * g; theta += v.

    Polyak 1964, "Some methods of speeding up the convergence of iteration methods". The learning
    rate is inside the velocity; PyTorch keeps it outside (the same while lr is constant).
    """

    lr: Hyper = 0.05
    momentum: Hyper = 0.9

    def __post_init__(self) -> None:
        law("lr > 0", np.greater(self.lr, 0), lr=self.lr)
        law(
            "0 <= momentum < 1",
            np.greater_equal(self.momentum, 0) & np.less(self.momentum, 1),
            momentum=self.momentum,
        )

    def init(self, theta: Array) -> State:
        return {"velocity": np.zeros_like(theta)}

    def step(self, theta: Array, state: State, oracle: Oracle, scale: Hyper) -> Array:
        velocity = state["velocity"]
        value, grad = oracle(theta)
        velocity *= as_coefficient(self.momentum, theta)
        grad *= as_coefficient(self.lr * scale, theta)
        velocity -= grad
        theta += velocity
        return value


@dataclass(frozen=True)
class NAG(Momentum):
    """v' = momentum * v - lr * g(theta + momentum * v); theta += v'. Nesterov's look-ahead form.

    Sutskever et al. 2013, "On the importance of initialization and momentum", eq. 3-4. Since
    theta + v' = (theta + momentum * v) - lr * g, theta itself walks to the look-ahead point and
    on from there. (PyTorch's `nesterov=True` keeps the look-ahead point as its parameters.)
    """

    def step(self, theta: Array, state: State, oracle: Oracle, scale: Hyper) -> Array:
        velocity = state["velocity"]
        velocity *= as_coefficient(self.momentum, theta)
        theta += velocity
        value, grad = oracle(theta)
        grad *= as_coefficient(self.lr * scale, theta)
        velocity -= grad
        theta -= grad
        return value

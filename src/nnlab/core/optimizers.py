"""Optimizers: `init` makes the state, `step` moves theta in place by one update.

Shapes: theta `(..., P)`. `scale` is the schedule's factor on the learning rate. Hyperparameters
are numbers, or `(K, 1)` arrays with one number for each of K models. A step returns the
objective's value where it asked for the gradient.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nnlab.core.arrays import Array, Hyper, State, as_coefficient
from nnlab.core.laws import law
from nnlab.core.objective import Oracle


class Optimizer(Protocol):
    """A rule that turns gradients into updates of theta."""

    @property
    def lr(self) -> Hyper:
        """The learning rate before the schedule."""

    def init(self, theta: Array) -> State:
        """The state before the first step."""

    def step(self, theta: Array, state: State, oracle: Oracle, scale: float) -> Array:
        """Update theta and state in place; return the objective's value."""


@dataclass(frozen=True)
class SGD:
    """theta -= lr * g, stochastic gradient descent."""

    lr: Hyper = 0.1

    def __post_init__(self) -> None:
        law("lr > 0", np.greater(self.lr, 0), lr=self.lr)

    def init(self, theta: Array) -> State:
        return {}

    def step(self, theta: Array, state: State, oracle: Oracle, scale: float) -> Array:
        value, grad = oracle(theta)
        grad *= as_coefficient(self.lr * scale, theta)
        theta -= grad
        return value


@dataclass(frozen=True)
class Momentum:
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

    def step(self, theta: Array, state: State, oracle: Oracle, scale: float) -> Array:
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

    def step(self, theta: Array, state: State, oracle: Oracle, scale: float) -> Array:
        velocity = state["velocity"]
        velocity *= as_coefficient(self.momentum, theta)
        theta += velocity
        value, grad = oracle(theta)
        grad *= as_coefficient(self.lr * scale, theta)
        velocity -= grad
        theta -= grad
        return value


@dataclass(frozen=True)
class Adam:
    """m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
    theta -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon).

    Kingma & Ba 2015, "Adam: a method for stochastic optimization", algorithm 1, with its
    defaults. Epsilon is outside the root and is not bias-corrected.
    """

    lr: Hyper = 0.001
    beta1: Hyper = 0.9
    beta2: Hyper = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        law("lr > 0", np.greater(self.lr, 0), lr=self.lr)
        for beta in ("beta1", "beta2"):
            value = getattr(self, beta)
            holds = np.greater_equal(value, 0) & np.less(value, 1)
            law(f"0 <= {beta} < 1", holds, **{beta: value})
        law("epsilon > 0", self.epsilon > 0, epsilon=self.epsilon)

    def init(self, theta: Array) -> State:
        return {
            "mean": np.zeros_like(theta),
            "square": np.zeros_like(theta),
            "t": np.zeros((), np.int64),
        }

    def step(self, theta: Array, state: State, oracle: Oracle, scale: float) -> Array:
        mean, square, scratch = state["mean"], state["square"], oracle.scratch("adam", theta)
        state["t"] += 1
        t = int(state["t"])
        value, grad = oracle(theta)
        square *= as_coefficient(self.beta2, theta)
        np.multiply(grad, grad, out=scratch)
        scratch *= as_coefficient(1 - self.beta2, theta)
        square += scratch
        mean *= as_coefficient(self.beta1, theta)
        grad *= as_coefficient(1 - self.beta1, theta)
        mean += grad
        np.sqrt(square, out=scratch)
        scratch *= as_coefficient((1 - self.beta2**t) ** -0.5, theta)
        scratch += self.epsilon
        np.divide(mean, scratch, out=scratch)
        scratch *= as_coefficient(self.lr * scale / (1 - self.beta1**t), theta)
        theta -= scratch
        return value

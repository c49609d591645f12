"""Activations: functions of each example, in place on the output of the layer before."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array, Workspace
from nnlab.core.layers import EVALUATION, Mode


class Activation:
    """A function of each example, written over x, whose derivative is a function of y alone."""

    gain: ClassVar[float] = 1.0
    """What initial weights before it are multiplied by (PyTorch's `calculate_gain`)."""

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {}

    def forward(
        self, parameters: Mapping[str, Array], x: Array, work: Workspace, mode: Mode = EVALUATION
    ) -> Array:
        return self.apply(x, work)

    def backward(
        self,
        parameters: Mapping[str, Array],
        grads: Mapping[str, Array],
        x: Array,
        y: Array,
        dy: Array,
        work: Workspace,
        mode: Mode = EVALUATION,
        *,
        input_needed: bool,
    ) -> Array:
        return self.pull(y, dy, work.get("slope", y.shape, y.dtype))

    def apply(self, x: Array, work: Workspace) -> Array:
        """f(x), written over x."""
        raise NotImplementedError

    def pull(self, y: Array, dy: Array, scratch: Array) -> Array:
        """dL/dx, written over dy = dL/dy, given y = f(x)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Softmax(Activation):
    """y_c = exp(x_c) / sum_k exp(x_k), row by row; dx = y * (dy - sum_k dy_k y_k).

    The row's maximum is subtracted first, which changes nothing but keeps exp from overflowing.
    (Cross-entropy has its own softmax and takes the scores before it.)
    """

    def apply(self, x: Array, work: Workspace) -> Array:
        x -= x.max(axis=-1, keepdims=True)
        np.exp(x, out=x)
        x /= x.sum(axis=-1, keepdims=True)
        return x

    def pull(self, y: Array, dy: Array, scratch: Array) -> Array:
        dy -= np.vecdot(dy, y)[..., None]
        dy *= y
        return dy


class Elementwise(Activation):
    """An activation that treats every number alike."""

    def pull(self, y: Array, dy: Array, scratch: Array) -> Array:
        dy *= self.derivative(y, scratch)
        return dy

    def derivative(self, y: Array, out: Array) -> Array:
        """f'(x) as a function of y = f(x)."""
        raise NotImplementedError


@dataclass(frozen=True)
class ReLU(Elementwise):
    """y = max(x, 0). At the kink x = 0 the derivative is taken as 0."""

    gain = sqrt(2)

    def apply(self, x: Array, work: Workspace) -> Array:
        return np.maximum(x, 0, out=x)

    def derivative(self, y: Array, out: Array) -> Array:
        return np.greater(y, 0, out=out, casting="unsafe")


@dataclass(frozen=True)
class LeakyReLU(Elementwise):
    """y = x where x > 0, else slope * x. At the kink x = 0 the derivative is taken as the slope.

    Maas et al. 2013, "Rectifier nonlinearities improve neural network acoustic models".
    """

    slope: ClassVar[float] = 0.01
    gain = sqrt(2 / (1 + slope**2))

    def apply(self, x: Array, work: Workspace) -> Array:
        below = np.multiply(x, self.slope, out=work.get("slope", x.shape, x.dtype))
        return np.maximum(x, below, out=x)

    def derivative(self, y: Array, out: Array) -> Array:
        np.greater(y, 0, out=out, casting="unsafe")
        return np.maximum(out, self.slope, out=out)


@dataclass(frozen=True)
class Tanh(Elementwise):
    """y = tanh(x), y' = 1 - y^2."""

    gain = 5 / 3

    def apply(self, x: Array, work: Workspace) -> Array:
        return np.tanh(x, out=x)

    def derivative(self, y: Array, out: Array) -> Array:
        np.multiply(y, y, out=out)
        return np.subtract(1, out, out=out)


@dataclass(frozen=True)
class Sigmoid(Elementwise):
    """y = 1 / (1 + exp(-x)), y' = y (1 - y). Computed as (1 + tanh(x/2)) / 2: no overflow."""

    def apply(self, x: Array, work: Workspace) -> Array:
        x *= 0.5
        np.tanh(x, out=x)
        x += 1
        x *= 0.5
        return x

    def derivative(self, y: Array, out: Array) -> Array:
        np.subtract(1, y, out=out)
        return np.multiply(out, y, out=out)


ACTIVATIONS: Mapping[str, type[Activation]] = {
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
    "softmax": Softmax,
}

"""Activations: functions of each example, in place on the output of the layer before."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array, Workspace
from nnlab.core.layers import Backward, Forward, Layer, Mode


class Activation(Layer):
    """A function of each example, written over x, whose derivative is a function of y alone."""

    gain: ClassVar[float] = 1.0
    """What initial weights before it are multiplied by (PyTorch's `calculate_gain`)."""

    def bind_forward(
        self, parameters: Mapping[str, Array], x: Array, work: Workspace, training: bool
    ) -> tuple[Array, Forward]:
        apply = self.apply

        def forward(mode: Mode) -> None:
            apply(x, work)

        return x, forward

    def apply(self, x: Array, work: Workspace) -> Array:
        """f(x), written over x."""
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

    def bind_backward(
        self,
        parameters: Mapping[str, Array],
        grads: Mapping[str, Array],
        x: Array,
        y: Array,
        work: Workspace,
        *,
        input_needed: bool,
    ) -> Backward:
        def backward(dy: Array, mode: Mode) -> Array:
            np.subtract(dy, np.vecdot(dy, y)[..., None], dy)
            return np.multiply(dy, y, dy)

        return backward


class Elementwise(Activation):
    """An activation that treats every number alike."""

    def bind_backward(
        self,
        parameters: Mapping[str, Array],
        grads: Mapping[str, Array],
        x: Array,
        y: Array,
        work: Workspace,
        *,
        input_needed: bool,
    ) -> Backward:
        derivative, slope = self.derivative, work.get("slope", y.shape, y.dtype)

        def backward(dy: Array, mode: Mode) -> Array:
            return np.multiply(dy, derivative(y, slope), dy)

        return backward

    def derivative(self, y: Array, out: Array) -> Array:
        """f'(x) as a function of y = f(x)."""
        raise NotImplementedError


@dataclass(frozen=True)
class ReLU(Elementwise):
    """y = max(x, 0). At the kink x = 0 the derivative is taken as 0."""

    gain = sqrt(2)

    def apply(self, x: Array, work: Workspace) -> Array:
        zeros = work.zeros(x.shape, x.dtype)  # with a number it takes three times as long
        return np.maximum(x, zeros, out=x)

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

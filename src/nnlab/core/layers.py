"""Layers: `forward` computes y from x, `backward` turns dL/dy into dL/dx and dL/dparameters.

Shapes: x `(..., m, inputs)`, y `(..., m, outputs)` for m examples; the leading axes are those of
theta. Results live in work arrays. An activation works in place on the dense layer's output, so
the input of a network is never overwritten.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from nnlab.core.arrays import Array, Workspace


class Layer(Protocol):
    """A differentiable function of its input and of its slots in theta."""

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Names and shapes of the layer's parameters."""

    def forward(self, parameters: Mapping[str, Array], x: Array, work: Workspace) -> Array:
        """y, given x."""

    def backward(
        self,
        parameters: Mapping[str, Array],
        grads: Mapping[str, Array],
        x: Array,
        y: Array,
        dy: Array,
        work: Workspace,
        *,
        input_needed: bool,
    ) -> Array:
        """dL/dx, given x, y = forward(x) and dy = dL/dy; dL/dparameters is written to `grads`.

        Where the gradient of the input is not needed, what is returned is undefined.
        """


@dataclass(frozen=True)
class Dense:
    """y = x W + b, with W `(inputs, outputs)` and b `(outputs,)`."""

    name: str
    inputs: int
    outputs: int

    @cached_property
    def weight(self) -> str:
        """The weight's name in theta."""
        return f"{self.name}.weight"

    @cached_property
    def bias(self) -> str:
        """The bias's name in theta."""
        return f"{self.name}.bias"

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {self.weight: (self.inputs, self.outputs), self.bias: (self.outputs,)}

    def forward(self, parameters: Mapping[str, Array], x: Array, work: Workspace) -> Array:
        w = parameters[self.weight]
        y = work.get((self.name, "y"), (*w.shape[:-2], x.shape[-2], self.outputs), x.dtype)
        np.matmul(x, w, out=y)
        y += parameters[self.bias][..., None, :]
        return y

    def backward(
        self,
        parameters: Mapping[str, Array],
        grads: Mapping[str, Array],
        x: Array,
        y: Array,
        dy: Array,
        work: Workspace,
        *,
        input_needed: bool,
    ) -> Array:
        np.matmul(x.swapaxes(-1, -2), dy, out=grads[self.weight])
        np.add.reduce(dy, axis=-2, out=grads[self.bias])
        if not input_needed:
            return dy
        dx = work.get((self.name, "dx"), (*dy.shape[:-1], self.inputs), dy.dtype)
        return np.matmul(dy, parameters[self.weight].swapaxes(-1, -2), out=dx)


class Activation:
    """An elementwise function, whose derivative is a function of its own output y."""

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {}

    def forward(self, parameters: Mapping[str, Array], x: Array, work: Workspace) -> Array:
        return self.apply(x)

    def backward(
        self,
        parameters: Mapping[str, Array],
        grads: Mapping[str, Array],
        x: Array,
        y: Array,
        dy: Array,
        work: Workspace,
        *,
        input_needed: bool,
    ) -> Array:
        slope = work.get("slope", y.shape, y.dtype)
        dy *= self.derivative(y, slope)
        return dy

    def apply(self, x: Array) -> Array:
        """f(x), written over x."""
        raise NotImplementedError

    def derivative(self, y: Array, out: Array) -> Array:
        """f'(x) as a function of y = f(x)."""
        raise NotImplementedError


@dataclass(frozen=True)
class ReLU(Activation):
    """y = max(x, 0). At the kink x = 0 the derivative is taken as 0."""

    def apply(self, x: Array) -> Array:
        return np.maximum(x, 0, out=x)

    def derivative(self, y: Array, out: Array) -> Array:
        return np.greater(y, 0, out=out, casting="unsafe")


@dataclass(frozen=True)
class Tanh(Activation):
    """y = tanh(x), y' = 1 - y^2."""

    def apply(self, x: Array) -> Array:
        return np.tanh(x, out=x)

    def derivative(self, y: Array, out: Array) -> Array:
        np.multiply(y, y, out=out)
        return np.subtract(1, out, out=out)


@dataclass(frozen=True)
class Sigmoid(Activation):
    """y = 1 / (1 + exp(-x)), y' = y (1 - y). Computed as (1 + tanh(x/2)) / 2: no overflow."""

    def apply(self, x: Array) -> Array:
        x *= 0.5
        np.tanh(x, out=x)
        x += 1
        x *= 0.5
        return x

    def derivative(self, y: Array, out: Array) -> Array:
        np.subtract(1, y, out=out)
        return np.multiply(out, y, out=out)


ACTIVATIONS: Mapping[str, type[Activation]] = {"relu": ReLU, "tanh": Tanh, "sigmoid": Sigmoid}

"""Layers: `forward` computes y from x, `backward` turns dL/dy into dL/dx and dL/dparameters.

Shapes: x `(..., m, inputs)`, y `(..., m, outputs)` for m examples; the leading axes are those of
theta. Results live in work arrays; those that bear the layer's name hold from `forward` to
`backward`. An activation works in place on the output of the layer before it, so the input of a
network is never overwritten.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from nnlab.core.arrays import Array, Workspace


class Mode(NamedTuple):
    """How a network is run: as it is evaluated, or as it is trained."""

    training: bool = False
    rng: np.random.Generator | None = None
    """What dropout draws from, in training."""
    buffers: Mapping[str, Array] = {}
    """Running statistics by name. In training without any, none are kept."""


EVALUATION = Mode()


class Layer(Protocol):
    """A differentiable function of its input and of its slots in theta."""

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Names and shapes of the layer's parameters."""

    def forward(
        self, parameters: Mapping[str, Array], x: Array, work: Workspace, mode: Mode
    ) -> Array:
        """y, given x."""

    def backward(
        self,
        parameters: Mapping[str, Array],
        grads: Mapping[str, Array],
        x: Array,
        y: Array,
        dy: Array,
        work: Workspace,
        mode: Mode,
        *,
        input_needed: bool,
    ) -> Array:
        """dL/dx, given x, y = forward(x) and dy = dL/dy; dL/dparameters is written to `grads`.

        Where the gradient of the input is not needed, what is returned is undefined. `mode` is
        the one of `forward`.
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

    def forward(
        self, parameters: Mapping[str, Array], x: Array, work: Workspace, mode: Mode = EVALUATION
    ) -> Array:
        w = parameters[self.weight]
        leading = w.shape[:-2] or x.shape[:-2]
        y = work.get((self.name, "y"), (*leading, x.shape[-2], self.outputs), x.dtype)
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
        mode: Mode = EVALUATION,
        *,
        input_needed: bool,
    ) -> Array:
        np.matmul(x.swapaxes(-1, -2), dy, out=grads[self.weight])
        np.add.reduce(dy, axis=-2, out=grads[self.bias])
        if not input_needed:
            return dy
        dx = work.get((self.name, "dx"), (*dy.shape[:-1], self.inputs), dy.dtype)
        return np.matmul(dy, parameters[self.weight].swapaxes(-1, -2), out=dx)

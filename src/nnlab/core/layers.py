"""Layers: the forward pass computes y from x, the backward pass turns dL/dy into dL/dx and
dL/dparameters.

Shapes: x `(..., m, inputs)`, y `(..., m, outputs)` for m examples; the leading axes are those of
theta. Results live in work arrays; those that bear the layer's name hold from the forward pass
to the backward pass. An activation works in place on the output of the layer before it, so the
input of a network is never overwritten.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np

from nnlab.core.arrays import Array, Workspace

_SHORT = 64
"""Biases up to that many are added to several rows at once where there are many rows, of examples
that are evaluated or of several models: NumPy adds row by row, and many short ones slowly."""
_ROWS = 8
"""So many rows."""


class Mode(NamedTuple):
    """How a network is run: as it is evaluated, or as it is trained."""

    training: bool = False
    rng: np.random.Generator | None = None
    """What dropout draws from, in training."""
    buffers: Mapping[str, Array] = {}
    """Running statistics by name. In training without any, none are kept."""


EVALUATION = Mode()


Forward: TypeAlias = Callable[[Mode], None]
"""Writes y, given what x now holds."""

Backward: TypeAlias = Callable[[Array, Mode], Array]
"""dL/dx, given dy = dL/dy; dL/dparameters is written. The mode is that of the forward pass before
it. Where the gradient of the input is not needed, what is returned is undefined."""


class Layer:
    """A differentiable function of its input and of its slots in theta.

    What a step does is bound to its arrays once and called ever after: choosing arrays and making
    views of them takes as long as the arithmetic of a small network.
    """

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Names and shapes of the layer's parameters."""
        return {}

    def bind_forward(
        self, parameters: Mapping[str, Array], x: Array, work: Workspace, training: bool
    ) -> tuple[Array, Forward]:
        """y, whose numbers are undefined yet, and what computes them."""
        raise NotImplementedError

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
        """What computes dL/dx and writes dL/dparameters to `grads`, for x and y of the forward
        pass."""
        raise NotImplementedError

    def forward(
        self, parameters: Mapping[str, Array], x: Array, work: Workspace, mode: Mode = EVALUATION
    ) -> Array:
        """y, given x: bound, and called once."""
        y, forward = self.bind_forward(parameters, x, work, mode.training)
        forward(mode)
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
        """dL/dx, given dy: bound, and called once."""
        how = (parameters, grads, x, y, work)
        return self.bind_backward(*how, input_needed=input_needed)(dy, mode)


@dataclass(frozen=True)
class Dense(Layer):
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

    def bind_forward(
        self, parameters: Mapping[str, Array], x: Array, work: Workspace, training: bool
    ) -> tuple[Array, Forward]:
        w, b = parameters[self.weight], parameters[self.bias][..., None, :]
        leading = w.shape[:-2] or x.shape[:-2]
        y = work.get((self.name, "y"), (*leading, x.shape[-2], self.outputs), x.dtype)

        def forward(mode: Mode) -> None:
            np.matmul(x, w, y)
            np.add(y, b, y)

        m, together = y.shape[-2], _ROWS * self.outputs
        few = m % _ROWS if leading else training or m < _ROWS
        if few or self.outputs > _SHORT:
            return y, forward
        several = work.get((self.name, "biases"), (*leading, _ROWS, self.outputs), x.dtype)
        biases = several.reshape(*leading, 1, together)
        whole = m // _ROWS * _ROWS
        most = y[..., :whole, :].reshape(*leading, -1, together)
        rest = y[..., whole:, :]

        def forward_many(mode: Mode) -> None:
            np.matmul(x, w, y)
            np.copyto(several, b)
            np.add(most, biases, most)
            if rest.size:
                np.add(rest, b, rest)

        return y, forward_many

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
        xt, wt = x.swapaxes(-1, -2), parameters[self.weight].swapaxes(-1, -2)
        dw, db = grads[self.weight], grads[self.bias]
        ones = work.ones(y.shape[-2:-1], y.dtype)
        dx = work.get((self.name, "dx"), (*y.shape[:-1], self.inputs), y.dtype)

        def backward(dy: Array, mode: Mode) -> Array:
            np.matmul(xt, dy, dw)
            np.vecmat(ones, dy, db)  # half of the time that a sum takes
            return np.matmul(dy, wt, dx) if input_needed else dy

        return backward

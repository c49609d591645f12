"""Models: what the config says of a network (`Linear`, `MLP`), and the network itself."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike

from nnlab.core.arrays import Array, Workspace
from nnlab.core.initialisers import INITIALISERS, deviation
from nnlab.core.laws import law, one_of
from nnlab.core.layers import ACTIVATIONS, Activation, Dense, Layer
from nnlab.core.layout import Layout


@dataclass(frozen=True)
class Network:
    """A chain of layers whose parameters are one vector theta `(..., P)`."""

    layers: tuple[Layer, ...]
    initialiser: str

    def __post_init__(self) -> None:
        for layer, following in pairwise(self.layers):
            twice = isinstance(layer, Activation) and isinstance(following, Activation)
            law("an activation follows a dense layer", not twice, layers=self.layers)

    @cached_property
    def layout(self) -> Layout:
        """Which slice of theta is which layer's weight or bias."""
        return Layout.of(
            {name: shape for layer in self.layers for name, shape in layer.shapes().items()}
        )

    def initial(self, rng: np.random.Generator, dtype: DTypeLike) -> Array:
        """theta `(P,)`: weights drawn as the initialiser says, biases zero."""
        theta = np.zeros(self.layout.size)
        for name, array in self.layout.views(theta).items():
            if name.endswith("weight"):
                array[...] = rng.normal(size=array.shape)
                array *= deviation(self.initialiser, *array.shape)
        return theta.astype(dtype)

    def forward(self, theta: Array, x: Array, work: Workspace) -> list[Array]:
        """The trace [x, y1, y2, ..., z] of every layer's output; z `(..., m, outputs)` is last."""
        parameters = self.layout.views(theta)
        trace = [x]
        for layer in self.layers:
            trace.append(layer.forward(parameters, trace[-1], work))
        return trace

    def backward(
        self, theta: Array, trace: list[Array], dz: Array, grad: Array, work: Workspace
    ) -> None:
        """Write dL/dtheta to `grad`, given the trace of `forward` and dz = dL/dz."""
        parameters, grads = self.layout.views(theta), self.layout.views(grad)
        for k in reversed(range(len(self.layers))):
            dz = self.layers[k].backward(
                parameters, grads, trace[k], trace[k + 1], dz, work, input_needed=k > 0
            )


class Model(Protocol):
    """A description from which a network is built once the data's sizes are known."""

    def build(self, inputs: int, outputs: int) -> Network:
        """The network from `inputs` features to `outputs` scores."""


@dataclass(frozen=True)
class Linear:
    """z = x W + b: linear, logistic or softmax regression, or a linear classifier, by its loss."""

    initialiser: str = "normal"

    def __post_init__(self) -> None:
        one_of(INITIALISERS, initialiser=self.initialiser)

    def build(self, inputs: int, outputs: int) -> Network:
        return Network((Dense("output", inputs, outputs),), self.initialiser)


@dataclass(frozen=True)
class MLP:
    """A multilayer perceptron: dense layers of the `hidden` widths, an activation after each,
    and a dense output layer."""

    hidden: tuple[int, ...] = (64,)
    activation: str = "relu"
    initialiser: str = "he"

    def __post_init__(self) -> None:
        law(
            "every width in hidden >= 1",
            all(width >= 1 for width in self.hidden),
            hidden=list(self.hidden),
        )
        one_of(ACTIVATIONS, activation=self.activation)
        one_of(INITIALISERS, initialiser=self.initialiser)

    def build(self, inputs: int, outputs: int) -> Network:
        layers: list[Layer] = []
        for k, width in enumerate(self.hidden, start=1):
            layers += [Dense(f"hidden{k}", inputs, width), ACTIVATIONS[self.activation]()]
            inputs = width
        return Network((*layers, Dense("output", inputs, outputs)), self.initialiser)

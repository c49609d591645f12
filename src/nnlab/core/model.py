"""Models: what the config says of a network (`Linear`, `MLP`), and the network itself."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike

from nnlab.core.activations import ACTIVATIONS, Activation
from nnlab.core.arrays import Array, Workspace
from nnlab.core.dropout import Dropout
from nnlab.core.initialisers import Initialiser
from nnlab.core.laws import law, one_of
from nnlab.core.layers import EVALUATION, Backward, Dense, Forward, Layer, Mode
from nnlab.core.layout import Layout
from nnlab.core.normalisation import BatchNorm

IDENTITY = "identity"
DEEPEST = 10_000
"""Hidden layers: more are a slip of the pen, and no forward pass through them ends soon."""
_PLAIN_TRAINING = Mode(training=True)
OUTPUTS = (IDENTITY, *ACTIVATIONS)
"""What may follow a network's last dense layer."""


@dataclass(frozen=True)
class Network:
    """A chain of layers whose parameters are one vector theta `(..., P)`, and whose running
    statistics are another, `(..., B)`, that no gradient moves."""

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        ours = False
        for layer in self.layers:
            if isinstance(layer, Activation):
                law("an activation follows a dense or normalising layer", ours, layers=self.layers)
                ours = False
            elif not isinstance(layer, Dropout):
                ours = True

    @cached_property
    def layout(self) -> Layout:
        """Which slice of theta is which layer's weight or bias."""
        return Layout.of(
            {name: shape for layer in self.layers for name, shape in layer.shapes().items()}
        )

    @cached_property
    def buffers(self) -> Layout:
        """Which slice of the buffers is which running statistic."""
        return Layout.of(
            {
                name: shape
                for layer in self.layers
                if isinstance(layer, BatchNorm)
                for name, shape in layer.buffers().items()
            }
        )

    @cached_property
    def stochastic(self) -> bool:
        """Is anything drawn in training?"""
        return any(isinstance(layer, Dropout) for layer in self.layers)

    def initial(
        self, initialiser: Initialiser, rng: np.random.Generator, dtype: DTypeLike
    ) -> Array:
        """theta `(P,)`: weights drawn as the initialiser says, scales 1, the rest 0."""
        theta = np.zeros(self.layout.size)
        arrays = self.layout.views(theta)
        for k, layer in enumerate(self.layers):
            if isinstance(layer, Dense):
                weight = arrays[layer.weight]
                weight[...] = rng.normal(size=weight.shape)
                weight *= initialiser.deviation(layer.inputs, layer.outputs, self._gain_after(k))
            elif isinstance(layer, BatchNorm):
                arrays[f"{layer.name}.scale"][...] = 1
        return theta.astype(dtype)

    def initial_buffers(self, dtype: DTypeLike) -> Array:
        """Running statistics `(B,)` before the first batch: mean 0, variance 1."""
        buffers = np.zeros(self.buffers.size, dtype)
        for name, array in self.buffers.views(buffers).items():
            array[...] = name.endswith("variance")
        return buffers

    def mode(self, buffers: Array | None) -> Mode:
        """How it is evaluated with these running statistics."""
        if not self.buffers.slots or buffers is None:
            return EVALUATION
        return Mode(buffers=self.buffers.views(buffers))

    def training_mode(self, seed: tuple[int, ...] | None, buffers: Array | None) -> Mode:
        """How it is trained, drawing from `seed` and keeping statistics in `buffers`."""
        if not self.stochastic and (buffers is None or not self.buffers.slots):
            return _PLAIN_TRAINING
        kept = self.buffers.views(buffers) if self.buffers.slots and buffers is not None else {}
        return Mode(True, np.random.default_rng(seed) if self.stochastic else None, kept)

    def forward(
        self, theta: Array, x: Array, work: Workspace, mode: Mode = EVALUATION
    ) -> list[Array]:
        """The trace [x, y1, y2, ..., z] of every layer's output; z `(..., m, outputs)` is last."""
        name = ("forward", x.shape)
        trace, passes = work.bound(name, self.bind_forward, theta, x, mode.training)
        for forward in passes:
            forward(mode)
        return trace

    def bind_forward(
        self, theta: Array, x: Array, training: bool, work: Workspace
    ) -> tuple[list[Array], list[Forward]]:
        """The trace of `forward`, and the layers' passes that fill it from what theta and x hold
        when they are called."""
        parameters, trace, passes = self.layout.views(theta), [x], []
        for layer in self.layers:
            y, forward = layer.bind_forward(parameters, trace[-1], work, training)
            trace.append(y)
            passes.append(forward)
        return trace, passes

    def backward(
        self,
        theta: Array,
        trace: list[Array],
        dz: Array,
        grad: Array,
        work: Workspace,
        mode: Mode = EVALUATION,
    ) -> None:
        """Write dL/dtheta to `grad`, given the trace of `forward` and dz = dL/dz."""
        name = ("backward", trace[0].shape)
        for backward in work.bound(name, _bind_backward, self, theta, trace, grad):
            dz = backward(dz, mode)

    def _gain_after(self, k: int) -> float:
        """The gain of the activation that layer k's output goes into; 1 where there is none."""
        for layer in self.layers[k + 1 :]:
            if isinstance(layer, Activation):
                return layer.gain
            if isinstance(layer, Dense):
                break
        return 1.0


def _bind_backward(
    network: Network, theta: Array, trace: list[Array], grad: Array, work: Workspace
) -> list[Backward]:
    """The layers' passes back, the last layer's first."""
    parameters, grads = network.layout.views(theta), network.layout.views(grad)
    passes = []
    for k, layer in reversed(list(enumerate(network.layers))):
        x, y = trace[k : k + 2]
        passes.append(layer.bind_backward(parameters, grads, x, y, work, input_needed=k > 0))
    return passes


class Model(Protocol):
    """A description from which a network is built once the data's sizes are known."""

    @property
    def output(self) -> str:
        """What follows the last dense layer; `identity` where its outputs are the scores."""

    def build(self, inputs: int, outputs: int) -> Network:
        """The network from `inputs` features to `outputs` scores."""


@dataclass(frozen=True)
class Linear:
    """z = x W + b: linear, logistic or softmax regression, or a linear classifier, by its loss."""

    output: str = IDENTITY

    def __post_init__(self) -> None:
        one_of(OUTPUTS, output=self.output)

    def build(self, inputs: int, outputs: int) -> Network:
        return MLP((), output=self.output).build(inputs, outputs)


@dataclass(frozen=True)
class MLP:
    """A multilayer perceptron: dense layers of the `hidden` widths, each followed by batch
    normalisation (if wanted), an activation and dropout; then a dense output layer."""

    hidden: tuple[int, ...] = (64,)
    activation: str = "relu"
    batch_norm: bool = False
    dropout: float = 0.0
    output: str = IDENTITY

    def __post_init__(self) -> None:
        many = f"{len(self.hidden):,} layers"
        law(f"at most {DEEPEST} layers in hidden", len(self.hidden) <= DEEPEST, hidden=many)
        law(
            "every width in hidden >= 1",
            all(width >= 1 for width in self.hidden),
            hidden=list(self.hidden),
        )
        one_of(ACTIVATIONS, activation=self.activation)
        law("0 <= dropout < 1", 0 <= self.dropout < 1, dropout=self.dropout)
        needs = "a hidden layer, or neither batch_norm nor dropout"
        law(needs, self.hidden or not (self.batch_norm or self.dropout), hidden=list(self.hidden))
        one_of(OUTPUTS, output=self.output)

    def build(self, inputs: int, outputs: int) -> Network:
        layers: list[Layer] = []
        for k, width in enumerate(self.hidden, start=1):
            layers.append(Dense(f"hidden{k}", inputs, width))
            if self.batch_norm:
                layers.append(BatchNorm(f"norm{k}", width))
            layers.append(ACTIVATIONS[self.activation]())
            if self.dropout:
                layers.append(Dropout(f"dropout{k}", self.dropout))
            inputs = width
        layers.append(Dense("output", inputs, outputs))
        if self.output != IDENTITY:
            layers.append(ACTIVATIONS[self.output]())
        return Network(tuple(layers))

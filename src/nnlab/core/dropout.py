"""Dropout: a layer that draws at random in training."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nnlab.core.arrays import Array, Workspace
from nnlab.core.laws import law
from nnlab.core.layers import Backward, Forward, Layer, Mode


@dataclass(frozen=True)
class Dropout(Layer):
    """In training y = x * mask / (1 - rate), where the mask is 0 with probability `rate`, else 1;
    in evaluation y = x.

    Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting",
    in its inverted form: evaluation needs no scaling. Models in a stack share the mask.
    """

    name: str
    rate: float = 0.5

    def __post_init__(self) -> None:
        law("0 <= rate < 1", 0 <= self.rate < 1, rate=self.rate)

    def bind_forward(
        self, parameters: Mapping[str, Array], x: Array, work: Workspace, training: bool
    ) -> tuple[Array, Forward]:
        if not training:
            return x, lambda mode: None
        mask = self._mask(x, work)
        draws = work.get((self.name, "draws"), mask.shape, np.float32)
        y = work.get((self.name, "y"), x.shape, x.dtype)

        def forward(mode: Mode) -> None:
            assert mode.rng is not None, "dropout draws from the rng that training passes"
            mode.rng.random(dtype=np.float32, out=draws)
            np.greater_equal(draws, self.rate, out=mask)
            np.divide(mask, 1 - self.rate, mask)
            np.multiply(x, mask, y)

        return y, forward

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
        mask = self._mask(x, work)

        def backward(dy: Array, mode: Mode) -> Array:
            return np.multiply(dy, mask, dy) if mode.training else dy

        return backward

    def _mask(self, x: Array, work: Workspace) -> Array:
        return work.get((self.name, "mask"), x.shape[-2:], x.dtype)

"""Clipping: keeping a gradient from being too long, before the optimizer sees it."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nnlab.core.arrays import Array, Hyper, as_coefficient
from nnlab.core.laws import law


class Clipping(Protocol):
    """A rule that shortens gradients."""

    def clip(self, grad: Array) -> None:
        """Shorten grad `(..., P)` in place."""


@dataclass(frozen=True)
class NoClipping:
    """The gradient as it is."""

    def clip(self, grad: Array) -> None:
        pass


@dataclass(frozen=True)
class ClipNorm:
    """g *= min(1, norm / |g|), with the Euclidean norm |g| of the whole gradient: its direction
    stays.

    Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks",
    section 3.2. (PyTorch's `clip_grad_norm_` adds 1e-6 to |g|.)
    """

    norm: Hyper = 1.0

    def __post_init__(self) -> None:
        law("0 < norm < inf", np.greater(self.norm, 0) & np.less(self.norm, np.inf), norm=self.norm)

    def clip(self, grad: Array) -> None:
        # model by model: each has the bits it has alone, and no float64 copy is made of all of it
        models = grad.reshape(-1, grad.shape[-1])
        squares = [np.einsum("p,p->", g, g, dtype=np.float64) for g in models]
        length = np.sqrt(squares).reshape(*grad.shape[:-1], 1)
        # where |g| <= norm the factor is exactly 1; NaN stays NaN
        factor = np.divide(self.norm, np.maximum(length, self.norm))
        grad *= as_coefficient(factor, grad)


@dataclass(frozen=True)
class ClipValue:
    """Every component is clipped to [-value, value]: the direction may change."""

    value: Hyper = 1.0

    def __post_init__(self) -> None:
        law("value > 0", np.greater(self.value, 0), value=self.value)

    def clip(self, grad: Array) -> None:
        bound = as_coefficient(self.value, grad)
        np.clip(grad, -bound, bound, out=grad)

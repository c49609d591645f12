"""Penalties on the size of the weights, added to the loss. Biases are never penalised.

A penalty is a sum over the weights, one by one. Shapes: theta `(..., P)`; the value has theta's
leading axes; lambda may be `(K, 1)`.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nnlab.core.arrays import Array, Hyper, Workspace, as_coefficient, per_model
from nnlab.core.laws import law
from nnlab.core.layout import Layout


class Penalty(Protocol):
    """A function of the weights."""

    def add(self, theta: Array, layout: Layout, grad: Array | None, work: Workspace) -> Hyper:
        """Add the penalty's gradient to `grad`, if there is one; return its value."""


@dataclass(frozen=True)
class NoPenalty:
    """0."""

    def add(self, theta: Array, layout: Layout, grad: Array | None, work: Workspace) -> Hyper:
        return 0.0


@dataclass(frozen=True)
class L2:
    """l2 * sum(w^2), gradient 2 l2 w. (PyTorch's `weight_decay` is twice this l2.)"""

    l2: Hyper = 1e-4

    def __post_init__(self) -> None:
        law("l2 >= 0", np.greater_equal(self.l2, 0), l2=self.l2)

    def add(self, theta: Array, layout: Layout, grad: Array | None, work: Workspace) -> Hyper:
        squares: Hyper = 0.0
        slope = as_coefficient(2 * self.l2, theta)
        for weights in layout.weights:
            w = theta[..., weights]
            squares = squares + np.vecdot(w, w)
            if grad is not None:
                dw = grad[..., weights]
                dw += np.multiply(w, slope, out=work.get("penalty", w.shape, w.dtype))
        return per_model(as_coefficient(self.l2, theta)) * squares


@dataclass(frozen=True)
class L1:
    """l1 * sum(|w|), gradient l1 sign(w) (0 at the kink w = 0)."""

    l1: Hyper = 1e-4

    def __post_init__(self) -> None:
        law("l1 >= 0", np.greater_equal(self.l1, 0), l1=self.l1)

    def add(self, theta: Array, layout: Layout, grad: Array | None, work: Workspace) -> Hyper:
        absolutes: Hyper = 0.0
        slope = as_coefficient(self.l1, theta)
        for weights in layout.weights:
            w = theta[..., weights]
            scratch = work.get("penalty", w.shape, w.dtype)
            absolutes = absolutes + np.abs(w, out=scratch).sum(axis=-1)
            if grad is not None:
                dw = grad[..., weights]
                np.sign(w, out=scratch)
                scratch *= slope
                dw += scratch
        return per_model(as_coefficient(self.l1, theta)) * absolutes


@dataclass(frozen=True)
class Elastic:
    """l1 * sum(|w|) + l2 * sum(w^2), the elastic net.

    Zou & Hastie 2005, "Regularization and variable selection via the elastic net".
    """

    l1: Hyper = 1e-4
    l2: Hyper = 1e-4

    def __post_init__(self) -> None:
        law("l1 >= 0", np.greater_equal(self.l1, 0), l1=self.l1)
        law("l2 >= 0", np.greater_equal(self.l2, 0), l2=self.l2)

    def add(self, theta: Array, layout: Layout, grad: Array | None, work: Workspace) -> Hyper:
        return L1(self.l1).add(theta, layout, grad, work) + L2(self.l2).add(
            theta, layout, grad, work
        )

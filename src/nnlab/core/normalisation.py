"""Batch normalisation: a layer that keeps running statistics."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nnlab.core.arrays import Array, Workspace
from nnlab.core.layers import EVALUATION, Mode


@dataclass(frozen=True)
class BatchNorm:
    """y = scale * (x - mean) / sqrt(variance + epsilon) + shift, unit by unit.

    In training mean and variance are the batch's, and the gradient goes through them. The
    running ones follow, r = (1 - momentum) r + momentum * batch's, and serve in evaluation; they
    are buffers, no part of theta. The running variance is the unbiased one, sum / (m - 1); a
    batch of one example leaves it alone.

    Ioffe & Szegedy 2015, "Batch normalization", algorithms 1 and 2; epsilon inside the root and
    momentum as in PyTorch's `BatchNorm1d` (other frameworks call 1 - momentum the momentum).
    """

    name: str
    units: int
    momentum: float = 0.1
    epsilon: float = 1e-5

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {f"{self.name}.scale": (self.units,), f"{self.name}.shift": (self.units,)}

    def buffers(self) -> Mapping[str, tuple[int, ...]]:
        """Names and shapes of the running statistics."""
        return {f"{self.name}.mean": (self.units,), f"{self.name}.variance": (self.units,)}

    def forward(
        self, parameters: Mapping[str, Array], x: Array, work: Workspace, mode: Mode = EVALUATION
    ) -> Array:
        xhat = work.get((self.name, "xhat"), x.shape, x.dtype)
        if mode.training:
            mean = x.mean(axis=-2)
            np.subtract(x, mean[..., None, :], out=xhat)
            squares = work.get((self.name, "product"), x.shape, x.dtype)
            variance = np.multiply(xhat, xhat, out=squares).mean(axis=-2)
            if mode.buffers:
                self._follow(mode.buffers, mean, variance, x.shape[-2])
        else:
            mean, variance = (mode.buffers[name] for name in self.buffers())
            np.subtract(x, mean[..., None, :], out=xhat)
        scale = work.get((self.name, "scale"), variance.shape, x.dtype)
        np.sqrt(variance + self.epsilon, out=scale)
        np.divide(1, scale, out=scale)
        xhat *= scale[..., None, :]
        gain = parameters[f"{self.name}.scale"][..., None, :]
        leading = np.broadcast_shapes(gain.shape, x.shape)
        y = np.multiply(xhat, gain, out=work.get((self.name, "y"), leading, x.dtype))
        y += parameters[f"{self.name}.shift"][..., None, :]
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
        xhat = work.get((self.name, "xhat"), x.shape, x.dtype)
        scale = work.get((self.name, "scale"), (*x.shape[:-2], self.units), x.dtype)
        product = np.multiply(dy, xhat, out=work.get((self.name, "product"), dy.shape, x.dtype))
        np.add.reduce(product, axis=-2, out=grads[f"{self.name}.scale"])
        np.add.reduce(dy, axis=-2, out=grads[f"{self.name}.shift"])
        if mode.training:  # what moves with the batch's mean and variance
            m = x.shape[-2]
            np.multiply(xhat, grads[f"{self.name}.scale"][..., None, :] / m, out=product)
            product += grads[f"{self.name}.shift"][..., None, :] / m
            dy -= product
        dy *= (parameters[f"{self.name}.scale"] * scale)[..., None, :]
        return dy

    def _follow(self, buffers: Mapping[str, Array], mean: Array, variance: Array, m: int) -> None:
        running_mean, running_variance = (buffers[name] for name in self.buffers())
        running_mean *= 1 - self.momentum
        running_mean += self.momentum * mean
        if m > 1:
            running_variance *= 1 - self.momentum
            running_variance += self.momentum * m / (m - 1) * variance

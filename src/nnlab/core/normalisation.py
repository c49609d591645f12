"""Batch normalisation: a layer that keeps running statistics."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nnlab.core.arrays import Array, Workspace
from nnlab.core.layers import Backward, Forward, Layer, Mode


@dataclass(frozen=True)
class BatchNorm(Layer):
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

    def bind_forward(
        self, parameters: Mapping[str, Array], x: Array, work: Workspace, training: bool
    ) -> tuple[Array, Forward]:
        xhat = work.get((self.name, "xhat"), x.shape, x.dtype)
        gain, shift = (parameters[name][..., None, :] for name in self.shapes())
        leading = np.broadcast_shapes(gain.shape, x.shape)
        y = work.get((self.name, "y"), leading, x.dtype)

        def forward(mode: Mode) -> None:
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
            np.multiply(xhat, scale[..., None, :], xhat)
            np.multiply(xhat, gain, y)
            np.add(y, shift, y)

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
        m, gain = x.shape[-2], parameters[f"{self.name}.scale"]
        xhat = work.get((self.name, "xhat"), x.shape, x.dtype)
        scale = work.get((self.name, "scale"), (*x.shape[:-2], self.units), x.dtype)
        product = work.get((self.name, "product"), y.shape, y.dtype)
        of_gain, of_shift = (grads[name] for name in self.shapes())

        def backward(dy: Array, mode: Mode) -> Array:
            np.multiply(dy, xhat, product)
            np.add.reduce(product, axis=-2, out=of_gain)
            np.add.reduce(dy, axis=-2, out=of_shift)
            if mode.training:  # what moves with the batch's mean and variance
                np.multiply(xhat, of_gain[..., None, :] / m, product)
                np.add(product, of_shift[..., None, :] / m, product)
                np.subtract(dy, product, dy)
            np.multiply(dy, (gain * scale)[..., None, :], dy)
            return dy

        return backward

    def _follow(self, buffers: Mapping[str, Array], mean: Array, variance: Array, m: int) -> None:
        running_mean, running_variance = (buffers[name] for name in self.buffers())
        running_mean *= 1 - self.momentum
        running_mean += self.momentum * mean
        if m > 1:
            running_variance *= 1 - self.momentum
            running_variance += self.momentum * m / (m - 1) * variance

"""Analytic surfaces: objectives of a small theta with known minima, to watch optimizers on."""

from dataclasses import dataclass

import numpy as np

from nnlab.core.arrays import Array, Workspace


@dataclass(frozen=True)
class Parabola:
    """sum_k curvature_k * theta_k^2 / 2, minimum 0 at the origin."""

    curvature: tuple[float, ...] = (1.0, 10.0)

    def __call__(self, theta: Array, batch: None, grad: Array, work: Workspace) -> Array:
        np.multiply(theta, np.asarray(self.curvature, theta.dtype), out=grad)
        return np.asarray(np.vecdot(theta, grad) / 2)


@dataclass(frozen=True)
class Rosenbrock:
    """(1 - a)^2 + 100 (b - a^2)^2, a curved valley with its minimum 0 at (1, 1).

    Rosenbrock 1960, "An automatic method for finding the greatest or least value of a function".
    """

    def __call__(self, theta: Array, batch: None, grad: Array, work: Workspace) -> Array:
        a, b = theta[..., 0], theta[..., 1]
        valley = b - a * a
        grad[..., 0] = -2 * (1 - a) - 400 * a * valley
        grad[..., 1] = 200 * valley
        return np.asarray((1 - a) ** 2 + 100 * valley**2)

"""Analytic surfaces: objectives of a small theta with known minima, to watch optimizers on."""

from dataclasses import dataclass

import numpy as np

from nnlab.core.arrays import Array, Workspace


@dataclass(frozen=True)
class Parabola:
    """sum_k curvature_k * theta_k^2 / 2, minimum 0 at the origin."""

    curvature: tuple[float, ...] = (1.0, 10.0)

    def __call__(self, theta: Array, batch: None, grad: Array | None, work: Workspace) -> Array:
        slope = np.multiply(theta, np.asarray(self.curvature, theta.dtype), out=grad)
        return np.asarray(np.vecdot(theta, slope) / 2)


@dataclass(frozen=True)
class Rosenbrock:
    """(1 - a)^2 + 100 (b - a^2)^2, a curved valley with its minimum 0 at (1, 1).

    Rosenbrock 1960, "An automatic method for finding the greatest or least value of a function".
    """

    def __call__(self, theta: Array, batch: None, grad: Array | None, work: Workspace) -> Array:
        a, b = theta[..., 0], theta[..., 1]
        valley = b - a * a
        if grad is not None:
            grad[..., 0] = -2 * (1 - a) - 400 * a * valley
            grad[..., 1] = 200 * valley
        return np.asarray((1 - a) ** 2 + 100 * valley**2)


@dataclass(frozen=True)
class Beale:
    """(1.5 - a + a b)^2 + (2.25 - a + a b^2)^2 + (2.625 - a + a b^3)^2, flat far from its
    minimum 0 at (3, 0.5).

    Beale 1958, "On an iterative method for finding a local minimum of a function of more than
    one variable".
    """

    def __call__(self, theta: Array, batch: None, grad: Array | None, work: Workspace) -> Array:
        a, b = theta[..., 0], theta[..., 1]
        value = np.zeros(theta.shape[:-1], theta.dtype)
        if grad is not None:
            grad[...] = 0
        for power, target in ((1, 1.5), (2, 2.25), (3, 2.625)):
            miss = target - a + a * b**power
            value = value + miss**2
            if grad is not None:
                grad[..., 0] += 2 * miss * (b**power - 1)
                grad[..., 1] += 2 * miss * a * power * b ** (power - 1)
        return np.asarray(value)

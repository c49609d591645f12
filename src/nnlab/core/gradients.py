"""Numerical gradients, to check the analytic ones against."""

from collections.abc import Callable

import numpy as np

from nnlab.core.arrays import Array

_AT_ONCE = 256  # perturbed copies of theta evaluated in one call


def central_differences(value: Callable[[Array], Array], theta: Array, step: float = 1e-6) -> Array:
    """dvalue/dtheta_k = (value(theta + step e_k) - value(theta - step e_k)) / (2 step), for all k.

    `value` maps theta `(K, P)` to K values; theta is `(P,)` and should be float64. The error is
    O(step^2) from the series and O(eps / step) from rounding.
    """
    grad = np.empty_like(theta)
    for start in range(0, theta.size, _AT_ONCE):
        stop = min(start + _AT_ONCE, theta.size)
        offsets = np.zeros((stop - start, theta.size), theta.dtype)
        offsets[np.arange(stop - start), np.arange(start, stop)] = step
        grad[start:stop] = (value(theta + offsets) - value(theta - offsets)) / (2 * step)
    return grad


def relative_error(a: Array, b: Array) -> float:
    """max|a - b| / max(max|a|, max|b|), 0 for two zero arrays."""
    scale = max(float(np.abs(a).max(initial=0)), float(np.abs(b).max(initial=0)))
    return float(np.abs(a - b).max(initial=0)) / scale if scale else 0.0

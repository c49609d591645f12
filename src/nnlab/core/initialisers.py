"""Initial weights: the standard deviation of a normal distribution, by the layer's fans.

Biases start at zero.
"""

from collections.abc import Callable, Mapping
from math import sqrt

from nnlab.core.laws import one_of

INITIALISERS: Mapping[str, Callable[[int, int], float]] = {
    # He et al. 2015, "Delving deep into rectifiers", eq. 10: keeps the variance through ReLUs
    "he": lambda fan_in, fan_out: sqrt(2 / fan_in),
    # Glorot & Bengio 2010, "Understanding the difficulty of training deep networks", eq. 12
    "xavier": lambda fan_in, fan_out: sqrt(2 / (fan_in + fan_out)),
    "normal": lambda fan_in, fan_out: 0.01,
    "zeros": lambda fan_in, fan_out: 0.0,
}


def deviation(initialiser: str, fan_in: int, fan_out: int) -> float:
    """The standard deviation of the initial weights between `fan_in` and `fan_out` units."""
    one_of(INITIALISERS, initialiser=initialiser)
    return INITIALISERS[initialiser](fan_in, fan_out)

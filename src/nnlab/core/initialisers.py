"""Initial weights: normal, with a deviation by the layer's fans and the gain of its activation.

The gain g makes up for what an activation does to the variance that passes through it. Biases
start at zero.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Protocol

from nnlab.core.laws import law


class Initialiser(Protocol):
    """A distribution of initial weights, by its standard deviation."""

    def deviation(self, fan_in: int, fan_out: int, gain: float) -> float:
        """The standard deviation of the weights from `fan_in` to `fan_out` units."""


@dataclass(frozen=True)
class He:
    """gain / sqrt(fan_in): keeps the variance on the way forward.

    He et al. 2015, "Delving deep into rectifiers", eq. 10: sqrt(2 / fan_in) before a ReLU.
    PyTorch's `kaiming_normal_`.
    """

    def deviation(self, fan_in: int, fan_out: int, gain: float) -> float:
        return gain / sqrt(fan_in)


@dataclass(frozen=True)
class Xavier:
    """gain * sqrt(2 / (fan_in + fan_out)): a compromise between the ways forward and back.

    Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward networks",
    eq. 12, which has no gain; it is PyTorch's, in `xavier_normal_`.
    """

    def deviation(self, fan_in: int, fan_out: int, gain: float) -> float:
        return gain * sqrt(2 / (fan_in + fan_out))


@dataclass(frozen=True)
class Normal:
    """std, whatever the fans and the activation."""

    std: float = 0.01

    def __post_init__(self) -> None:
        law("std > 0", self.std > 0, std=self.std)

    def deviation(self, fan_in: int, fan_out: int, gain: float) -> float:
        return self.std


@dataclass(frozen=True)
class Zeros:
    """0: right for a linear model; the units of a hidden layer would stay equal for ever."""

    def deviation(self, fan_in: int, fan_out: int, gain: float) -> float:
        return 0.0

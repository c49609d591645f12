"""Gradient-free optimizers: try a point at random, keep it if it is better."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array, Hyper, State, as_coefficient
from nnlab.core.laws import law
from nnlab.core.objective import Oracle


@dataclass(frozen=True)
class RandomSearch:
    """theta' = std * n with n standard normal, fresh at every step; theta = theta' if the
    objective of the batch is lower there.

    Gradient-free and memoryless: the baseline that any use of gradients should beat.
    """

    std: Hyper = 0.1

    full_batch: ClassVar[bool] = False
    gradient_free: ClassVar[bool] = True

    def __post_init__(self) -> None:
        law("std > 0", np.greater(self.std, 0), std=self.std)

    @property
    def lr(self) -> Hyper:
        """The deviation, which the schedule scales."""
        return self.std

    def init(self, theta: Array) -> State:
        return {}

    def step(self, theta: Array, state: State, oracle: Oracle, scale: Hyper) -> Array:
        tried = oracle.scratch("tried", theta)
        draws = oracle.work.get("draws", theta.shape[-1:], theta.dtype)
        oracle.rng().standard_normal(dtype=theta.dtype, out=draws)
        tried[...] = draws  # the same for all models
        tried *= as_coefficient(self.std * scale, theta)
        self.place(tried, theta)
        value, value_tried = np.array(oracle.value(theta)), oracle.value(tried)
        better = value_tried < value
        np.copyto(theta, tried, where=np.asarray(better)[..., None])
        return np.where(better, value_tried, value)

    def place(self, tried: Array, theta: Array) -> None:
        """Turn the random vector into the point that is tried."""


@dataclass(frozen=True)
class RandomLocalSearch(RandomSearch):
    """theta' = theta + std * n with n standard normal; theta = theta' if the objective of the
    batch is lower there: hill climbing without a gradient.

    Rastrigin 1963, "The convergence of the random search method in the extremal control of a
    many parameter system".
    """

    std: Hyper = 0.01

    def place(self, tried: Array, theta: Array) -> None:
        tried += theta

"""Mixup: examples between two of a batch, with targets between theirs."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import law
from nnlab.data.augmentation.window import AT_ONCE


@dataclass(frozen=True)
class Mixup:
    """x <- l x + (1 - l) x', and so the encoded targets, with l ~ Beta(alpha, alpha) drawn once for
    a batch and x' the batch in a random order.

    Zhang et al. 2018, "mixup: beyond empirical risk minimization", and its published code, which
    draws so; alpha = 0 is no mixing. Any inputs can be mixed.
    """

    alpha: float = 0.2

    name: ClassVar[str] = "mixup"
    mixes_targets: ClassVar[bool] = True

    def __post_init__(self) -> None:
        law("alpha >= 0", self.alpha >= 0, alpha=self.alpha)

    def check(self, shape: tuple[int, ...]) -> None:
        return

    def __call__(
        self, x: Array, y: Array, shape: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[Array, Array]:
        if not self.alpha:
            return x, y
        share = rng.beta(self.alpha, self.alpha)
        partners = rng.permutation(len(x))
        columns = max(1, AT_ONCE // len(x))
        for whole in (x, y):
            for start in range(0, whole.shape[1], columns):
                mixed = whole[:, start : start + columns]
                others = mixed[partners]
                others *= 1 - share
                mixed *= share
                mixed += others
        return x, y

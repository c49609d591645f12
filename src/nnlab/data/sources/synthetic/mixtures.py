"""Mixtures of normal distributions."""

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import numpy as np

from nnlab.core.laws import law
from nnlab.data.dataset import Dataset
from nnlab.data.sources.synthetic.synthetic import Synthetic

LARGEST = 1_000_000
"""Features, or means of a class: more are a slip of the pen, and would fill the memory."""
CLASSES = 10_000
"""More are a slip of the pen too: each is divided by itself, in a pass over all examples."""


@dataclass(frozen=True)
class Blobs(Synthetic):
    """Round clouds, one for each class: x ~ N(centre, noise^2 I), each centre uniform on
    [-spread, spread)^features. As scikit-learn's `make_blobs`.
    """

    noise: float = 1.0
    classes: int = 3
    features: int = 2
    spread: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        law(f"2 <= classes <= {CLASSES}", 2 <= self.classes <= CLASSES, classes=self.classes)
        law("classes <= examples", self.classes <= self.examples, classes=self.classes)
        law(f"1 <= features <= {LARGEST}", 1 <= self.features <= LARGEST, features=self.features)
        law("spread >= 0", self.spread >= 0, spread=self.spread)
        law("2 * spread is finite", isfinite(2 * self.spread), spread=self.spread)

    @property
    def dimensions(self) -> int:
        return self.features

    def make(self, rng: np.random.Generator) -> Dataset:
        centres = rng.uniform(-self.spread, self.spread, (self.classes, self.features))
        y = self.labels(self.classes)
        return self.labelled(centres[y], y, tuple(map(str, range(self.classes))), rng)


@dataclass(frozen=True)
class GaussianMixture(Synthetic):
    """Two classes, each a mixture of `means` normal distributions of equal weight:

        blue m_k ~ N((1, 0), I), orange m_k ~ N((0, 1), I), x ~ N(m_k, noise^2 I), k uniform.

    With ten means and noise^2 = 1/5 it is that of Hastie, Tibshirani & Friedman 2009, "The elements
    of statistical learning", section 2.3.3, which draws 100 examples of each class.
    """

    noise: float = 0.4472135954999579
    means: int = 10
    """To a class."""

    fewest: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        law(f"1 <= means <= {LARGEST}", 1 <= self.means <= LARGEST, means=self.means)

    def make(self, rng: np.random.Generator) -> Dataset:
        centres = np.array([[1.0, 0.0], [0.0, 1.0]])[:, None]
        means = centres + rng.standard_normal((2, self.means, 2))
        y = self.labels(2)
        k = rng.integers(self.means, size=self.examples)
        return self.labelled(means[y, k], y, ("blue", "orange"), rng)

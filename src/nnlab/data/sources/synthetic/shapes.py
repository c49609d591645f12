"""Shapes in the plane whose classes no straight line parts."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnlab.core.laws import law
from nnlab.data.dataset import Dataset
from nnlab.data.sources.synthetic.synthetic import Synthetic


@dataclass(frozen=True)
class Spirals(Synthetic):
    """Two spirals, one the other turned by half a turn: for t from 0 to 1

        r = 6.5 (1 - 96/104 t),  (x1, x2) = +-r (sin(2 pi turns t), cos(2 pi turns t)),

    + for class 1, - for class 0. With 194 examples, three turns and no noise they are the points of
    Lang & Witbrock 1988, "Learning to tell two spirals apart", Proceedings of the 1988
    Connectionist Models Summer School.
    """

    noise: float = 0.1
    turns: float = 3.0

    fewest: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        law("turns > 0", self.turns > 0, turns=self.turns)

    def make(self, rng: np.random.Generator) -> Dataset:
        y = self.labels(2)
        of_each = (self.examples + 1) // 2
        t = (np.arange(self.examples) // 2) / max(of_each - 1, 1)
        angle, radius = 2 * np.pi * self.turns * t, 6.5 * (1 - 96 / 104 * t)
        arm = np.column_stack([radius * np.sin(angle), radius * np.cos(angle)])
        return self.labelled(np.where(y[:, None] == 1, arm, -arm), y, ("0", "1"), rng)


@dataclass(frozen=True)
class Moons(Synthetic):
    """Two half circles that reach into each other: for t from 0 to pi, equally spaced,

        class 0: (cos t, sin t),    class 1: (1 - cos t, 1/2 - sin t).

    As scikit-learn's `make_moons`.
    """

    noise: float = 0.2

    fewest: ClassVar[int] = 2

    def make(self, rng: np.random.Generator) -> Dataset:
        y = self.labels(2)
        of_each = np.array([(self.examples + 1) // 2, self.examples // 2])
        t = np.pi * (np.arange(self.examples) // 2) / np.maximum(of_each - 1, 1)[y]
        upper = np.column_stack([np.cos(t), np.sin(t)])
        return self.labelled(np.where(y[:, None] == 0, upper, (1, 0.5) - upper), y, ("0", "1"), rng)


@dataclass(frozen=True)
class Xor(Synthetic):
    """Exclusive or: the four corners of the unit square, class 1 where x1 != x2.

    Minsky & Papert 1969, "Perceptrons". Of points spread over the four quadrants it is
    `Checkerboard` with two squares to a side.
    """

    noise: float = 0.15

    fewest: ClassVar[int] = 2

    def make(self, rng: np.random.Generator) -> Dataset:
        y = self.labels(2)
        first = np.arange(self.examples) // 2 % 2
        return self.labelled(np.column_stack([first, first ^ y]), y, ("0", "1"), rng)


@dataclass(frozen=True)
class Checkerboard(Synthetic):
    """A board of `squares` x `squares` on [-1, 1]^2: class (column + row) mod 2.

    Points are uniform over the squares of their class; noise is added to them afterwards.
    """

    noise: float = 0.0
    squares: int = 4
    """To a side."""

    fewest: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        law("2 <= squares <= 1000", 2 <= self.squares <= 1000, squares=self.squares)

    def make(self, rng: np.random.Generator) -> Dataset:
        y = self.labels(2)
        side = self.squares
        # counted row by row, the squares of a class are every other one, with a step at each row
        of_class = np.array([(side * side + 1) // 2, side * side // 2])
        row, within = np.divmod(2 * rng.integers(of_class[y]) + y, side)
        if side % 2 == 0:
            within = within - within % 2 + (y + row) % 2
        corner = np.column_stack([within, row])
        points = 2 * (corner + rng.random(corner.shape)) / side - 1
        return self.labelled(points, y, ("0", "1"), rng)

"""What a synthetic data set is: drawn anew from (seed, examples, noise), the same every time."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError, law
from nnlab.data.dataset import Dataset
from nnlab.data.memory import fits
from nnlab.data.sources.source import Source

MAKING = 8
"""The random stream of made-up data: apart from that which divides them."""
MOST = 10**8
"""More examples than that are not made: they are made in memory."""


@dataclass(frozen=True)
class Synthetic(Source):
    """Examples that are made up. `seed` is of the examples, `split_seed` of their division.

    What is drawn before the noise does not depend on it: the same seed with less noise gives the
    same examples, nearer to where they belong.
    """

    examples: int = 1000
    noise: float = 0.1
    """The standard deviation of what is added, normally distributed."""
    seed: int = 0

    fewest: ClassVar[int] = 1
    """So many examples are needed: one of each class."""

    def __post_init__(self) -> None:
        super().__post_init__()
        holds = self.fewest <= self.examples <= MOST
        law(f"{self.fewest} <= examples <= {MOST}", holds, examples=self.examples)
        law("noise >= 0", self.noise >= 0, noise=self.noise)
        law("seed >= 0", self.seed >= 0, seed=self.seed)

    def load(self) -> Dataset:
        """Raises `LawError` where it would not fit into memory, and where not all of it is finite:
        then a field is too large."""
        # the points, what is added to them, the product of that and the noise, the sum
        shape = (4, self.examples, self.dimensions)
        what, cure = type(self).__name__, "choose fewer examples or inputs"
        fits(shape, np.float64, what, "examples", cure)
        with np.errstate(all="ignore"):
            dataset = self.make(np.random.default_rng([self.seed, MAKING]))
        assert isinstance(dataset.x, np.ndarray)
        for what, values in (("input", dataset.x), ("target", dataset.y)):
            finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
            if count := len(values) - int(finite.sum()):
                raise LawError(
                    f"`every {what} is finite` must hold, but {count:,} of {self.examples:,} are "
                    f"not ({self.origin}); choose smaller numbers",
                    "data",
                )
        return dataset

    def make(self, rng: np.random.Generator) -> Dataset:
        """The data set, drawn from `rng`."""
        raise NotImplementedError

    def labels(self, classes: int) -> Array:
        """0, 1, ..., 0, 1, ...: classes that differ by one example at most."""
        return np.arange(self.examples) % classes

    def labelled(
        self, points: Array, y: Array, classes: tuple[str, ...], rng: np.random.Generator
    ) -> Dataset:
        """Points `(n, features)` with noise added to every coordinate, and their labels y."""
        x = points + self.noise * rng.standard_normal(points.shape)
        return Dataset(x, y, classes, names=coordinates(x.shape[1]), origin=self.origin)

    @property
    def dimensions(self) -> int:
        """How many inputs an example has."""
        return 2

    @property
    def origin(self) -> str:
        """What is made, for people."""
        what = type(self).__name__
        return f"made: {what}, {self.examples} examples, noise {self.noise:g}, seed {self.seed}"


def coordinates(inputs: int) -> tuple[str, ...]:
    """Their names: x1, x2, ..."""
    return tuple(f"x{k}" for k in range(1, inputs + 1))

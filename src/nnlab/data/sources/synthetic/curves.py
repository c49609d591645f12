"""Curves: one number that depends on others, y = f(x) + noise, for regression."""

from dataclasses import dataclass
from functools import cached_property
from math import isfinite

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError, law
from nnlab.data.dataset import Dataset
from nnlab.data.sources.synthetic.expression import Expression
from nnlab.data.sources.synthetic.synthetic import Synthetic, coordinates


@dataclass(frozen=True)
class Curve(Synthetic):
    """y = f(x1, ..., xk) + noise * N(0, 1), each x uniform on [low, high).

    Inputs are not scaled, so that the weights of a model are the numbers of the equation.
    """

    scale: str = "none"
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        law("low < high", self.low < self.high, low=self.low)
        law("high - low is finite", isfinite(self.high - self.low), high=self.high)

    def make(self, rng: np.random.Generator) -> Dataset:
        x = rng.uniform(self.low, self.high, (self.examples, self.dimensions))
        y = self.at(x) + self.noise * rng.standard_normal(self.examples)
        return Dataset(x, y[:, None], names=coordinates(self.dimensions), origin=self.origin)

    @property
    def dimensions(self) -> int:
        return 1

    def at(self, x: Array) -> Array:
        """The curve at x `(n, inputs)`, without noise `(n,)`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Line(Curve):
    """y = slope * x + intercept."""

    slope: float = 2.21
    intercept: float = 0.0

    def at(self, x: Array) -> Array:
        return np.asarray(self.slope * x[:, 0] + self.intercept)


@dataclass(frozen=True)
class Parabola(Curve):
    """y = a x^2 + b x + c."""

    a: float = 1.0
    b: float = 0.0
    c: float = 0.0

    def at(self, x: Array) -> Array:
        return np.asarray((self.a * x[:, 0] + self.b) * x[:, 0] + self.c)


@dataclass(frozen=True)
class Formula(Curve):
    """y = a formula of x1, ..., xk, which is read and never run: see `Expression`.

    Raises `LawError` if it is not a number everywhere.
    """

    formula: str = "sin(3*x1) + x2**2"
    inputs: int = 2
    """How many numbers x1, x2, ... there are; the formula need not use all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        law("1 <= inputs <= 1000", 1 <= self.inputs <= 1000, inputs=self.inputs)
        assert self.expression

    @cached_property
    def expression(self) -> Expression:
        """The formula, read."""
        return Expression(self.formula, coordinates(self.inputs))

    @property
    def dimensions(self) -> int:
        return self.inputs

    @property
    def origin(self) -> str:
        return f"{super().origin}, y = {self.formula}"

    def at(self, x: Array) -> Array:
        names = coordinates(self.inputs)
        y = np.broadcast_to(self.expression(dict(zip(names, x.T, strict=True))), len(x))
        bad = np.flatnonzero(~np.isfinite(y))
        if len(bad):
            where = ", ".join(f"{name}={x[bad[0], k]:.6g}" for k, name in enumerate(names[:5]))
            raise LawError(
                f"`the formula is a finite number everywhere` must hold, but got "
                f"formula={self.formula}, which is {y[bad[0]]} at {where} and not finite for "
                f"{len(bad)} of {len(x)} examples; change it, low or high",
                "formula",
            )
        return y

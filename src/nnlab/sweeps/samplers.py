"""Samplers by name, with their options: how the next values are chosen. Imports no Optuna."""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from nnlab.core.laws import law, one_of
from nnlab.sweeps.options import Named


@dataclass(frozen=True)
class TPE(Named):
    """Tree-structured Parzen estimators (Bergstra et al. 2011), multivariate: where good trials
    were dense and bad ones were not. Running trials count as bad ones (constant liar)."""

    name: ClassVar[str] = "tpe"
    startup: int = 10
    """Trials that are random, before it has something to learn from."""
    candidates: int = 24
    """Points of which the best by expected improvement is suggested."""

    def __post_init__(self) -> None:
        law("startup >= 0", self.startup >= 0, startup=self.startup)
        law("candidates >= 1", self.candidates >= 1, candidates=self.candidates)


@dataclass(frozen=True)
class Random(Named):
    """Independent draws, uniform or log-uniform."""

    name: ClassVar[str] = "random"


@dataclass(frozen=True)
class Grid(Named):
    """Every point of a finite space once, in an order that the seed shuffles."""

    name: ClassVar[str] = "grid"


@dataclass(frozen=True)
class QMC(Named):
    """A sequence that fills the space evenly (Bergstra & Bengio 2012, section 5): the k-th point
    is a function of (seed, k) alone. Sobol's is best in powers of two; both are scrambled."""

    name: ClassVar[str] = "qmc"
    sequence: str = "sobol"

    def __post_init__(self) -> None:
        one_of(("sobol", "halton"), sequence=self.sequence)


@dataclass(frozen=True)
class CMAES(Named):
    """The covariance matrix adaptation evolution strategy (Hansen 2016), for two or more numbers
    that every trial has. Needs `pip install nnlab[cmaes]`."""

    name: ClassVar[str] = "cmaes"
    startup: int = 1
    """Trials that are random, before the first generation."""
    population: int = 0
    """Trials of a generation; 0 means 4 + floor(3 ln n) for n parameters."""

    def __post_init__(self) -> None:
        law("startup >= 1", self.startup >= 1, startup=self.startup)
        holds = self.population == 0 or self.population >= 3
        law("population >= 3, or 0", holds, population=self.population)


@dataclass(frozen=True)
class NSGA2(Named):
    """NSGA-II (Deb et al. 2002): a genetic algorithm for several objectives."""

    name: ClassVar[str] = "nsga2"
    population: int = 50
    """Trials of a generation; the first is random."""
    crossover: float = 0.9
    """The probability that a child has two parents."""

    def __post_init__(self) -> None:
        law("population >= 2", self.population >= 2, population=self.population)
        law("0 <= crossover <= 1", 0 <= self.crossover <= 1, crossover=self.crossover)


Sampler: TypeAlias = TPE | Random | Grid | QMC | CMAES | NSGA2
SAMPLERS: dict[str, type[Sampler]] = {
    kind.name: kind for kind in (TPE, Random, Grid, QMC, CMAES, NSGA2)
}
SEVERAL_OBJECTIVES = (TPE, Random, Grid, QMC, NSGA2)

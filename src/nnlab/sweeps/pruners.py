"""Pruners by name, with their options: when a trial is stopped early. Imports no Optuna.

A step is an evaluation, counted from 1, which is that of the untrained network: with
`evaluate_every: 1 epoch` the second one follows the first epoch.
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from nnlab.core.laws import law
from nnlab.sweeps.options import Named


@dataclass(frozen=True)
class NoPruning(Named):
    """Every trial comes to its own end."""

    name: ClassVar[str] = "none"


@dataclass(frozen=True)
class Median(Named):
    """Stops a trial whose best value so far is worse than the median of what the complete trials
    had at the same evaluation."""

    name: ClassVar[str] = "median"
    startup: int = 5
    """Complete trials before the first is stopped."""
    warmup: int = 5
    """The first evaluation at which a trial is stopped."""
    every: int = 1
    """Evaluations between two decisions."""

    def __post_init__(self) -> None:
        law("startup >= 0", self.startup >= 0, startup=self.startup)
        law("warmup >= 0", self.warmup >= 0, warmup=self.warmup)
        law("every >= 1", self.every >= 1, every=self.every)


@dataclass(frozen=True)
class Halving(Named):
    """Successive halving, asynchronous (Li et al. 2020, "A system for massively parallel
    hyperparameter tuning"): at the evaluations first * factor^r only the best 1/factor of those
    that came so far go on."""

    name: ClassVar[str] = "halving"
    first: int = 1
    factor: int = 4

    def __post_init__(self) -> None:
        law("first >= 1", self.first >= 1, first=self.first)
        law("factor >= 2", self.factor >= 2, factor=self.factor)


@dataclass(frozen=True)
class Hyperband(Named):
    """Hyperband (Li et al. 2018): successive halvings that begin at different evaluations, each
    with a share of the trials."""

    name: ClassVar[str] = "hyperband"
    first: int = 1
    last: int = 0
    """Evaluations of a whole trial; 0 means those of the first complete one."""
    factor: int = 3

    def __post_init__(self) -> None:
        law("first >= 1", self.first >= 1, first=self.first)
        law("last > first, or 0", self.last == 0 or self.last > self.first, last=self.last)
        law("factor >= 2", self.factor >= 2, factor=self.factor)


@dataclass(frozen=True)
class Threshold(Named):
    """Stops a trial whose value leaves the limits."""

    name: ClassVar[str] = "threshold"
    low: float = -math.inf
    high: float = math.inf
    warmup: int = 0
    """Evaluations before the first decision."""

    def __post_init__(self) -> None:
        one = math.isfinite(self.low) or math.isfinite(self.high)
        law("one of low and high is given", one, low=self.low)
        law("low < high", self.low < self.high, low=self.low)
        law("warmup >= 0", self.warmup >= 0, warmup=self.warmup)


@dataclass(frozen=True)
class Wilcoxon(Named):
    """Stops a trial that the signed-rank test (Wilcoxon 1945, one-sided) finds worse than the best
    one: the values of its seeds and folds are paired with those that the best had at the same
    evaluation. n pairs can reach p = 2^-n."""

    name: ClassVar[str] = "wilcoxon"
    p: float = 0.1
    warmup: int = 1
    """The first evaluation at which a trial is stopped."""

    def __post_init__(self) -> None:
        law("0 < p < 1", 0 < self.p < 1, p=self.p)
        law("warmup >= 0", self.warmup >= 0, warmup=self.warmup)

    @property
    def pairs(self) -> int:
        """Seeds times folds that it takes to reach p."""
        return math.floor(math.log2(1 / self.p)) + 1


@dataclass(frozen=True)
class Patient(Named):
    """Lets another pruner decide only about a trial that has not become better by `delta` within
    the last `patience` evaluations; without another one (`none`) it is then stopped."""

    name: ClassVar[str] = "patient"
    patience: int = 5
    delta: float = 0.0
    pruner: "Pruner" = field(default_factory=Median)

    def __post_init__(self) -> None:
        law("patience >= 1", self.patience >= 1, patience=self.patience)
        law("delta >= 0", self.delta >= 0, delta=self.delta)
        simple = not isinstance(self.pruner, Wilcoxon | Patient)
        law("pruner is neither wilcoxon nor patient", simple, pruner=self.pruner)


Pruner: TypeAlias = NoPruning | Median | Halving | Hyperband | Threshold | Wilcoxon | Patient
PRUNERS: dict[str, type[Pruner]] = {
    kind.name: kind
    for kind in (NoPruning, Median, Halving, Hyperband, Threshold, Wilcoxon, Patient)
}

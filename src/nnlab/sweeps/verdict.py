"""Verdicts: Optuna's pruners, asked about a trial as those older than its lag allow."""

import warnings
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.pruners import BasePruner

from nnlab.sweeps.pruners import (
    Halving,
    Hyperband,
    Median,
    NoPruning,
    Patient,
    Pruner,
    Threshold,
    Wilcoxon,
)


def optuna_pruner(pruner: Pruner, last: int | None) -> BasePruner:
    """Optuna's pruner; `last` is the number of evaluations of the first complete trial."""
    match pruner:
        case Median():
            return optuna.pruners.MedianPruner(
                n_startup_trials=pruner.startup,
                n_warmup_steps=pruner.warmup,
                interval_steps=pruner.every,
            )
        case Halving():
            return optuna.pruners.SuccessiveHalvingPruner(
                min_resource=pruner.first, reduction_factor=pruner.factor
            )
        case Hyperband():
            most = pruner.last or last
            if most is None or most <= pruner.first:  # nothing is known of their length yet
                return optuna.pruners.NopPruner()
            return optuna.pruners.HyperbandPruner(
                min_resource=pruner.first, max_resource=most, reduction_factor=pruner.factor
            )
        case Threshold():
            return optuna.pruners.ThresholdPruner(
                lower=pruner.low, upper=pruner.high, n_warmup_steps=pruner.warmup
            )
        case Patient():
            inner = (
                None if isinstance(pruner.pruner, NoPruning) else optuna_pruner(pruner.pruner, last)
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return optuna.pruners.PatientPruner(
                    inner, patience=pruner.patience, min_delta=pruner.delta
                )
        case _:
            return optuna.pruners.NopPruner()


def worse_than(
    wilcoxon: Wilcoxon, mine: Sequence[float], best: Sequence[float], minimize: bool
) -> bool:
    """Does the signed-rank test find these values worse than those of the best trial?

    Both are one value for each seed and fold, in the same order, at the same evaluation.
    """
    from scipy.stats import wilcoxon as test

    pairs = np.array([mine, best])
    if len(mine) != len(best) or not np.isfinite(pairs).all():
        return False
    difference = pairs[0] - pairs[1]
    alternative = "greater" if minimize else "less"
    p = test(difference, alternative=alternative, zero_method="zsplit", method="auto").pvalue
    return bool(p < wilcoxon.p)

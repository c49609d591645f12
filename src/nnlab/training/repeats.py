"""Several trainings reported as one: the mean over seeds and folds, and how sure it is."""

from collections.abc import Sequence
from math import sqrt

import numpy as np

from nnlab.core.arrays import Array
from nnlab.training.report import Report, Stop

SE, CI95 = "se/", "ci95/"
"""Before a metric's name: the standard error over folds; half the 95 % interval over seeds."""
_PARTS = ("train/", "validation/", "test/")


def together(reports: Sequence[Report], seeds: int, folds: int, step: int) -> Report:
    """The report of seeds * folds trainings side by side, the folds of a seed one after another.

    Every metric that all have becomes its mean. Of the metrics of a part of the data come, with k
    folds, the standard error sd / sqrt(k) of the folds' means over seeds, and with n seeds the
    half width t * sd / sqrt(n) of the 95 % interval of the seeds' means over folds, with
    Student's t of n - 1 degrees of freedom. (Folds share training examples, so their standard
    error is a little too small: Bengio & Grandvalet 2004, "No unbiased estimator of the variance
    of k-fold cross-validation".)
    """
    metrics: dict[str, float] = {}
    for key in reports[0].metrics:
        if not all(key in report.metrics for report in reports):
            continue
        values = np.array([report.metrics[key] for report in reports]).reshape(seeds, folds)
        with np.errstate(all="ignore"):  # one may have diverged
            metrics[key] = float(values.mean())
            if key.startswith(_PARTS) and folds > 1:
                metrics[SE + key] = _error(values.mean(axis=0))
            if key.startswith(_PARTS) and seeds > 1:
                metrics[CI95 + key] = student(seeds - 1) * _error(values.mean(axis=1))
    return Report(
        step,
        float(np.mean([report.epoch for report in reports])),
        metrics,
        max(report.seconds for report in reports),
        _stop([report.stop for report in reports]),
    )


def names(keys: Sequence[str], seeds: int, folds: int) -> list[str]:
    """The metrics of such a report, given those of each training."""
    prefixes = ["", *([SE] if folds > 1 else []), *([CI95] if seeds > 1 else [])]
    return [prefix + key for prefix in prefixes for key in keys]


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def _error(values: Array) -> float:
    """The standard error of their mean; NaN where one is not finite."""
    return float(values.std(ddof=1)) / sqrt(len(values))


def _stop(stops: Sequence[Stop | None]) -> Stop | None:
    """Why all ended, once all have or one has diverged."""
    ended = [stop for stop in stops if stop]
    for k, stop in enumerate(stops, start=1):
        if stop and stop.diverged:
            return Stop(stop.rule, f"training {k} of {len(stops)}: {stop.reason}")
    if len(ended) < len(stops):
        return None
    if len(set(ended)) == 1:
        return ended[0]
    return Stop("members", f"all {len(stops)} trainings are done")

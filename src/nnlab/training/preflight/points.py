"""Where an experiment is looked at: at some weights, on some examples."""

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.objective import Batch
from nnlab.training.trainer import DROPOUT, Training


def somewhere(training: Training) -> Array:
    """theta `(P,)` in float64, near the initial one but with no parameter at zero: at zero a
    penalty, a bias or a dropped unit would not be seen."""
    theta = training.start().theta.astype(np.float64)
    return theta + np.random.default_rng(0).normal(size=theta.shape, scale=0.1)


def some_rows(training: Training, rows: int) -> Batch:
    """Some training examples in float64, the classes mixed as they come."""
    x, y, weights = training.batch[:3]
    chosen = np.random.default_rng(0).permutation(len(x))[:rows]
    y = y[chosen]
    if y.dtype.kind == "f":
        y = y.astype(np.float64)
    if weights is not None:
        weights = weights[chosen].astype(np.float64)
    seed = (training.experiment.seed, DROPOUT, 0)
    return Batch(x[chosen].astype(np.float64), y, weights, seed)

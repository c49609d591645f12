"""The numerical gradient of a network, by a plain loop and as nnlab takes it.

    python benchmarks/gradients.py [--rounds N] [--json FILE]

The network has 784 inputs, 100 hidden and 10 output units, all sigmoid: 79,510 parameters in
float64. The loss is half the squared error of one example; differences are central. Both are
timed in the same process with one BLAS thread, the plain loop in the first and the last of N
rounds, and the medians compared. A figure that is missed is marked, and the exit code stays 0:
machines differ.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is loaded

import numpy as np
from rich.console import Console
from rich.table import Table

from nnlab.core.arrays import Array, Workspace
from nnlab.core.gradients import numerical, relative_error
from nnlab.core.initialisers import Xavier
from nnlab.core.losses import HalfMSE
from nnlab.core.model import MLP
from nnlab.core.objective import Batch, NetworkObjective
from nnlab.core.penalties import NoPenalty

STEP = 1e-5


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    network = MLP((100,), "sigmoid", output="sigmoid").build(784, 10)
    theta = network.initial(Xavier(), rng, np.float64)
    batch = Batch(rng.uniform(size=(1, 784)), np.eye(10)[[3]])
    objective = NetworkObjective(network, HalfMSE(), NoPenalty())
    weights = [array.copy() for array in network.layout.views(theta).values()]
    ours, theirs = [], []
    for k in range(options.rounds):
        seconds, fast = timed(lambda: numerical(objective, theta, batch, STEP))
        ours.append(seconds)
        if k in (0, options.rounds - 1):
            seconds, plain = timed(lambda: plain_loop(weights, batch.x[0], batch.y[0]))
            theirs.append(seconds)
    back = np.empty_like(theta)
    objective(theta, batch, back, Workspace())
    figures = [
        ("plain loop", median(theirs), "", None, "s"),
        ("nnlab's numerical gradient", median(ours), "<=", 0.15, "s"),
        ("  how many times faster", median(theirs) / median(ours), ">=", 40.0, ""),
        ("  off the plain loop by", relative_error(fast, plain), "<=", 1e-9, "relative"),
        ("  off backpropagation by", relative_error(fast, back), "<=", 1e-7, "relative"),
    ]
    table = Table(box=None)
    for name in ("figure", "measured", "wanted", "unit", ""):
        table.add_column(name, justify="right" if name == "measured" else "left")
    for name, got, relation, wanted, unit in figures:
        met = wanted is None or (got <= wanted if relation == "<=" else got >= wanted)
        want = "" if wanted is None else f"{relation} {wanted:g}"
        table.add_row(name, f"{got:.3g}", want, unit, "" if met else "missed")
    console = Console()
    console.print(table)
    load = os.getloadavg()[0]
    console.print(
        f"{theta.size:,} parameters, {options.rounds} rounds, {os.cpu_count()} cores, "
        f"load {load:.1f} at the end"
    )
    if options.json:
        options.json.write_text(json.dumps({name: got for name, got, *_ in figures}, indent=2))


def timed(action: Callable[[], Array]) -> tuple[float, Array]:
    """Wall time of an action, and what it returns."""
    began = time.perf_counter()
    result = action()
    return time.perf_counter() - began, result


def plain_loop(arrays: list[Array], x: Array, y: Array) -> Array:
    """Two whole evaluations for each parameter in turn."""
    grads: list[Array] = []
    for array in arrays:
        grad = np.empty(array.size)
        flat: Any = array.reshape(-1)
        for k in range(array.size):
            here = flat[k]
            flat[k] = here + STEP
            above = plain_loss(arrays, x, y)
            flat[k] = here - STEP
            grad[k] = (above - plain_loss(arrays, x, y)) / (2 * STEP)
            flat[k] = here
        grads.append(grad)
    return np.concatenate(grads)


def plain_loss(arrays: list[Array], x: Array, y: Array) -> float:
    """The loss of one example, as one would write it down."""
    w1, b1, w2, b2 = arrays
    a1 = 1 / (1 + np.exp(-(x @ w1 + b1)))
    a2 = 1 / (1 + np.exp(-(a1 @ w2 + b2)))
    return float(np.sum((a2 - y) ** 2) / 2)


if __name__ == "__main__":
    main()

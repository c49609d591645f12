"""A training step beside its matrix products, and what its parts cost: MNIST 784-128-10, batch 128,
one thread.

    python -m benchmarks.step [--rounds N] [--data FOLDER] [--json FILE]

Each variant trains a hundred steps in turn; processor time is counted, for the machine is shared,
and a ratio is the median over the rounds, in each of which all had the same noise. The step is
gather, forward, loss, backward, momentum; "whole" has the EMA too. What is allocated is counted by
tracemalloc, in a step and over a thousand of them; those that begin an epoch draw its order and are
left out. The peak of memory is that of a whole `nnlab train`, its data and evaluations included.
Needs MNIST ($NNLAB_DATA, or `--data`). A figure that is missed is marked; the exit code stays 0.
"""

import argparse
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from benchmarks.figure import Figure, save, show
from benchmarks.peers.cases import PLAIN, Problem
from benchmarks.peers.limits import Products

from nnlab.core.averaging import EMA
from nnlab.data.home import VARIABLE
from nnlab.errors import UserError
from nnlab.runs.runtime import pin
from nnlab.training.state import TrainingState
from nnlab.training.trainer import Training

NNLAB = str(Path(sys.executable).with_name("nnlab"))
STEPS = 100
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Runs a command from a small process: a child begins with the peak of its parent."""


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser("python -m benchmarks.step", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--data", type=Path, help=f"instead of ${VARIABLE}")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.data:
        os.environ[VARIABLE] = str(options.data)
    try:
        Problem("mnist-momentum").network.data.load()
    except UserError as error:
        print(f"left out: {error}")
        return
    pin(1)
    load = os.getloadavg()[0]
    found = [
        *costs(options.rounds),
        *allocated(),
        Figure("peak of `nnlab train`", peak(), "<=", 350, "MB"),
    ]
    show(found)
    print(f"{options.rounds} rounds, {os.cpu_count()} cores, load {load:.1f} before")
    if options.json:
        save(options.json, found, rounds=options.rounds, load_before=load)


def costs(rounds: int) -> list[Figure]:
    """The step and its parts, as ratios."""
    products = Products(Problem("mnist-momentum"), 1)
    momentum, state = ready(Problem("mnist-momentum"))
    x = np.empty((momentum.experiment.batch_size, 784), np.float32)

    def gather() -> None:
        for k in range(STEPS):
            momentum.inputs.take(k, momentum.order.rows(k), x)

    def multiply() -> None:
        for _ in range(STEPS):
            products.step()

    ways: dict[str, Callable[[], None]] = {
        "products": multiply,
        "momentum": stepping(momentum, state),
        "whole": stepping(*ready(Problem("mnist-momentum", EMA()))),
        "sgd": stepping(*ready(Problem("mnist-sgd", PLAIN))),
        "adam": stepping(*ready(Problem("mnist-adam", PLAIN))),
        "gather": gather,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for k in range(-1, rounds):
        names = list(ways)
        for name in names[k % len(names) :] + names[: k % len(names)]:
            began = time.process_time()
            ways[name]()
            if k >= 0:
                times[name].append((time.process_time() - began) / STEPS)

    def over(name: str, other: str) -> float:
        pairs = zip(times[name], times[other], strict=True)
        return median(mine / theirs for mine, theirs in pairs)

    step = {name: 1e6 * median(rounds) for name, rounds in times.items()}
    return [
        *(Figure(f"{name}, a step", step[name], unit="us") for name in ways),
        Figure("whole step / its products", over("whole", "products"), "<=", 1.5, "x"),
        Figure("step without EMA / its products", over("momentum", "products"), unit="x"),
        Figure("EMA costs", 100 * (over("whole", "momentum") - 1), "<=", 5, "%"),
        Figure("Adam / SGD", over("adam", "sgd"), "<=", 1.35, "x"),
        Figure(
            "gathering and scaling bytes", 100 * over("gather", "momentum"), "<=", 8, "% of a step"
        ),
    ]


def ready(problem: Problem) -> tuple[Training, TrainingState]:
    """A training and its state."""
    return problem.training, problem.training.start()


def stepping(training: Training, state: TrainingState) -> Callable[[], None]:
    """`STEPS` steps of the trainer's own loop."""

    def steps() -> None:
        training.advance(state, training.oracle, state.step + STEPS)

    return steps


def allocated() -> list[Figure]:
    """By a step at most, and left behind by a thousand; momentum and EMA."""
    training, state = ready(Problem("mnist-momentum", EMA()))
    per_epoch = training.order.steps_per_epoch
    tracemalloc.start()
    training.advance(state, training.oracle, per_epoch + 10)  # a smaller batch has been seen
    most, before = 0, tracemalloc.get_traced_memory()[0]
    for _ in range(1000):
        tracemalloc.reset_peak()
        start = tracemalloc.get_traced_memory()[0]
        training.advance(state, training.oracle, state.step + 1)
        if (state.step - 1) % per_epoch:
            most = max(most, tracemalloc.get_traced_memory()[1] - start)
    left = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return [
        Figure(
            "allocated by a step at most (a batch of bytes is 100)",
            most / 1e3,
            "<=",
            99,
            "kB",
        ),
        Figure("left behind by 1,000 steps", left / 1e3, "<=", 10, "kB"),
    ]


def peak() -> float:
    """Megabytes of `nnlab train` on MNIST at most."""
    with TemporaryDirectory() as store:
        command = [NNLAB, "train", "+experiment=mlp_mnist", f"store={store}", "tracking=none"]
        command += ["schedule=constant", "optimizer.lr=0.05", "stopping.max_epochs.epochs=2"]
        run = [sys.executable, "-c", PEAK, *command]
        done = subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout) / 1e3


if __name__ == "__main__":
    main()

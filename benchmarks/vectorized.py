"""Trials in one theta beside the same ones trained one after another, in one warm process, on one
core: digits 64-32-10, batch 32, 30 epochs, momentum, l2 and an EMA.

    python -m benchmarks.vectorized [--trials N] [--rounds N] [--json FILE]

Both ways train the same configs to the same bits, reports included, and take turns; processor time
is counted, for the machine is shared, and a ratio is the median over the rounds. A figure that is
missed is marked; the exit code stays 0.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from benchmarks.figure import Figure, save, show

from nnlab.core.arrays import Array
from nnlab.core.averaging import EMA
from nnlab.core.losses import CrossEntropy
from nnlab.core.model import MLP
from nnlab.core.optimizers import Momentum
from nnlab.core.penalties import L2
from nnlab.core.schedules import Constant
from nnlab.data.sources.bundled import Digits
from nnlab.runs.runtime import pin
from nnlab.training.experiment import Experiment
from nnlab.training.pause import Pause
from nnlab.training.stack import Stack
from nnlab.training.stopping import MaxEpochs
from nnlab.training.trainer import Training

SIZES = (4, 8, 16)


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser("python -m benchmarks.vectorized", description=__doc__)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    pin(1)
    load = os.getloadavg()[0]
    found = list(costs(list(experiments(options.trials)), options.rounds))
    show(found)
    print(f"{options.rounds} rounds, {os.cpu_count()} cores, load {load:.1f} before")
    if options.json:
        save(options.json, found, rounds=options.rounds, trials=options.trials, load_before=load)


def experiments(trials: int) -> Iterator[Experiment]:
    """Experiments that differ in learning rate, momentum and lambda."""
    rng = np.random.default_rng(0)
    for _ in range(trials):
        yield Experiment(
            model=MLP((32,)),
            loss=CrossEntropy(),
            penalty=L2(10 ** rng.uniform(-6, -2)),
            optimizer=Momentum(10 ** rng.uniform(-2.5, -0.5), rng.uniform(0.5, 0.95)),
            schedule=Constant(),
            data=Digits(),
            averaging=EMA(),
            stopping=(MaxEpochs(30),),
        )


def costs(trials: Sequence[Experiment], rounds: int) -> Iterator[Figure]:
    """Processor time of a trial alone and in stacks, and how many more fit into the same time."""
    alone(trials[:2])
    together(trials[:2], 2)
    single: list[float] = []
    stacked: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(rounds):
        seconds, weights = spent(lambda: alone(trials))
        single.append(seconds)
        for size in SIZES:
            seconds, same = spent(lambda size=size: together(trials, size))  # type: ignore[misc]
            stacked[size].append(seconds)
            assert all(map(np.array_equal, weights, same)), "not the same bits"
    each = 1000 / len(trials)
    yield Figure("a trial alone", median(single) * each, unit="ms")
    for size, times in stacked.items():
        yield Figure(f"a trial of {size} in a stack", median(times) * each, unit="ms")
    for size, times in stacked.items():
        ratio = median(one / other for one, other in zip(single, times, strict=True))
        wanted = (">=", 3.0) if size == max(SIZES) else ("", 0.0)
        yield Figure(f"throughput of {size} in a stack", ratio, *wanted, "times")


def spent(train: Callable[[], list[Array]]) -> tuple[float, list[Array]]:
    """Processor time, and the weights that came of it."""
    began = time.process_time()
    weights = train()
    return time.process_time() - began, weights


def alone(trials: Sequence[Experiment]) -> list[Array]:
    """Train one after another; the final weights."""
    weights = []
    for experiment in trials:
        training = Training(experiment)
        state = training.start()
        for _ in training.run(state):
            pass
        weights.append(state.theta)
    return weights


def together(trials: Sequence[Experiment], size: int) -> list[Array]:
    """Train in stacks of that size; the final weights."""
    weights = []
    for start in range(0, len(trials), size):
        stack, states, going = Stack(), [], []
        for experiment in trials[start : start + size]:
            training = Training(experiment, like=stack.like(experiment))
            state, pause = training.start(), Pause()
            stack.join(training, state, pause)
            states.append(state)
            going.append((training, training.events(state, pause)))
        while going:
            ended = [training for training, events in going if (said := next(events)) and said.stop]
            for training in ended:
                stack.leave(training)
            going = [one for one in going if one[0] not in ended]
        weights += [state.theta for state in states]
    return weights


if __name__ == "__main__":
    main()

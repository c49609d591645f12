"""What no loop on this machine's BLAS and memory can beat. Nothing is trained here."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from benchmarks.peers.cases import Problem

from nnlab.core.arrays import Array


class Products:
    """The matrix products of a step, into arrays that are there already: x W forward, and
    backward x^T dz of every layer and dz W^T of all but the first. The batch stays the same."""

    def __init__(self, problem: Problem, threads: int) -> None:
        examples, batch = len(problem.y), problem.network.batch_size
        self.steps, last = divmod(examples, batch)
        self.whole = _products(problem.sizes, batch)
        self.last = _products(problem.sizes, last) if last else []

    def start(self) -> None:
        pass

    def step(self) -> None:
        """Those of a whole batch."""
        for a, b, out in self.whole:
            np.matmul(a, b, out)

    def epoch(self, k: int) -> None:
        for _ in range(self.steps):
            self.step()
        for a, b, out in self.last:
            np.matmul(a, b, out)

    def first(self) -> Sequence[float]:
        return ()


class Memory:
    """What the optimizer must read and write in memory, once each in a step: the gradient is read;
    theta and the velocity (with Adam the two averages) are read and written."""

    def __init__(self, problem: Problem, threads: int) -> None:
        self.steps = problem.training.order.steps_per_epoch
        size = problem.training.network.layout.size
        self.grad = np.ones(size, np.float32)
        written = 3 if problem.optimizer == "adam" else 2
        self.written = [np.ones(size, np.float32) for _ in range(written)]
        self.copy: Callable[..., Array] = np.positive

    def start(self) -> None:
        pass

    def epoch(self, k: int) -> None:
        for _ in range(self.steps):
            self.grad.dot(self.grad)
            for array in self.written:
                self.copy(array, array)

    def first(self) -> Sequence[float]:
        return ()


def _products(sizes: tuple[int, ...], m: int) -> list[tuple[Array, Array, Array]]:
    """(a, b, out) of each product, in order."""
    rng = np.random.default_rng(0)

    def filled(*shape: int) -> Array:
        return rng.standard_normal(shape, dtype=np.float32)

    x = [filled(m, units) for units in sizes]
    dz = [filled(m, units) for units in sizes]
    weights = [filled(*shape) for shape in pairwise(sizes)]
    forward = [(x[k], weight, x[k + 1]) for k, weight in enumerate(weights)]
    backward = []
    for k in reversed(range(len(weights))):
        backward.append((x[k].T, dz[k + 1], np.empty_like(weights[k])))
        if k:
            backward.append((dz[k + 1], weights[k].T, dz[k]))
    return forward + backward

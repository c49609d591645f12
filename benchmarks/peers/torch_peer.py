"""PyTorch, as its tutorials train: `Linear`, `cross_entropy`, its own fused optimizers."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from benchmarks.peers.cases import BETA1, BETA2, EPSILON, MOMENTUM, Problem
from benchmarks.peers.peer import FIRST

from nnlab.core.arrays import Array


class Eager:
    """An operation at a time."""

    def __init__(self, problem: Problem, threads: int) -> None:
        torch.set_num_threads(threads)
        self.problem = problem
        self.x, self.y = torch.from_numpy(problem.x), torch.from_numpy(problem.y)
        layers: list[torch.nn.Module] = []
        for inputs, outputs in pairwise(problem.sizes):
            layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers[:-1])
        self.loss: Any = self.loss_of
        self.start()

    def loss_of(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The mean cross-entropy of a batch."""
        return torch.nn.functional.cross_entropy(self.model(x), y)

    def start(self) -> None:
        parameters = list(self.model.parameters())
        arrays = (array for layer in self.problem.weights() for array in layer)
        with torch.no_grad():
            for parameter, array in zip(parameters, arrays, strict=True):
                parameter.copy_(torch.from_numpy(array.T))
        lr = self.problem.lr
        if self.problem.optimizer == "adam":
            self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
                parameters, lr, (BETA1, BETA2), EPSILON, fused=True
            )
        else:
            self.optimizer = torch.optim.SGD(parameters, lr, MOMENTUM, fused=True)

    def epoch(self, k: int) -> None:
        for rows in self.problem.batches(k):
            self.step(rows)

    def first(self) -> Sequence[float]:
        return [self.step(rows) for rows in self.problem.batches(0)[:FIRST]]

    def step(self, rows: Array) -> float:
        """Update the weights by one batch; its loss."""
        chosen = torch.from_numpy(rows)
        self.optimizer.zero_grad()
        loss = self.loss(self.x[chosen], self.y[chosen])
        loss.backward()
        self.optimizer.step()
        return float(loss.item())


class Compiled(Eager):
    """Network and loss by `torch.compile`; needs a C++ compiler."""

    def __init__(self, problem: Problem, threads: int) -> None:
        super().__init__(problem, threads)
        self.loss = torch.compile(self.loss_of, dynamic=False)

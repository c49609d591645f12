"""The loop that one writes first: NumPy, a line for a formula, a new array for each."""

from collections.abc import Sequence

import numpy as np
from benchmarks.peers.cases import BETA1, BETA2, EPSILON, MOMENTUM, Problem
from benchmarks.peers.peer import FIRST

from nnlab.core.arrays import Array


class Loop:
    """Lists of weights; nothing is reused."""

    def __init__(self, problem: Problem, threads: int) -> None:
        self.problem = problem
        self.x, self.y = problem.x, problem.y
        self.lr = np.float32(problem.lr)
        self.adam = problem.optimizer == "adam"
        self.start()

    def start(self) -> None:
        self.parameters = [array for layer in self.problem.weights() for array in layer]
        self.means = [np.zeros_like(array) for array in self.parameters]
        self.squares = [np.zeros_like(array) for array in self.parameters]
        self.t = 0

    def epoch(self, k: int) -> None:
        for rows in self.problem.batches(k):
            self.step(rows)

    def first(self) -> Sequence[float]:
        return [self.step(rows) for rows in self.problem.batches(0)[:FIRST]]

    def step(self, rows: Array) -> float:
        """Update the weights by one batch; its loss."""
        loss, gradients = self.gradients(self.x[rows], self.y[rows])
        self.t += 1
        for k, grad in enumerate(gradients):
            if self.adam:
                self.means[k] = BETA1 * self.means[k] + (1 - BETA1) * grad
                self.squares[k] = BETA2 * self.squares[k] + (1 - BETA2) * grad**2
                mean = self.means[k] / (1 - BETA1**self.t)
                square = self.squares[k] / (1 - BETA2**self.t)
                self.parameters[k] -= self.lr * mean / (np.sqrt(square) + EPSILON)
            else:
                self.means[k] = MOMENTUM * self.means[k] - self.lr * grad
                self.parameters[k] += self.means[k]
        return loss

    def gradients(self, x: Array, y: Array) -> tuple[float, list[Array]]:
        """The mean cross-entropy, and its gradient in each parameter."""
        weights, biases = self.parameters[::2], self.parameters[1::2]
        outputs = [x]
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            outputs.append(np.maximum(outputs[-1] @ weight + bias, 0))
        z = outputs[-1] @ weights[-1] + biases[-1]
        exponentials = np.exp(z - z.max(1, keepdims=True))
        softmax = exponentials / exponentials.sum(1, keepdims=True)
        m = np.arange(len(y))
        loss = -np.log(softmax[m, y]).mean()
        delta = softmax
        delta[m, y] -= 1
        delta /= len(y)
        gradients: list[Array] = []
        for k in reversed(range(len(weights))):
            gradients[:0] = [outputs[k].T @ delta, delta.sum(0)]
            if k:
                delta = (delta @ weights[k].T) * (outputs[k] > 0)
        return float(loss), gradients

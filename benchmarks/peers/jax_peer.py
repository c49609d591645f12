"""JAX: a jitted step with donated buffers, and a jitted epoch of `lax.scan`."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from benchmarks.peers.cases import BETA1, BETA2, EPSILON, MOMENTUM, Problem
from benchmarks.peers.peer import FIRST


class Steps:
    """A call for each step, its loss read."""

    def __init__(self, problem: Problem, threads: int) -> None:
        self.problem = problem
        self.x, self.y = jnp.asarray(problem.x), jnp.asarray(problem.y)
        self.lr, self.adam = problem.lr, problem.optimizer == "adam"
        self.jitted: Any = jax.jit(self.step, donate_argnums=0)
        self.start()

    def start(self) -> None:
        weights = [(jnp.asarray(w), jnp.asarray(b)) for w, b in self.problem.weights()]
        zeros = [jax.tree.map(jnp.zeros_like, weights) for _ in range(1 + self.adam)]
        self.state = (weights, *zeros, jnp.zeros((), jnp.float32))

    def step(self, state: Any, x: Any, y: Any, rows: Any) -> tuple[Any, Any]:
        """(state after one batch, its loss)."""
        weights, *moments, t = state
        loss, grads = jax.value_and_grad(_loss)(weights, x[rows], y[rows])
        t = t + 1
        if self.adam:
            mean, square = moments
            mean = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, mean, grads)
            square = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, square, grads)
            moments = [mean, square]
            first, second = 1 - BETA1**t, 1 - BETA2**t
            weights = jax.tree.map(
                lambda w, m, v: w - self.lr * (m / first) / (jnp.sqrt(v / second) + EPSILON),
                weights,
                mean,
                square,
            )
        else:
            velocity = jax.tree.map(lambda v, g: MOMENTUM * v - self.lr * g, moments[0], grads)
            weights, moments = jax.tree.map(jnp.add, weights, velocity), [velocity]
        return (weights, *moments, t), loss

    def epoch(self, k: int) -> None:
        for rows in self.problem.batches(k):
            self.state, loss = self.jitted(self.state, self.x, self.y, rows)
            float(loss)

    def first(self) -> Sequence[float]:
        losses = []
        for rows in self.problem.batches(0)[:FIRST]:
            self.state, loss = self.jitted(self.state, self.x, self.y, rows)
            losses.append(float(loss))
        return losses


class Epochs(Steps):
    """A call for each epoch, which gives back all its losses; the last, smaller batch is in it."""

    def __init__(self, problem: Problem, threads: int) -> None:
        super().__init__(problem, threads)
        self.jitted = jax.jit(self.scan, donate_argnums=0)

    def scan(self, state: Any, x: Any, y: Any, whole: Any, last: Any) -> tuple[Any, Any]:
        """(state after an epoch, the losses of its whole batches)."""
        state, losses = jax.lax.scan(lambda s, rows: self.step(s, x, y, rows), state, whole)
        if last.size:
            state, _ = self.step(state, x, y, last)
        return state, losses

    def losses(self, k: int) -> Any:
        """Train epoch k; its losses."""
        batches = self.problem.batches(k)
        size = self.problem.network.batch_size
        last = batches.pop() if len(batches[-1]) < size else np.empty(0, np.int64)
        self.state, losses = self.jitted(self.state, self.x, self.y, np.stack(batches), last)
        return np.asarray(losses)

    def epoch(self, k: int) -> None:
        self.losses(k)

    def first(self) -> Sequence[float]:
        return [float(loss) for loss in self.losses(0)[:FIRST]]


def _loss(weights: Any, x: Any, y: Any) -> Any:
    for weight, bias in weights[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    z = x @ weights[-1][0] + weights[-1][1]
    return -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1).mean()

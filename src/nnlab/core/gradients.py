"""Numerical gradients: to check the analytic ones against, and to train by.

A coordinate of a gradient is a difference of two values of the objective: forward, (f(theta +
h e_k) - f(theta)) / h with an error O(h), or central, (f(theta + h e_k) - f(theta - h e_k)) / 2h
with O(h^2); rounding adds O(eps |f| / h) to both. Theta should be float64.

A network needs no 2P evaluations: a weight of a dense layer moves one of the layer's outputs by
h x, so that nothing before it is computed again, and an elementwise activation after it changes
in one unit alone, which adds a multiple of one row of weights to the next layer's outputs. Many
such changes are evaluated at once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnlab.core.activations import Elementwise
from nnlab.core.arrays import Array, Workspace
from nnlab.core.dropout import Dropout
from nnlab.core.laws import law, one_of
from nnlab.core.layers import Dense, Mode
from nnlab.core.layout import Layout
from nnlab.core.objective import Batch, NetworkObjective, Objective

SCHEMES = ("central", "forward")
_AT_ONCE = 256  # perturbed copies of theta evaluated in one call
_NUMBERS = 1 << 18  # in a work array: what fits a cache

Value = Callable[[Array], Array]
"""Maps theta `(K, P)` to K values."""


@dataclass(frozen=True)
class Numerical:
    """Differences of values: no derivative is ever computed. Slow, and made for float64."""

    scheme: str = "central"
    step: float = 1e-5

    def __post_init__(self) -> None:
        one_of(SCHEMES, scheme=self.scheme)
        law("1e-12 <= step <= 0.1", 1e-12 <= self.step <= 0.1, step=self.step)

    def of(
        self, objective: Objective, theta: Array, batch: Any, grad: Array, work: Workspace
    ) -> Array:
        grad[...] = numerical(objective, theta, batch, self.step, self.scheme)
        return objective(theta, batch, None, work)


def differences(
    value: Value, theta: Array, step: float = 1e-5, scheme: str = "central", at: Array | None = None
) -> Array:
    """dvalue/dtheta_k by differences, for all k of theta `(P,)` or those in `at`."""
    at = np.arange(theta.size) if at is None else at
    grad = np.empty(len(at), theta.dtype)
    here = value(theta[None]) if scheme == "forward" else None
    for start in range(0, len(at), _AT_ONCE):
        chosen = at[start : start + _AT_ONCE]
        offsets = np.zeros((len(chosen), theta.size), theta.dtype)
        offsets[np.arange(len(chosen)), chosen] = step
        above = value(theta + offsets)
        if here is None:
            grad[start : start + _AT_ONCE] = (above - value(theta - offsets)) / (2 * step)
        else:
            grad[start : start + _AT_ONCE] = (above - here) / step
    return grad


def central_differences(value: Value, theta: Array, step: float = 1e-5) -> Array:
    """(value(theta + step e_k) - value(theta - step e_k)) / (2 step), for all k."""
    return differences(value, theta, step)


def forward_differences(value: Value, theta: Array, step: float = 1e-7) -> Array:
    """(value(theta + step e_k) - value(theta)) / step, for all k."""
    return differences(value, theta, step, "forward")


def numerical(
    objective: Objective,
    theta: Array,
    batch: Any,
    step: float = 1e-5,
    scheme: str = "central",
) -> Array:
    """The whole gradient of any objective at theta `(..., P)` by differences."""
    quiet = batch._replace(buffers=None) if isinstance(batch, Batch) else batch
    if isinstance(objective, NetworkObjective):
        grad = np.stack(
            [
                loss_differences(objective, one, quiet, step, scheme)
                for one in theta.reshape(-1, theta.shape[-1])
            ]
        ).reshape(theta.shape)
        return grad + penalty_differences(objective, theta, step, scheme)
    work = Workspace()
    if theta.ndim == 1:
        return differences(lambda t: objective(t, quiet, None, work), theta, step, scheme)
    grad = np.empty_like(theta)  # hyperparameters may differ: all models move together
    here = objective(theta, quiet, None, work)
    for k in range(theta.shape[-1]):
        moved = theta.copy()
        moved[..., k] += step
        above = objective(moved, quiet, None, work)
        moved[..., k] = theta[..., k] - step
        below = objective(moved, quiet, None, work) if scheme == "central" else here
        grad[..., k] = (above - below) / (2 * step if scheme == "central" else step)
    return grad


def penalty_differences(
    objective: NetworkObjective, theta: Array, step: float = 1e-5, scheme: str = "central"
) -> Array:
    """The penalty's gradient at theta `(..., P)` by differences."""
    above = penalty_of_each(objective, theta, step)
    if scheme == "forward":
        return (above - penalty_of_each(objective, theta, 0.0)) / step
    return (above - penalty_of_each(objective, theta, -step)) / (2 * step)


def penalty_of_each(objective: NetworkObjective, theta: Array, offset: float) -> Array:
    """What each weight, moved by `offset`, adds to the penalty `(..., P)`.

    A penalty is a sum over the weights, so each weight is made a model of its own here.
    """
    alone, work = Layout.of({"weight": (1,)}), Workspace()
    values = np.zeros_like(theta)
    for weights in objective.network.layout.weights:
        w = np.moveaxis(theta[..., weights] + offset, -1, 0)[..., None]  # (weights, ..., 1)
        value = np.asarray(objective.penalty.add(w, alone, None, work))
        values[..., weights] = np.moveaxis(np.broadcast_to(value, w.shape[:-1]), 0, -1)
    return values


def loss_differences(
    objective: NetworkObjective,
    theta: Array,
    batch: Batch,
    step: float = 1e-5,
    scheme: str = "central",
    at: Array | None = None,
) -> Array:
    """The gradient of the loss without the penalty at theta `(P,)`, for all k or those in `at`."""
    probe = LossProbe(objective, theta, batch)
    at = np.arange(theta.size) if at is None else at
    above = probe.moved(step, at)
    if scheme == "forward":
        return (above - probe.here) / step
    return (above - probe.moved(-step, at)) / (2 * step)


class LossProbe:
    """The loss of a network on a batch, where one parameter is moved at a time."""

    def __init__(self, objective: NetworkObjective, theta: Array, batch: Batch) -> None:
        self.network, self.loss = objective.network, objective.loss
        self.theta = theta
        self.batch = batch._replace(buffers=None)
        work = Workspace()
        # activations work in place: what a layer put out must be kept before the next one runs
        self._outputs = [batch.x]
        parameters, mode = self.network.layout.views(theta), self._mode()
        for layer in self.network.layers:
            y = layer.forward(parameters, self._outputs[-1].copy(), work, mode)
            self._outputs.append(y.copy())
        self.here = float(self._loss(self._outputs[-1]))

    def moved(self, offset: float, at: Array) -> Array:
        """The loss `(len(at),)` with parameter k at theta_k + offset, for each k in `at`."""
        values = np.empty(len(at), self.theta.dtype)
        for k, layer in enumerate(self.network.layers):
            for name in layer.shapes():
                slot = self.network.layout.slots[name]
                (where,) = np.nonzero((at >= slot.start) & (at < slot.stop))
                inside = at[where] - slot.start
                for part in self._parts(len(where), k):
                    if isinstance(layer, Dense):
                        i, j = np.divmod(inside[part], layer.outputs)
                        inputs = self._outputs[k][:, i].T if name == layer.weight else 1.0
                        values[where[part]] = self._after_dense(k, offset * inputs, j)
                    else:
                        values[where[part]] = self._after_other(k, offset, name, inside[part])
        return values

    def _parts(self, count: int, k: int) -> Iterator[slice]:
        """Slices of `count` parameters of layer k that are moved at once."""
        m = len(self.batch.x)
        widest = max(y.shape[-1] for y in self._outputs[k + 2 :] or self._outputs[-1:])
        size = max(1, _NUMBERS // (m * widest))
        for start in range(0, count, size):
            yield slice(start, start + size)

    def _after_dense(self, k: int, offsets: Array | float, units: Array) -> Array:
        """The loss where unit j of dense layer k's output moves by `offsets`, for each j."""
        layers, outputs = self.network.layers, self._outputs
        moved = outputs[k + 1][:, units].T + offsets  # (c, m)
        following, then = (*layers[k + 1 :], None, None)[:2]
        if isinstance(following, Elementwise) and isinstance(then, Dense):
            change = (
                following.forward({}, np.ascontiguousarray(moved), Workspace())
                - outputs[k + 2][:, units].T
            )
            row = self.network.layout.views(self.theta)[then.weight][units]  # (c, outputs)
            y = change[..., None] * row[:, None, :]
            y += outputs[k + 3]
            return self._from(k + 3, y)
        y = np.repeat(outputs[k + 1][None], len(units), axis=0)
        y[np.arange(len(units)), :, units] = moved
        return self._from(k + 1, y)

    def _from(self, k: int, y: Array) -> Array:
        """The loss where layer k has the input y `(c, m, ...)`."""
        parameters, work, mode = self.network.layout.views(self.theta), Workspace(), self._mode(k)
        for layer in self.network.layers[k:]:
            y = layer.forward(parameters, y, work, mode)
        return self._loss(y)

    def _after_other(self, k: int, offset: float, name: str, inside: Array) -> Array:
        """The loss where number i of the layer's array `name` moves by `offset`, for each i."""
        layer, theirs = self.network.layers[k], self.network.layout.views(self.theta)
        parameters = {own: np.repeat(theirs[own][None], len(inside), 0) for own in layer.shapes()}
        parameters[name].reshape(len(inside), -1)[np.arange(len(inside)), inside] += offset
        y = layer.forward(parameters, self._outputs[k], Workspace(), self._mode(k))
        return self._from(k + 1, y)

    def _loss(self, z: Array) -> Array:
        return self.loss(z, self.batch.y, Workspace(), self.batch.weights)[0]

    def _mode(self, first: int = 0) -> Mode:
        """How layers are run from number `first` on: what those before would draw is drawn."""
        mode = self.network.training_mode(self.batch.seed, None)
        for layer, x in zip(self.network.layers[:first], self._outputs, strict=False):
            if isinstance(layer, Dropout):
                layer.forward({}, x, Workspace(), mode)
        return mode


def relative_error(a: Array, b: Array) -> float:
    """max|a - b| / max(max|a|, max|b|), 0 for two zero arrays."""
    scale = max(float(np.abs(a).max(initial=0)), float(np.abs(b).max(initial=0)))
    return float(np.abs(a - b).max(initial=0)) / scale if scale else 0.0

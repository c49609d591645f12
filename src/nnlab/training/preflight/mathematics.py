"""Checks of the mathematics: is every gradient that of its value, and every value right?"""

from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import product

import numpy as np

from nnlab.core.activations import Activation
from nnlab.core.arrays import Array, Workspace
from nnlab.core.layers import Dense
from nnlab.core.layout import Layout
from nnlab.core.objective import Batch, NetworkObjective
from nnlab.core.penalties import L1, L2, Elastic, NoPenalty, Penalty
from nnlab.training.preflight.differences import compare
from nnlab.training.preflight.line import Line
from nnlab.training.preflight.points import some_rows, somewhere
from nnlab.training.trainer import Training

_ROWS, _COORDINATES = 16, 60


def initial_weights(training: Training) -> Iterator[Line]:
    """The units of a hidden layer differ: where they do not, they stay equal for ever."""
    network = training.network
    views = network.layout.views(training.start().theta)
    hidden = [layer for layer in network.layers if isinstance(layer, Dense)][:-1]
    equal = [
        layer.name
        for layer in hidden
        if layer.outputs > 1 and bool((views[layer.weight] == views[layer.weight][:, :1]).all())
    ]
    if not hidden:
        return
    detail = "the units of each hidden layer differ"
    if equal:
        detail = f"all units of {', '.join(equal)} are equal and stay so: choose initialiser=he"
    yield Line("initial weights", not equal, detail)


def initial_loss(training: Training) -> Iterator[Line]:
    """With an output layer of zeros the loss is what its formula says of scores that are zero."""
    network, loss, work = training.network, training.loss, Workspace()
    theta = training.start().theta.astype(np.float64)
    batch = some_rows(training, 256)
    objective = NetworkObjective(network, loss, NoPenalty())
    actual = float(objective(theta, batch, None, work))
    last = network.layers[-1]
    if isinstance(last, Dense):
        for array in (network.layout.views(theta)[name] for name in last.shapes()):
            array[...] = 0
        outputs, got = last.outputs, float(objective(theta, batch, None, work))
    else:
        outputs = network.forward(theta, batch.x[:1], work)[-1].shape[-1]
        got = float(loss(np.zeros((len(batch.x), outputs)), batch.y, work, batch.weights)[0])
    expected = _at_zero(training, batch, outputs)
    passed = bool(np.isclose(got, expected, rtol=1e-9)) and bool(np.isfinite(actual))
    detail = f"{actual:.4g}; of zero scores {got:.6g}, as by the formula"
    if not passed:
        detail = (
            f"{actual:.4g}; of zero scores {got:.6g}, by the formula {expected:.6g}"
            f" ({got / expected:.4g} times as much; the batch has {len(batch.x)} examples)"
        )
    yield Line("initial loss", passed, detail)


def large_scores(training: Training) -> Iterator[Line]:
    """Scores of -10,000, 0 and 10,000 give a finite loss and gradient."""
    loss, dtype = training.loss, training.experiment.dtype
    classes, last = len(training.splits.classes), training.network.layers[-1]
    outputs = loss.outputs(classes) if classes else training.splits.train.y.shape[1]
    rows = np.array(list(product((-1e4, 0.0, 1e4), repeat=min(outputs, 3))), dtype)
    scores = np.zeros((len(rows), outputs), dtype)
    scores[:, : rows.shape[1]] = rows
    passed = True
    for k in range(min(classes, 3) or 1):
        y = (
            loss.encode(np.full(len(rows), k), classes, dtype)
            if classes
            else np.zeros((len(rows), outputs), dtype)
        )
        z, grads, work = scores.copy(), {}, Workspace()  # type: ignore[var-annotated]
        if isinstance(last, Activation):
            z = last.forward({}, z, work)
        value, dz = loss(z, y, work)
        if isinstance(last, Activation):
            dz = last.backward({}, grads, scores, z, dz.copy(), work, input_needed=True)
        passed &= bool(np.isfinite(value)) and bool(np.isfinite(dz).all())
    detail = "of 10,000 give a finite loss and gradient"
    if not passed:
        detail = "of 10,000 overflow: subtract the largest score before exp"
    yield Line("large scores", passed, detail)


def gradients(training: Training) -> Iterator[Line]:
    """Backpropagation against differences of whole forward passes, array by array, in float64."""
    objective = NetworkObjective(training.network, training.loss, NoPenalty())
    theta, batch, work = somewhere(training), some_rows(training, _ROWS), Workspace()
    analytic = np.full_like(theta, np.nan)  # what is forgotten shows
    objective(theta, batch, analytic, work)
    floor = 1e-3 * float(np.abs(analytic[np.isfinite(analytic)]).max(initial=0))

    def value(theta: Array) -> float:
        return float(objective(theta, batch, None, work))

    for name, slot in training.network.layout.slots.items():
        size = slot.stop - slot.start
        at = np.random.default_rng(0).permutation(size)[:_COORDINATES] + slot.start
        one = compare(value, theta, analytic, at, floor)
        worst = [int(i) for i in np.unravel_index(one.worst - slot.start, slot.shape)]
        detail = f"error {one.error:.1e} of {len(at)} numbers"
        if one.jumps:
            detail += f", {one.jumps} of them on a kink"
        if one.jumps > len(at) / 2:
            detail = "the loss jumps: the same weights and examples must give the same loss"
        elif not np.isfinite(one.analytic):
            detail = f"{one.analytic} at {worst}: does backward write it?"
        elif not one.passed:
            detail = (
                f"{one.analytic:.6g} at {worst}, by differences {one.numerical:.6g}: "
                "see backward and forward from there on"
            )
        yield Line(f"gradient of {name}", one.passed and one.jumps <= len(at) / 2, detail)


def penalty(training: Training) -> Iterator[Line]:
    """It is what its formula says, its gradient that of its value, biases are free, and it is
    added to the loss once."""
    ours, layout = training.experiment.penalty, training.network.layout
    if isinstance(ours, NoPenalty):
        return
    names = [field.name for field in fields(ours)]  # type: ignore[arg-type]
    lambdas = {name: float(np.max(getattr(ours, name))) or 1.0 for name in names}
    once, twice = (
        replace(ours, **{name: k * value for name, value in lambdas.items()})  # type: ignore[type-var]
        for k in (1, 2)
    )
    theta, work = somewhere(training), Workspace()
    weights = np.zeros(theta.shape, bool)
    for name, slot in layout.slots.items():
        weights[slot.start : slot.stop] = name.endswith("weight")
    value, grad = _penalty(once, theta, layout)
    doubled, _ = _penalty(twice, theta, layout)
    expected = _by_formula(once, theta[weights])
    rises = value > 0 and bool(np.isclose(doubled, 2 * value))
    detail = f"{value:.4g}, and twice that with twice the lambda"
    if not rises:
        detail = f"{value:.4g}, but {doubled:.4g} with twice the lambda"
    elif expected is not None and not np.isclose(value, expected):
        rises, detail = False, f"{value:.4g}, by its formula {expected:.4g}"
    yield Line("penalty", rises, detail)

    on_biases, slope = _penalty(once, np.where(weights, 0, theta), layout)
    free = not on_biases and not slope.any()
    detail = "are not penalised" if free else "are penalised: leave them out of the penalty"
    yield Line("biases", free, detail)

    at = np.random.default_rng(0).permutation(np.flatnonzero(weights))[:_COORDINATES]
    one = compare(lambda theta: _penalty(once, theta, layout)[0], theta, grad, at, 0.0)
    detail = f"error {one.error:.1e} of {len(at)} numbers"
    if not one.passed:
        detail = f"{one.analytic:.6g} where differences give {one.numerical:.6g}"
    yield Line("gradient of the penalty", one.passed, detail)

    batch, (plain, whole) = some_rows(training, _ROWS), np.zeros((2, theta.size))
    without = NetworkObjective(training.network, training.loss, NoPenalty())
    added = training.oracle.objective(theta, batch, whole, work)
    added = added - without(theta, batch, plain, Workspace())
    value, grad = _penalty(ours, theta, layout)
    tiny = 1e-9 * float(np.abs(plain).max())
    detail = "the objective and its gradient hold each once"
    once_in_value = bool(np.isclose(added, value, rtol=1e-6))
    once_in_gradient = bool(np.allclose(whole - plain, grad, rtol=1e-6, atol=tiny))
    if not once_in_value:
        detail = f"the objective holds {added:.6g} of the penalty {value:.6g}"
    elif not once_in_gradient:
        detail = "the objective's gradient does not hold the penalty's once: is it overwritten?"
    yield Line("loss + penalty", once_in_value and once_in_gradient, detail)


def _penalty(one: Penalty, theta: Array, layout: Layout) -> tuple[float, Array]:
    grad = np.zeros_like(theta)
    return float(one.add(theta, layout, grad, Workspace())), grad


def _by_formula(one: Penalty, weights: Array) -> float | None:
    """l1 sum|w| + l2 sum w^2, where it is a penalty of that kind."""
    if not isinstance(one, L1 | L2 | Elastic):
        return None
    l1, l2 = (float(np.max(getattr(one, name, 0.0))) for name in ("l1", "l2"))
    return l1 * float(np.abs(weights).sum()) + l2 * float(np.square(weights).sum())


def _at_zero(training: Training, batch: Batch, outputs: int) -> float:
    """The loss of zero scores by its formula, each example by its weight."""
    if batch.weights is None or not batch.weights.sum():
        return training.loss.at_zero(batch.y, outputs) if batch.weights is None else 0.0
    each = [training.loss.at_zero(batch.y[k : k + 1], outputs) for k in range(len(batch.y))]
    return float(np.average(each, weights=batch.weights))

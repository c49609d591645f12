"""Checks of the examples: are they numbers that vary, and is every label where it belongs?"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np

from nnlab.core.arrays import Array, Workspace
from nnlab.data.dataset import Part
from nnlab.data.leaks import told
from nnlab.data.preparation.step import Resampling
from nnlab.data.view import Inputs, View, chunks
from nnlab.training.preflight.line import Line
from nnlab.training.trainer import Training


def data(training: Training) -> Iterator[Line]:
    """Finite inputs that vary, labels in range, every class in the training part."""
    splits, parts = training.splits, training.splits[:3]
    sizes = " + ".join(f"{len(part.x):,}" for part in parts)
    detail = f"{sizes} of {splits.train.x.shape[1]} numbers: training, validation, test"
    finite = all(np.isfinite(x).all() for part in parts for x in chunks(part.x))
    whole = all(
        part.x.shape[1:] == splits.train.x.shape[1:] and len(part.x) == len(part.y) > 0
        for part in parts
    )
    first = splits.train.x[0]
    varied = any((x != first).any() for x in chunks(splits.train.x))
    if not whole:
        detail = f"{sizes}: a part is empty, or its inputs and targets differ in shape"
    elif not finite:
        where = np.concatenate(
            [~np.isfinite(x).all(axis=1) for part in parts for x in chunks(part.x)]
        )
        detail = f"{where.sum():,} of {len(where):,} hold nan or inf: clean the data"
    elif not varied:
        detail = "all training inputs are the same: there is nothing to learn from"
    yield Line("examples", finite and whole and varied, detail)
    if splits.classes:
        yield _labels_in_range(parts, splits.classes)
        return
    targets = np.concatenate([part.y for part in parts])
    finite = bool(np.isfinite(targets).all())
    detail = f"{targets.shape[1]} for each example, from {targets.min():.4g} to {targets.max():.4g}"
    yield Line("targets", finite, detail if finite else "hold nan or inf: clean the data")


def split(training: Training) -> Iterator[Line]:
    """The parts hold every example of the data set once, with the target it has there."""
    source, splits = training.experiment.data, training.splits
    unscaled: dict[str, object] = {"scale": "none"}
    if "standardize_target" in {field.name for field in fields(source)}:
        unscaled["standardize_target"] = False
    raw = replace(source, **unscaled)  # type: ignore[arg-type]
    dataset, plain = raw.load(), raw.split(training.experiment.validation)
    repaired = bool(source.repairs(dataset))  # then targets alone are what they were
    x = View(dataset.x, np.arange(len(dataset.y)), (), plain.train.x.dtype)
    whole = _counted(x, dataset.y, repaired)
    seen = sum((_counted(part.x, part.y, repaired) for part in plain[:3]), Counter[int]())
    strange, lost = sum((seen - whole).values()), max(0, len(dataset.x) - seen.total())
    resampled = any(isinstance(one, Resampling) for one in training.experiment.preparation)
    for part, other in list(zip(splits[:3], plain[:3], strict=True))[resampled:]:
        if splits.classes:
            strange += int((part.y != other.y).sum())
    detail = "each example is in one part, with the target it has in the data set"
    if strange:
        code = f"{type(source).__name__}.split"
        detail = f"{strange:,} examples are in two parts or have another's target: see {code}"
    elif lost:
        detail = f"{lost:,} examples are in no part: are their labels 0 to C - 1 for C classes?"
    yield Line("split", not strange and not lost, detail)


def leaks(training: Training) -> Iterator[Line]:
    """How many examples are judged by though their inputs are trained on.

    That may be as the world is (two flowers of the same size), so the line is green: the number is
    for who knows the data.
    """
    yield Line("leaks", True, told(training.splits.about.leaks))


def labels(training: Training) -> Iterator[Line]:
    """Scores that are right for class c are decided as c, and cost less for c than for others."""
    classes, loss = len(training.splits.classes), training.loss
    if not classes:
        return
    truth = np.arange(classes)
    dtype = np.dtype(np.float64)
    right = np.where(np.eye(classes, dtype=bool), 5.0, -5.0)
    if loss.outputs(classes) == 1:
        right = right[:, 1:]
    decided = bool((loss.decide(right) == truth).all())
    costs = np.empty((classes, classes))
    for k in truth:
        y = loss.encode(np.full(classes, k), classes, dtype)
        costs[:, k] = loss.each(right, y, Workspace())[0]
    cheapest = bool((costs.argmin(axis=1) == truth).all())
    encoded = loss.encode(truth, classes, dtype)
    named = bool((encoded == truth).all()) if encoded.ndim == 1 else True
    name = type(training.experiment.loss).__name__
    detail = "the right score gives the right class and the lowest loss"
    if not decided:
        detail = f"right scores are decided as another class: see {name}.decide"
    elif not (cheapest and named):
        wrong = int(np.argmax(costs.argmin(axis=1) != truth))
        detail = (
            f"right scores for class {training.splits.classes[wrong]} cost least with the label of "
            f"another: see {name}.encode and {name}.each"
        )
    yield Line("labels and loss agree", decided and cheapest and named, detail)


def pairs(x: Array, y: Array, weights: Array | None = None) -> Counter[int]:
    """How often each example is there with each target (and weight)."""
    columns = (x, y) if weights is None else (x, y, weights)
    return Counter(hash(tuple(one.tobytes() for one in row)) for row in zip(*columns, strict=True))


def _counted(x: Inputs, y: Array, targets_alone: bool) -> Counter[int]:
    found: Counter[int] = Counter()
    start = 0
    for block in chunks(x):
        stop = start + len(block)
        found += pairs(block[:, :0] if targets_alone else block, y[start:stop])
        start = stop
    return found


def _labels_in_range(parts: tuple[Part, ...], names: tuple[str, ...]) -> Line:
    classes, train = len(names), parts[0]
    ranged = all(((part.y >= 0) & (part.y < classes)).all() for part in parts)
    counts = Counter(train.y.tolist())
    missing = [name for k, name in enumerate(names) if not counts[k]]
    each = [counts[k] for k in range(classes)]
    detail = f"{classes} classes, {min(each):,} to {max(each):,} training examples of each"
    if not ranged:
        detail = f"a label is not one of 0 to {classes - 1}: count them from 0"
    elif missing:
        detail = f"no training example of {', '.join(missing)}: it cannot be learnt"
    return Line("labels", ranged and not missing, detail)

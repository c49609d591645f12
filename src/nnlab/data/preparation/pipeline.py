"""The preparation as a whole: features, repairs, scaling, then the steps of the config in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError
from nnlab.data.about import about
from nnlab.data.dataset import Dataset, Part, Splits
from nnlab.data.features.feature import Feature
from nnlab.data.features.stack import stacked
from nnlab.data.preparation.scaling import Affine
from nnlab.data.preparation.step import Resampling, Step
from nnlab.data.validation import Division
from nnlab.data.view import Inputs, Transform, View

PREPARING = 5
"""The random stream of the preparation; the trainer and `nnlab.data.batches` have the others."""


@dataclass(frozen=True)
class Preparation:
    """What a config says of it."""

    features: tuple[Feature, ...] = ()
    """What is computed of each image instead of its pixels, one beside the other."""
    steps: tuple[Step | Resampling, ...] = ()
    dtype: str = "float32"
    """What bytes, features of them and numbers on disk are prepared in; floats in memory are in
    float64."""


def prepare(
    dataset: Dataset,
    division: Division,
    preparation: Preparation,
    first: Sequence[Step],
    target: Affine | None,
    seed: int,
) -> Splits:
    """The parts of the division, prepared by the steps `first` and then by those of the config.

    Bytes in memory are held once, and prepared batch by batch where that is cheap.
    """
    _check_classes(dataset, division)
    x = dataset.x
    floats = isinstance(x, np.ndarray) and x.dtype != np.uint8
    fitted: dict[str, Array] = {}
    if preparation.features:
        x, learnt = stacked(dataset, preparation.features, division.train, seed)
        fitted |= {f"features.{key}": one for key, one in learnt.items()}
    views = [View(x, rows, (), np.float64 if floats else preparation.dtype) for rows in division]
    train, y = views[0], dataset.y[division.train]
    weights = None if dataset.weights is None else dataset.weights[division.train]
    transforms: list[Transform] = []
    steps = (*first, *preparation.steps)
    names = [step.name for step in (*preparation.features, *steps)]
    for k, step in enumerate(steps):
        # drawn by name: another step before it changes nothing of what this one draws
        again = sum(other.name == step.name for other in steps[:k])
        rng = np.random.default_rng([seed, PREPARING, crc32(step.name.encode()), again])
        if isinstance(step, Resampling):
            resampled = step.resample(train, y, len(dataset.classes), rng)
            train, y = train.choose(resampled.rows), resampled.y
            weights = None if weights is None else weights[resampled.rows]
            if resampled.added is not None:
                train = _with(train, resampled.added)
                if weights is not None:
                    weights = np.concatenate([weights, np.ones(len(resampled.added))])
        else:
            transform = step.fit(train, rng)
            transforms.append(transform)
            train = train.then(transform)
            fitted |= {f"{k}.{step.name}.{key}": one for key, one in transform.arrays.items()}
    if target:
        fitted |= {f"target.{key}": one for key, one in target.arrays.items()}
    validation, test = (
        Part(
            _held(View(view.of, rows, transforms, view.arithmetic)),
            _scaled(dataset.y[rows], target),
            _chosen(dataset.weights, rows),
        )
        for view, rows in zip(views[1:], division[1:], strict=True)
    )
    return Splits(
        Part(_held(train), _scaled(y, target), weights),
        validation,
        test,
        dataset.classes,
        dataset.fingerprint,
        train.inner,
        fitted,
        about(dataset, division, names),
    )


def _check_classes(dataset: Dataset, division: Division) -> None:
    """Raise `LawError` where a class that the data have is in no training example."""
    classes = len(dataset.classes)
    every, trained = (
        ({int(label) for label in np.unique(y)} for y in (dataset.y, dataset.y[division.train]))
        if classes
        else (set(), set())
    )
    lost = [dataset.classes[label] for label in sorted(every - trained) if 0 <= label < classes]
    if lost:
        raise LawError(
            "`every class has a training example` must hold, but got none of "
            f"{', '.join(lost[:5])}; choose smaller fractions, another split_seed or more examples",
            "train",
        )


def _with(train: View, added: Array) -> View:
    """A view of what `train` shows, followed by the inputs that are added."""
    x = np.concatenate([train[:], added]).reshape(-1, *train.inner)
    return View(x, np.arange(len(x)), (), train.arithmetic)


def _held(view: View) -> Inputs:
    """The view, or what it shows where it is better prepared once than at every step."""
    cheap = view.of.dtype == np.uint8 and all(one.cheap for one in view.transforms)
    return view if cheap or not view.in_memory else view[:]


def _scaled(y: Array, target: Affine | None) -> Array:
    return target(y) if target else y


def _chosen(weights: Array | None, rows: Array) -> Array | None:
    return None if weights is None else weights[rows]

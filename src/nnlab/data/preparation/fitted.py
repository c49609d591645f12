"""Fitted steps made again from what they learnt (`preparation.npz`), without the data."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError
from nnlab.data.features.feature import Feature
from nnlab.data.features.visual_words import Codebook, VisualWords
from nnlab.data.preparation.image_mean import WithoutMean
from nnlab.data.preparation.imputation import Filled
from nnlab.data.preparation.pca import Projection
from nnlab.data.preparation.scaling import Affine
from nnlab.data.preparation.zca import Whitening
from nnlab.data.view import Transform, View

_Made = TypeVar("_Made")

TRANSFORMS: Mapping[str, Callable[..., Transform]] = {
    "imputation": Filled,
    "unit": Affine,
    "standard": Affine,
    "image_mean": WithoutMean,
    "pca": Projection,
    "zca": Whitening,
}
"""What each step makes of its arrays."""
FOR_TRAINING = ("subset", "label_noise", "balance", "smote")
"""The steps that change which examples are trained on, and nothing of any other."""


def transforms(steps: Sequence[str], fitted: Mapping[str, Array]) -> list[Transform]:
    """What the steps of these names, in their order, do to a row.

    Raises `LawError` where a step is not known, or what it learnt is not there.
    """
    made = []
    for k, name in enumerate(steps):
        if name in FOR_TRAINING:
            continue
        if name not in TRANSFORMS:
            raise LawError(
                f"a step of the preparation must be one of {', '.join(TRANSFORMS)}, but got {name}",
                "preparation",
            )
        made.append(_made(TRANSFORMS[name], f"{k}.{name}", fitted))
    return made


def target_scale(fitted: Mapping[str, Array]) -> Affine | None:
    """How the targets of a regression were scaled; None where they were not."""
    there = any(key.startswith("target.") for key in fitted)
    return _made(Affine, "target", fitted) if there else None


def feature(one: Feature, fitted: Mapping[str, Array], shape: Sequence[int]) -> Transform:
    """What the feature makes of images of that shape.

    Raises `LawError` where what it learnt is not there.
    """
    if isinstance(one, VisualWords):

        def codebook(words: Array, mean: Array, matrix: Array) -> Codebook:
            return Codebook(words, Whitening(mean, matrix), one.patch, one.stride)

        return _made(codebook, f"features.{one.name}", fitted)
    if one.learns:
        raise LawError(f"what features={one.name} learnt cannot be made again", "features")
    blank = View(np.zeros((1, *shape), np.uint8), np.arange(1), (), np.float32)
    return one.fit(blank, np.random.default_rng(0))  # it looks at the shape alone


def _made(make: Callable[..., _Made], name: str, fitted: Mapping[str, Array]) -> _Made:
    given = {
        key.removeprefix(f"{name}."): array
        for key, array in fitted.items()
        if key.startswith(f"{name}.")
    }
    try:
        return make(**given)
    except TypeError as error:
        raise LawError(
            f"{name} was fitted, but what it learnt is not there: got {', '.join(given) or 'none'}",
            "preparation",
        ) from error

"""What is told of a data set: its size, its features, its parts and what leaks between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.leaks import Leaks
from nnlab.data.overlap import leaks

if TYPE_CHECKING:
    from nnlab.data.dataset import Dataset
    from nnlab.data.own import Own
    from nnlab.data.validation import Division


@dataclass(frozen=True)
class About:
    """A data set as it is stored, and its parts before they are prepared."""

    origin: str = ""
    """Where it is from, for people."""
    files: int = 0
    """How many files it was read from; 0 where it does not say."""
    own: Mapping[str, Own] = field(default_factory=dict)
    """Those that are the user's own, by the key of the config that names them."""
    inputs: tuple[int, ...] = (0,)
    """The shape of all of them `(n, ...)`."""
    dtype: str = ""
    """That of the inputs."""
    targets: tuple[int, ...] = (0,)
    """The shape of all of them: `(n,)` labels, or `(n, targets)`."""
    target_dtype: str = ""
    names: tuple[str, ...] = ()
    """Of the features, where they have names."""
    kinds: tuple[str, ...] = ()
    """number or category, where not all are numbers."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """The number of examples of each part."""
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """And of each class in it; empty for regression."""
    leaks: Mapping[str, Leaks] | None = None
    """What the validation and the test part share with the training part; None where that was not
    looked for: of data on disk."""
    steps: tuple[str, ...] = ()
    """The names of the preparation's steps, in their order."""


def about(dataset: Dataset, division: Division, steps: Sequence[str]) -> About:
    """What is told of a data set that is divided so, and prepared by these steps."""
    x, y = dataset.x, dataset.y
    parts = division._asdict()
    found = None
    if isinstance(x, np.ndarray):
        train = division.train
        found = {
            name: leaks(x, y, dataset.hashes, train, rows)
            for name, rows in parts.items()
            if rows is not train
        }
    return About(
        dataset.origin,
        len(dataset.files),
        dataset.own,
        x.shape,
        x.dtype.name,
        y.shape,
        y.dtype.name,
        dataset.names,
        dataset.kinds,
        {name: len(rows) for name, rows in parts.items()},
        {name: counted(y[rows], len(dataset.classes)) for name, rows in parts.items()},
        found,
        tuple(steps),
    )


def counted(labels: Array, classes: int) -> tuple[int, ...]:
    """How many there are of each class; nothing of numbers."""
    if not classes:
        return ()
    known = labels[(labels >= 0) & (labels < classes)]
    return tuple(np.bincount(known, minlength=classes).tolist())

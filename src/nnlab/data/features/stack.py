"""All features of a data set, side by side: computed once, then read from disk."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import parent_process

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError
from nnlab.data.cache import cached
from nnlab.data.dataset import Dataset
from nnlab.data.features.feature import Feature, check_images
from nnlab.data.memory import fits
from nnlab.data.view import Transform, View

FEATURES = 7
"""The random stream of what features draw; the preparation and the trainer have the others."""
KIND = "features"
"""The folder of the cache."""
_ROWS = 512
"""So many images are computed at a time."""


def stacked(
    dataset: Dataset, features: Sequence[Feature], train: Array, seed: int
) -> tuple[Array, dict[str, Array]]:
    """The features `(n, k)` of every example, float32, and what was learnt for them, by name.

    What is learnt is learnt from the rows `train` alone. Raises `LawError` where the data are not
    images, or not such as a feature needs, and where the library that computes it is missing.
    """
    check_images(dataset.x)
    columns, learnt = [], {}
    for feature in features:
        column = _Column(dataset, feature, train, seed)
        columns.append(cached(column.key("rows"), column.rows, KIND))
        for name in feature.learns:
            learnt[f"{feature.name}.{name}"] = cached(
                column.key(name), partial(column.learnt, name), KIND
            )
    return np.concatenate(columns, axis=1), learnt


@dataclass(frozen=True)
class _Column:
    """One feature of every example."""

    dataset: Dataset
    feature: Feature
    train: Array
    seed: int

    def key(self, name: str) -> str:
        """SHA-256 of everything that decides the numbers of that name."""
        feature = self.feature
        said = {
            "name": name,
            "data": self.dataset.fingerprint,
            "feature": repr(feature),
            "version": feature.version,
            "libraries": {one: self._version(one) for one in ("numpy", *feature.libraries)},
        }
        if feature.learns:
            said |= {"train": sha256(self.train.tobytes()).hexdigest(), "seed": self.seed}
            said |= {"kernel": _kernel()}
        return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    @cached_property
    def transform(self) -> Transform:
        rng = np.random.default_rng([self.seed, FEATURES])
        return self.feature.fit(View(self.dataset.x, self.train, (), np.float32), rng)

    def learnt(self, name: str) -> Array:
        return self.transform.arrays[name]

    def rows(self) -> Array:
        from rich.console import Console
        from rich.progress import track

        x, n = self.dataset.x, len(self.dataset.y)
        every = View(x, np.arange(n), (self.transform,), np.float32)
        field, cure = f"features.{self.feature.name}", "choose fewer of them"
        fits(every.shape, np.float32, f"the features {self.feature.name}", field, cure)
        out = np.empty(every.shape, np.float32)
        # a terminal has room for the progress of one process
        shown = sys.stderr.isatty() and parent_process() is None
        for start in track(
            range(0, n, _ROWS),
            f"computing {self.feature.name}",
            console=Console(stderr=True),
            transient=True,
            disable=not shown,
        ):
            out[start : start + _ROWS] = every[start : start + _ROWS]
        return out

    def _version(self, library: str) -> str:
        try:
            return version(library)
        except PackageNotFoundError as error:
            name = self.feature.name
            raise LawError(
                f"features=[{name}] needs {library}, which is not installed; "
                "install it with pip install 'nnlab[features]', or leave that feature out",
                "features",
            ) from error


def _kernel() -> list[str]:
    """What multiplies matrices here: another kernel rounds otherwise."""
    from threadpoolctl import threadpool_info

    blas = [one for one in threadpool_info() if one["user_api"] == "blas"]
    return sorted({f"{one['internal_api']} {one.get('architecture')}" for one in blas})

"""A bag of visual words: which small patterns an image has, and in which quarter of it."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError, law
from nnlab.data.preparation.needs import check_covariance
from nnlab.data.preparation.zca import Whitening, whitened
from nnlab.data.view import Transform, View

CONTRAST, WHITENING = 10.0, 0.1
"""Added to the variance of a patch, and to those of the patches' whitening: as in the paper."""
_ITERATIONS = 30
_IMAGES = 32
"""So many images are computed at a time: their patches fit a cache."""


@dataclass(frozen=True)
class VisualWords:
    """How near the patches of each quarter of an image are to each word of a codebook.

    Patches are normalised (brightness and contrast) and whitened; the words are the means of a
    k-means of patches of the training images. A patch at the distances z from the words counts
    max(0, mean(z) - z) for each; k = 4 * words, the means over the patches of a quarter. Coates,
    Lee & Ng 2011, "An analysis of single-layer networks in unsupervised feature learning", who
    find this better than counting the nearest word; the k-means is scikit-learn's.
    """

    words: int = 200
    patch: int = 6
    """The side of a patch."""
    stride: int = 2
    """From one patch to the next."""
    sample: int = 50_000
    """The number of patches, drawn from the training images, that the words are learnt from."""

    name: ClassVar[str] = "visual_words"
    version: ClassVar[int] = 1
    libraries: ClassVar[tuple[str, ...]] = ("scikit-learn",)
    learns: ClassVar[tuple[str, ...]] = ("words", "mean", "matrix")

    def __post_init__(self) -> None:
        law("2 <= words <= sample", 2 <= self.words <= self.sample, words=self.words)
        law("patch >= 2", self.patch >= 2, patch=self.patch)
        law("stride >= 1", self.stride >= 1, stride=self.stride)

    def fit(self, train: View, rng: np.random.Generator) -> Transform:
        """Learn the words. Raises `LawError` where the images have no room for two patches in
        each direction, too few different ones, or too large ones for the memory."""
        height, width = train.inner[:2]
        if self.patch + self.stride > min(height, width):
            raise LawError(
                "`patch + stride <= height, width` must hold, but got "
                f"{self.patch} + {self.stride} for images of {height} x {width}",
                "features.visual_words.patch",
            )
        size = self.patch**2 * prod(train.inner[2:])
        where = "features.visual_words.patch"
        cure = "choose fewer or smaller ones"
        check_covariance((self.sample, size), np.float32, "the patches", where, cure)
        from threadpoolctl import threadpool_limits

        sample = normalized(np.concatenate(list(self._drawn(train, rng))))
        with threadpool_limits(1):  # sums over several threads are rounded in another order
            whitening = whitened(sample.copy(), WHITENING)
            centres = self._centres(whitening(sample), int(rng.integers(2**31)))
        return Codebook(centres, whitening, self.patch, self.stride)

    def _drawn(self, train: View, rng: np.random.Generator) -> Iterator[Array]:
        """Patches `(m, size)` from random places, as many from each of some random images."""
        images = min(len(train), self.sample)
        each = -(-self.sample // images)
        chosen = np.sort(rng.choice(len(train), images, replace=False))
        for block in train.choose(chosen).blocks():
            every = windows(block, self.patch, 1)
            rows, columns = every.shape[1:3]
            m = np.arange(len(block)).repeat(each)
            at = rng.integers(rows, size=len(m)), rng.integers(columns, size=len(m))
            yield every[m, *at].reshape(len(m), -1)

    def _centres(self, patches: Array, seed: int) -> Array:
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning

        means = KMeans(self.words, n_init=1, max_iter=_ITERATIONS, random_state=seed)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", ConvergenceWarning)
                return np.asarray(means.fit(patches).cluster_centers_)
        except ConvergenceWarning as error:
            raise LawError(
                "`there are at least as many different patches as words` must hold, but got "
                f"words={self.words}; choose fewer",
                "features.visual_words.words",
            ) from error


@dataclass(frozen=True)
class Codebook:
    """Images `(m, height, width[, channels])` of 0 to 255 to rows `(m, 4 * words)`."""

    words: Array
    """`(words, size)`, as whitened patches are."""
    whitening: Whitening
    patch: int
    stride: int

    cheap: ClassVar[bool] = False

    @property
    def arrays(self) -> dict[str, Array]:
        return {"words": self.words, **self.whitening.arrays}

    def __call__(self, x: Array) -> Array:
        from threadpoolctl import threadpool_limits

        out = np.empty((len(x), 4 * len(self.words)), x.dtype)
        with threadpool_limits(1):
            for start in range(0, len(x), _IMAGES):
                out[start : start + _IMAGES] = self._pooled(x[start : start + _IMAGES])
        return out

    def _pooled(self, x: Array) -> Array:
        every = windows(x, self.patch, self.stride)
        m, rows, columns = every.shape[:3]
        counts = self._counts(every.reshape(m * rows * columns, -1))
        counts = counts.reshape(m, rows, columns, -1)
        return np.concatenate(
            [
                quarter.mean(axis=(1, 2))
                for half in np.array_split(counts, 2, axis=1)
                for quarter in np.array_split(half, 2, axis=2)
            ],
            axis=1,
        )

    def _counts(self, patches: Array) -> Array:
        """max(0, mean(z) - z) `(m, words)` with the distances z of each patch from the words."""
        z = self.whitening(normalized(patches))
        words = self.words.astype(z.dtype)
        distances = z @ words.T
        distances *= -2
        distances += np.square(z).sum(axis=1, keepdims=True)
        distances += np.square(words).sum(axis=1)
        np.sqrt(np.maximum(distances, 0, out=distances), out=distances)
        np.subtract(distances.mean(axis=1, keepdims=True), distances, out=distances)
        return np.asarray(np.maximum(distances, 0, out=distances))


def windows(x: Array, side: int, stride: int) -> Array:
    """The patches of images `(m, height, width[, channels])`: a view `(m, rows, columns, ...)`."""
    every = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
    return every[:, ::stride, ::stride]


def normalized(patches: Array) -> Array:
    """Patches `(m, size)` less their mean, by their deviation."""
    centred = patches - patches.mean(axis=1, keepdims=True)
    centred /= np.sqrt(centred.var(axis=1, keepdims=True) + patches.dtype.type(CONTRAST))
    return np.asarray(centred)

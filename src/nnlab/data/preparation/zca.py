"""Whitening that keeps the axes: images stay images."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import law
from nnlab.data.preparation.needs import for_covariance
from nnlab.data.view import Transform, View


@dataclass(frozen=True)
class ZCA:
    """W (x - mean) with W = V (D + epsilon)^-1/2 V^T of the covariance V D V^T: features without
    correlation, and as near to the old ones as that allows.

    Bell & Sejnowski 1997, "The 'independent components' of natural scenes are edge filters".
    """

    epsilon: float = 0.01
    """Added to each variance: directions that hardly vary are not blown up. In units of x^2."""

    name: ClassVar[str] = "zca"

    def __post_init__(self) -> None:
        law("epsilon > 0", self.epsilon > 0, epsilon=self.epsilon)

    def fit(self, train: View, rng: np.random.Generator) -> Transform:
        """The mean and the matrix W. Raises `LawError` where the training part is not in memory or
        its covariance would not fit there."""
        return whitened(for_covariance(self.name, train), self.epsilon)


def whitened(x: Array, epsilon: float) -> "Whitening":
    """The whitening of rows x `(n, features)`, fitted in their dtype; x is overwritten."""
    mean = x.mean(axis=0, dtype=np.float64)
    x -= mean.astype(x.dtype)
    covariance = x.T @ x
    covariance /= len(x)
    variances, directions = np.linalg.eigh(covariance)
    scaled = directions / np.sqrt(np.maximum(variances, 0) + x.dtype.type(epsilon))
    return Whitening(mean, scaled @ directions.T)


@dataclass(frozen=True)
class Whitening:
    """(x - mean) @ matrix; of the shape that x has."""

    mean: Array
    """`(features,)`"""
    matrix: Array
    """`(features, features)`, symmetric."""

    cheap: ClassVar[bool] = False

    @property
    def arrays(self) -> dict[str, Array]:
        return {"mean": self.mean, "matrix": self.matrix}

    def __call__(self, x: Array) -> Array:
        rows = x.reshape(len(x), -1) - self.mean.astype(x.dtype)
        return np.asarray(rows @ self.matrix.astype(x.dtype, copy=False)).reshape(x.shape)

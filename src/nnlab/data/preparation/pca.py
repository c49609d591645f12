"""Principal components: fewer features, without correlation."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import LawError, law
from nnlab.data.preparation.needs import for_covariance
from nnlab.data.view import Transform, View


@dataclass(frozen=True)
class PCA:
    """(x - mean) @ directions: the directions in which the training part varies most, in order.

    With `whiten` each is divided by its standard deviation. Hotelling 1933, "Analysis of a complex
    of statistical variables into principal components"; computed by scikit-learn from the
    covariance. Of the two signs of a direction that is taken which makes its largest number
    positive.
    """

    components: int = 50
    whiten: bool = False

    name: ClassVar[str] = "pca"

    def __post_init__(self) -> None:
        law("components >= 1", self.components >= 1, components=self.components)

    def fit(self, train: View, rng: np.random.Generator) -> Transform:
        """Raises `LawError` where there are fewer features or examples than components, and where
        the training part is not in memory or the covariance would not fit there."""
        n, features = train.shape
        if self.components > min(n, features):
            raise LawError(
                "`components <= examples, features` must hold, but got "
                f"components={self.components} for {n} training examples of {features} features",
                "preparation.pca.components",
            )
        from sklearn import decomposition

        x = for_covariance(self.name, train)
        mean = x.mean(axis=0, dtype=np.float64)
        x -= mean.astype(x.dtype)  # or else its square would cancel in the covariance
        fitted = decomposition.PCA(
            self.components, whiten=self.whiten, svd_solver="covariance_eigh", copy=False
        ).fit(x)
        variance = fitted.explained_variance_
        directions = fitted.components_.T
        if self.whiten:
            # what does not vary is not blown up; scikit-learn bounds the root of it, at eps
            directions = directions / np.sqrt(np.maximum(variance, np.finfo(x.dtype).eps))
        return Projection(mean, np.ascontiguousarray(directions), variance)


@dataclass(frozen=True)
class Projection:
    """(x - mean) @ directions: rows `(m, components)`."""

    mean: Array
    """`(features,)`"""
    directions: Array
    """`(features, components)`"""
    variance: Array
    """Of the training part along each direction `(components,)`."""

    cheap: ClassVar[bool] = False

    @property
    def arrays(self) -> dict[str, Array]:
        return {"mean": self.mean, "directions": self.directions, "variance": self.variance}

    def __call__(self, x: Array) -> Array:
        rows = x.reshape(len(x), -1) - self.mean.astype(x.dtype)
        return np.asarray(rows @ self.directions.astype(x.dtype, copy=False))

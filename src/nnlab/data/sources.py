"""Data sets by name. All of these come with scikit-learn: real data, no download.

Their files are read directly, for `import sklearn` takes longer than a whole training.
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import law, one_of
from nnlab.data.dataset import Dataset, Part, Splits
from nnlab.data.scaling import SCALINGS, Scaler
from nnlab.data.validation import Holdout, Validation


@dataclass(frozen=True)
class Source:
    """A data set and how it is divided and scaled."""

    scale: str = "standard"
    """none, unit (all features to [0, 1] together) or standard (mean 0, deviation 1 each)."""
    test: float = 0.15
    split_seed: int = 0

    def __post_init__(self) -> None:
        one_of(SCALINGS, scale=self.scale)
        law("0 < test < 1", 0 < self.test < 1, test=self.test)
        law("split_seed >= 0", self.split_seed >= 0, split_seed=self.split_seed)

    def load(self) -> Dataset:
        """The whole data set, as it is published."""
        raise NotImplementedError

    def split(self, validation: Validation = Holdout()) -> Splits:
        """The data set divided, and scaled by what the training part alone tells."""
        dataset = self.load()
        division = validation.divide(dataset, self.test, self.split_seed)
        scale_x = SCALINGS[self.scale](dataset.x[division.train])
        scale_y = self.target_scaler(dataset.y[division.train])
        train, held_out, test = (
            Part(scale_x(dataset.x[rows]), scale_y(dataset.y[rows]), _chosen(dataset.weights, rows))
            for rows in division
        )
        return Splits(train, held_out, test, dataset.classes, dataset.fingerprint)

    def target_scaler(self, train: Array) -> Scaler:
        """How targets are scaled: labels are not."""
        return SCALINGS["none"](train)


@dataclass(frozen=True)
class Digits(Source):
    """1,797 handwritten digits, 8x8 pixels of 0 to 16, ten classes."""

    scale: str = "unit"

    def load(self) -> Dataset:
        table = _read("digits.csv.gz", delimiter=",")
        return Dataset(table[:, :-1], table[:, -1].astype(np.int64), tuple("0123456789"))


@dataclass(frozen=True)
class Iris(Source):
    """150 flowers, four lengths in cm, three species."""

    def load(self) -> Dataset:
        table = _read("iris.csv", delimiter=",", skiprows=1)
        species = ("setosa", "versicolor", "virginica")
        return Dataset(table[:, :-1], table[:, -1].astype(np.int64), species)


@dataclass(frozen=True)
class BreastCancer(Source):
    """569 biopsies, 30 measures of cell nuclei, malignant or benign."""

    def load(self) -> Dataset:
        table = _read("breast_cancer.csv", delimiter=",", skiprows=1)
        return Dataset(table[:, :-1], table[:, -1].astype(np.int64), ("malignant", "benign"))


@dataclass(frozen=True)
class Diabetes(Source):
    """442 patients, ten measures; the target is the disease's progression after a year."""

    standardize_target: bool = True
    """Train on (y - mean) / deviation of the training part: losses are then in that unit."""

    def load(self) -> Dataset:
        return Dataset(_read("diabetes_data_raw.csv.gz"), _read("diabetes_target.csv.gz")[:, None])

    def target_scaler(self, train: Array) -> Scaler:
        return SCALINGS["standard" if self.standardize_target else "none"](train)


def _chosen(weights: Array | None, rows: Array) -> Array | None:
    return None if weights is None else weights[rows]


@cache
def _read(file: str, delimiter: str | None = None, skiprows: int = 0) -> Array:
    """A table of numbers from scikit-learn's folder, found without importing it."""
    spec = find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"{file} comes with scikit-learn, which is not installed")
    path = Path(spec.submodule_search_locations[0], "datasets", "data", file)
    table = np.loadtxt(path, delimiter=delimiter, skiprows=skiprows)
    table.flags.writeable = False  # every fold reads the same one
    return table

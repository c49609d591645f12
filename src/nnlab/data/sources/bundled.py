"""The data sets that come with scikit-learn: real data, no download.

Their files are read directly, for `import sklearn` takes longer than a whole training.
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.dataset import Dataset
from nnlab.data.preparation.scaling import Affine, standardized
from nnlab.data.sources.named import Facts, Named

_LENGTHS = ("length", "width")
_WINE = (
    *("alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols"),
    *("flavanoids", "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue"),
    *("od280/od315_of_diluted_wines", "proline"),
)
_NUCLEUS = (
    *("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity"),
    *("concave points", "symmetry", "fractal dimension"),
)
_DIABETES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")


@dataclass(frozen=True)
class Digits(Named):
    """1,797 handwritten digits, 8x8 pixels of 0 to 16, ten classes."""

    scale: str = "unit"

    name: ClassVar[str] = "digits"
    facts: ClassVar[Facts] = Facts(1797, (8, 8), 10)

    def load(self) -> Dataset:
        table = _read("digits.csv.gz", delimiter=",")
        images = table[:, :-1].reshape(-1, 8, 8)
        return Dataset(images, table[:, -1].astype(np.int64), tuple("0123456789"))


@dataclass(frozen=True)
class Iris(Named):
    """150 flowers, four lengths in cm, three species."""

    name: ClassVar[str] = "iris"
    facts: ClassVar[Facts] = Facts(150, (4,), 3)

    def load(self) -> Dataset:
        table = _read("iris.csv", delimiter=",", skiprows=1)
        species = ("setosa", "versicolor", "virginica")
        names = tuple(f"{part} {of} (cm)" for part in ("sepal", "petal") for of in _LENGTHS)
        return Dataset(table[:, :-1], table[:, -1].astype(np.int64), species, names=names)


@dataclass(frozen=True)
class Wine(Named):
    """178 wines, 13 chemical measures, three cultivars."""

    name: ClassVar[str] = "wine"
    facts: ClassVar[Facts] = Facts(178, (13,), 3)

    def load(self) -> Dataset:
        table = _read("wine_data.csv", delimiter=",", skiprows=1)
        cultivars = ("class_0", "class_1", "class_2")
        return Dataset(table[:, :-1], table[:, -1].astype(np.int64), cultivars, names=_WINE)


@dataclass(frozen=True)
class BreastCancer(Named):
    """569 biopsies, 30 measures of cell nuclei, malignant or benign."""

    name: ClassVar[str] = "breast_cancer"
    facts: ClassVar[Facts] = Facts(569, (30,), 2)

    def load(self) -> Dataset:
        table = _read("breast_cancer.csv", delimiter=",", skiprows=1)
        kinds = ("malignant", "benign")
        names = [f"mean {one}" for one in _NUCLEUS]
        names += [f"{one} error" for one in _NUCLEUS]
        names += [f"worst {one}" for one in _NUCLEUS]
        return Dataset(table[:, :-1], table[:, -1].astype(np.int64), kinds, names=tuple(names))


@dataclass(frozen=True)
class Diabetes(Named):
    """442 patients, ten measures; the target is the disease's progression after a year."""

    standardize_target: bool = True
    """Train on (y - mean) / deviation of the training part: losses are then in that unit."""

    name: ClassVar[str] = "diabetes"
    facts: ClassVar[Facts] = Facts(442, (10,), 0)

    def load(self) -> Dataset:
        x, y = _read("diabetes_data_raw.csv.gz"), _read("diabetes_target.csv.gz")
        return Dataset(x, y[:, None], names=_DIABETES)

    def target_scaler(self, train: Array) -> Affine | None:
        return standardized(train) if self.standardize_target else None


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

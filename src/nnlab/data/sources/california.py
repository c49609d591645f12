"""California housing: what houses cost in 1990, by the census block they stand in."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data import catalogue
from nnlab.data.catalogue import Published
from nnlab.data.dataset import Dataset
from nnlab.data.formats.archive import read_members
from nnlab.data.home import require
from nnlab.data.preparation.scaling import Affine, standardized
from nnlab.data.sources.named import Facts, Named
from nnlab.errors import UserError, first_line

ROWS, COLUMNS = 20_640, 9
MEMBER = "CaliforniaHousing/cal_housing.data"
LIMIT = 1 << 23
"""Bytes of text; the published table has less than 2 million."""
LONGITUDE, LATITUDE, AGE, ROOMS, BEDROOMS, POPULATION, HOUSEHOLDS, INCOME, VALUE = range(COLUMNS)


@dataclass(frozen=True)
class CaliforniaHousing(Named):
    """20,640 census blocks, eight features; the target is the median price in 100,000 dollars.

    Pace & Barry 1997, "Sparse spatial autoregressions". Rooms, bedrooms and people are per
    household, as scikit-learn has them.
    """

    standardize_target: bool = True
    """Train on (y - mean) / deviation of the training part: losses are then in that unit."""

    name: ClassVar[str] = "california_housing"
    facts: ClassVar[Facts] = Facts(ROWS, (8,), 0)
    published: ClassVar[Published] = catalogue.CALIFORNIA_HOUSING

    def load(self) -> Dataset:
        ((path,),) = require(self.name, self.published).values()
        table = read_table(path)
        households = table[:, HOUSEHOLDS]
        columns = {
            "MedInc": table[:, INCOME],
            "HouseAge": table[:, AGE],
            "AveRooms": table[:, ROOMS] / households,
            "AveBedrms": table[:, BEDROOMS] / households,
            "Population": table[:, POPULATION],
            "AveOccup": table[:, POPULATION] / households,
            "Latitude": table[:, LATITUDE],
            "Longitude": table[:, LONGITUDE],
        }
        x = np.stack(list(columns.values()), axis=1)
        y = table[:, VALUE, None] / 100_000
        return Dataset(x, y, names=tuple(columns), origin=str(path))

    def target_scaler(self, train: Array) -> Affine | None:
        return standardized(train) if self.standardize_target else None


def read_table(path: Path) -> Array:
    """The published table `(20640, 9)`, from the archive or unpacked; raises `UserError`."""
    if path.suffix == ".tgz":
        content = read_members(path, [MEMBER], LIMIT)[MEMBER]
    else:
        with path.open("rb") as file:
            content = file.read(LIMIT)
    if not content.strip():
        raise UserError(f"{path} must have the shape {(ROWS, COLUMNS)}, but is empty")
    try:
        table = np.loadtxt(BytesIO(content), delimiter=",", ndmin=2)
    except ValueError as error:  # it names the row
        raise UserError(f"{path} is not the table of numbers: {first_line(error)}") from error
    if table.shape != (ROWS, COLUMNS):
        raise UserError(f"{path} must have the shape {(ROWS, COLUMNS)}, but has {table.shape}")
    wrong = np.flatnonzero(~np.isfinite(table).all(axis=1) | (table[:, HOUSEHOLDS] <= 0))
    if len(wrong):
        raise UserError(f"{path}, line {wrong[0] + 1} must have finite numbers and households > 0")
    return table

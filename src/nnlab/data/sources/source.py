"""What a source is: a data set by name or file, and how it is divided and scaled."""

from dataclasses import dataclass
from pathlib import Path

from nnlab.core.arrays import Array
from nnlab.core.laws import law, one_of
from nnlab.data.dataset import Dataset, Splits
from nnlab.data.preparation.pipeline import Preparation, prepare
from nnlab.data.preparation.scaling import SCALINGS, Affine
from nnlab.data.preparation.step import Step
from nnlab.data.validation import Holdout, Validation, check_division


@dataclass(frozen=True)
class Source:
    """A data set and how it is divided and scaled."""

    scale: str = "standard"
    """none, unit (all features to [0, 1] together) or standard (mean 0, deviation 1 each)."""
    test: float = 0.15
    """The fraction that is for testing; 0 where the data name their own test part."""
    split_seed: int = 0

    def __post_init__(self) -> None:
        one_of(SCALINGS, scale=self.scale)
        law("0 <= test < 1", 0 <= self.test < 1, test=self.test)
        law("split_seed >= 0", self.split_seed >= 0, split_seed=self.split_seed)

    def load(self) -> Dataset:
        """The whole data set, as it is published."""
        raise NotImplementedError

    @property
    def own(self) -> dict[str, Path]:
        """The files and folders of the user's own that it reads, by the fields that name them."""
        return {}

    def split(
        self, validation: Validation = Holdout(), preparation: Preparation = Preparation()
    ) -> Splits:
        """The data set divided, and prepared by what the training part alone tells."""
        dataset = self.load()
        division = validation.divide(dataset, self.test, self.split_seed)
        check_division(division, dataset)
        first = [*self.repairs(dataset), *filter(None, [SCALINGS[self.scale]])]
        target = self.target_scaler(dataset.y[division.train])
        return prepare(dataset, division, preparation, first, target, self.split_seed)

    def repairs(self, dataset: Dataset) -> list[Step]:
        """What has to be done to the inputs before they are scaled."""
        return []

    def target_scaler(self, train: Array) -> Affine | None:
        """How targets are scaled: labels are not."""
        return None

"""MNIST and the data sets that are published as it is: 60,000 and 10,000 images of 28 x 28."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.laws import law
from nnlab.data import catalogue
from nnlab.data.catalogue import IMAGES, LABELS, TEST_IMAGES, TEST_LABELS, Published
from nnlab.data.dataset import REST, TEST, Dataset
from nnlab.data.formats import idx
from nnlab.data.home import require
from nnlab.data.sources.named import Facts, Named
from nnlab.data.sources.once import once
from nnlab.data.stream.joined import Joined
from nnlab.data.stream.records import idx_records
from nnlab.data.view import Stored
from nnlab.errors import UserError

TRAINING, TESTING = 60_000, 10_000


@dataclass(frozen=True)
class LikeMNIST(Named):
    """Images of bytes, those for training and then those for testing."""

    scale: str = "unit"
    test: float = 0.0
    window: int = 0
    """So many images are shuffled together, read from disk in the background; 0: all in memory."""

    facts: ClassVar[Facts] = Facts(TRAINING + TESTING, (28, 28), 10)
    published: ClassVar[Published]
    classes: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        super().__post_init__()
        law("window >= 0", self.window >= 0, window=self.window)

    def load(self) -> Dataset:
        found = require(self.name, self.published)
        paths = [found[f"{name}.gz"][0] for name in (IMAGES, LABELS, TEST_IMAGES, TEST_LABELS)]
        read = _streamed if self.window else _read
        return once(self, paths, lambda: read(paths, self))


@dataclass(frozen=True)
class MNIST(LikeMNIST):
    """70,000 handwritten digits, 28x28 pixels, ten classes; 10,000 are for testing.

    LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document recognition".
    """

    name: ClassVar[str] = "mnist"
    published: ClassVar[Published] = catalogue.MNIST
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")


@dataclass(frozen=True)
class FashionMNIST(LikeMNIST):
    """70,000 pieces of clothing, 28x28 pixels, ten classes; 10,000 are for testing.

    Xiao, Rasul & Vollgraf 2017, "Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms".
    """

    name: ClassVar[str] = "fashion_mnist"
    published: ClassVar[Published] = catalogue.FASHION_MNIST
    classes: ClassVar[tuple[str, ...]] = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )


@dataclass(frozen=True)
class KMNIST(LikeMNIST):
    """70,000 characters of old Japanese, 28x28 pixels, ten classes; 10,000 are for testing.

    Clanuwat et al. 2018, "Deep learning for classical Japanese literature".
    """

    name: ClassVar[str] = "kmnist"
    published: ClassVar[Published] = catalogue.KMNIST
    classes: ClassVar[tuple[str, ...]] = (
        *("o", "ki", "su", "tsu", "na"),
        *("ha", "ma", "ya", "re", "wo"),
    )


def read_part(images: Path, labels: Path, size: int, classes: int) -> tuple[Array, Array]:
    """Images `(size, 28, 28)` of bytes, and their labels `(size,)`, from two IDX files.

    Raises `UserError` where the files are something else.
    """
    x = idx.read(images, (size, 28, 28))
    _check_bytes(images, x.dtype)
    return x, _labels(labels, size, classes)


def _labels(path: Path, size: int, classes: int) -> Array:
    y = idx.read(path, (size,))
    _check_bytes(path, y.dtype)
    if y.max() >= classes:
        k = int(y.argmax())
        raise UserError(f"{path}: `label < {classes}` must hold, but label {k:,} is {y[k]}")
    return y.astype(np.int64)


def _check_bytes(path: Path, dtype: np.dtype[Any]) -> None:
    if dtype != np.uint8:
        raise UserError(f"{path} must hold bytes, but holds {dtype.name}")


def _read(paths: Sequence[Path], source: LikeMNIST) -> Dataset:
    images, labels, test_images, test_labels = paths
    classes = len(source.classes)
    x, y = read_part(images, labels, TRAINING, classes)
    test_x, test_y = read_part(test_images, test_labels, TESTING, classes)
    return _dataset(source, np.concatenate([x, test_x]), np.concatenate([y, test_y]), images)


def _streamed(paths: Sequence[Path], source: LikeMNIST) -> Dataset:
    """The same data set; its images stay in their files."""
    images, labels, test_images, test_labels = paths
    classes = len(source.classes)
    x = []
    for path, size in ((images, TRAINING), (test_images, TESTING)):
        x.append(idx_records(path, source.window, (size, 28, 28)))
        _check_bytes(path, x[-1].dtype)
    y = _labels(labels, TRAINING, classes), _labels(test_labels, TESTING, classes)
    return _dataset(source, Joined(x), np.concatenate(y), images)


def _dataset(source: LikeMNIST, x: Array | Stored, y: Array, images: Path) -> Dataset:
    parts = np.repeat(np.array([REST, TEST], np.int8), [TRAINING, TESTING])
    return Dataset(x, y, source.classes, parts=parts, origin=str(images.parent))

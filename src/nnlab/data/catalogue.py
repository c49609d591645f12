"""The catalogue: which files the data sets that are fetched are published as, and where.

Sizes and SHA-256 are those that TensorFlow Datasets (`url_checksums`) and, of California housing,
scikit-learn (`fetch_california_housing`) check downloads by.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """A file as it is published."""

    name: str
    size: int
    sha256: str
    urls: tuple[str, ...]
    """Where it can be had, the first that should be tried first."""
    holds: tuple[str, ...]
    """The names of what is compressed in it; all of these do as well."""


@dataclass(frozen=True)
class Published:
    """The files of a data set."""

    folders: tuple[str, ...]
    """The folders in which people have them; what is fetched goes to the first."""
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """The bytes of all files together."""
        return sum(file.size for file in self.files)


IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def _like_mnist(mirrors: tuple[str, ...], *files: tuple[str, int, str]) -> tuple[File, ...]:
    return tuple(
        File(f"{name}.gz", size, sha256, tuple(f"{url}{name}.gz" for url in mirrors), (name,))
        for name, size, sha256 in files
    )


MNIST = Published(
    ("mnist", "MNIST/raw"),
    _like_mnist(
        (
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
        (IMAGES, 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        (LABELS, 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        (TEST_IMAGES, 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        (TEST_LABELS, 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
)

FASHION_MNIST = Published(
    ("fashion_mnist", "fashion-mnist", "FashionMNIST/raw"),
    _like_mnist(
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        (IMAGES, 26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        (LABELS, 29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        (TEST_IMAGES, 4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        (TEST_LABELS, 5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
)

KMNIST = Published(
    ("kmnist", "KMNIST/raw"),
    _like_mnist(
        (
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        ),
        (IMAGES, 18165135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
        (LABELS, 29497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
        (TEST_IMAGES, 3041136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
        (TEST_LABELS, 5120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
    ),
)

BATCHES = (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin")

CIFAR10 = Published(
    ("cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin", "."),
    (
        File(
            "cifar-10-binary.tar.gz",
            170052171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            (
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
            ),
            BATCHES,
        ),
    ),
)

CALIFORNIA_HOUSING = Published(
    ("california_housing", "CaliforniaHousing", "."),
    (
        File(
            "cal_housing.tgz",
            441963,
            "aaa5c9a6afe2225cc2aed2723682ae403280c4a3695a2ddda4ffb5d8215ea681",
            (
                "https://ndownloader.figshare.com/files/5976036",
                "https://www.dcc.fc.up.pt/~ltorgo/Regression/cal_housing.tgz",
            ),
            ("cal_housing.data",),
        ),
    ),
)

import gzip
import os
import struct

import numpy as np
import pytest

from nnlab.data import fingerprint
from nnlab.data.catalogue import IMAGES, LABELS, TEST_IMAGES, TEST_LABELS
from nnlab.data.dataset import REST, TEST
from nnlab.data.sources.mnist import KMNIST, MNIST, FashionMNIST
from nnlab.data.validation import Holdout
from nnlab.errors import UserError

CLASSES = {MNIST: "5", FashionMNIST: "Sandal", KMNIST: "ha"}
"""The name of the label 5 of each."""


def header(*shape):
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)


def write(folder, compressed=True, **files):
    """Files that are published so, with images of noise."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    labels = {LABELS: 60_000, TEST_LABELS: 10_000}
    for name, number in {IMAGES: 60_000, TEST_IMAGES: 10_000, **labels}.items():
        if name in labels:
            content = header(number) + (np.arange(number) % 10).astype(np.uint8).tobytes()
        else:
            content = header(number, 28, 28) + rng.bytes(784) + bytes(784 * (number - 1))
        content = files.get(name, content)
        path = folder / (f"{name}.gz" if compressed else name)
        path.write_bytes(gzip.compress(content, 1) if compressed else content)


@pytest.mark.parametrize("compressed", [True, False], ids=["gz", "not gz"])
@pytest.mark.parametrize("source", CLASSES, ids=lambda cls: cls.name)
def test_training_images_then_test_images(source, compressed, data_home):
    write(data_home / source.published.folders[-1], compressed)
    dataset = source().load()
    assert (dataset.x.shape, dataset.x.dtype) == ((70_000, 28, 28), np.uint8)
    assert dataset.x[0].any() and dataset.x[60_000].any() and not dataset.x[1:60_000].any()
    assert dataset.y.tolist() == [
        *(k % 10 for k in range(60_000)),
        *(k % 10 for k in range(10_000)),
    ]
    assert dataset.parts.tolist() == [REST] * 60_000 + [TEST] * 10_000
    assert dataset.classes[5] == CLASSES[source]
    assert dataset.origin == str(data_home / source.published.folders[-1])
    assert not dataset.x.flags.writeable
    rows = Holdout(0.1).divide(dataset, 0, 0)
    assert (len(rows.train), len(rows.validation), len(rows.test)) == (54_000, 6_000, 10_000)
    assert rows.test.tolist() == list(range(60_000, 70_000))


def test_files_are_read_once_until_they_change(data_home, monkeypatch):
    monkeypatch.setattr(fingerprint, "RACY", 0)  # they count as settled at once
    write(data_home / "mnist")
    first = MNIST().load()
    assert MNIST(split_seed=3).load() is first
    assert (len(first.files), "MNIST" in first.reading) == (4, True)
    again = header(10_000) + bytes(10_000)
    write(data_home / "mnist", **{TEST_LABELS: again})
    path = data_home / "mnist" / f"{TEST_LABELS}.gz"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert MNIST().load().y[60_000:].tolist() == [0] * 10_000


BAD = {
    "fewer images": ({IMAGES: header(59_999, 28, 28)}, r"must have the shape \(60000, 28, 28\)"),
    "labels of the other part": ({LABELS: header(10_000) + bytes(10_000)}, r"shape \(60000,\)"),
    "images for labels": ({LABELS: header(60_000, 28, 28)}, r"shape \(60000,\), but has"),
    "a label of 10": (
        {TEST_LABELS: header(10_000) + bytes(77) + b"\x0a" + bytes(9922)},
        "`label < 10` must hold, but label 77 is 10",
    ),
    "not bytes": (
        {LABELS: b"\0\0\x09\x01" + header(60_000)[4:] + bytes(60_000)},
        "must hold bytes, but holds int8",
    ),
    "cut": ({TEST_IMAGES: header(10_000, 28, 28) + bytes(784 * 9_999)}, "is cut"),
}


@pytest.mark.parametrize(("files", "said"), BAD.values(), ids=BAD)
def test_files_of_something_else_are_refused_by_name(data_home, files, said):
    write(data_home / "mnist", **files)
    (name,) = files
    with pytest.raises(UserError, match=said) as error:
        MNIST().load()
    assert str(data_home / "mnist" / f"{name}.gz") in str(error.value)


def test_mnist_is_as_published(shared_data, monkeypatch):
    monkeypatch.setenv("NNLAB_DATA", str(shared_data))
    dataset = MNIST().load()
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(dataset.y[:60_000]).tolist() == counts
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(dataset.y[60_000:]).tolist() == counts
    assert dataset.x[:60_000].mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert dataset.x[:60_000].std() / 255 == pytest.approx(0.3081, abs=5e-5)

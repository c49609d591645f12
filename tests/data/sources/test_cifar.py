import tarfile

import numpy as np
import pytest

from nnlab.data.catalogue import BATCHES
from nnlab.data.dataset import REST, TEST
from nnlab.data.sources import cifar
from nnlab.data.sources.cifar import CIFAR10, CLASSES, FOLDER
from nnlab.errors import UserError


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Files of three records instead of ten thousand."""
    monkeypatch.setattr(cifar, "RECORDS", 3)


def write(folder):
    """Six files; the k-th has images of k and labels k, k + 1, k + 2."""
    folder.mkdir(parents=True)
    for k, name in enumerate(BATCHES):
        records = [bytes([k + j]) + bytes([k]) * 3072 for j in range(3)]
        (folder / name).write_bytes(b"".join(records))


def pack(folder, archive, names):
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        for name in names:
            tar.add(folder / name, f"{FOLDER}/{name}")


def check(dataset):
    assert (dataset.x.shape, dataset.x.dtype) == ((18, 32, 32, 3), np.uint8)
    assert dataset.x[:, 5, 5, 1].tolist() == [k for k in range(6) for _ in range(3)]
    assert dataset.y.tolist() == [k + j for k in range(6) for j in range(3)]
    assert dataset.parts.tolist() == [REST] * 15 + [TEST] * 3
    assert dataset.classes == CLASSES


@pytest.mark.parametrize("folder", [FOLDER, f"cifar10/{FOLDER}", "cifar10", "."])
def test_the_six_files(data_home, folder):
    write(data_home.parent / "made")
    (data_home / folder).parent.mkdir(parents=True, exist_ok=True)
    (data_home.parent / "made").rename(data_home / folder)
    check(CIFAR10().load())


@pytest.mark.parametrize("folder", ["cifar10", "."])
@pytest.mark.parametrize("names", [BATCHES, BATCHES[::-1]], ids=["in order", "in another order"])
def test_the_archive_of_them(data_home, tmp_path, folder, names):
    write(tmp_path / "made")
    pack(tmp_path / "made", data_home / folder / "cifar-10-binary.tar.gz", names)
    check(CIFAR10().load())
    assert [path.name for path in CIFAR10.files()] == ["cifar-10-binary.tar.gz"]


@pytest.mark.parametrize("size", [3 * 3073 - 1, 3 * 3073 + 1])
def test_a_file_of_another_size_is_named(data_home, tmp_path, size):
    write(data_home / FOLDER)
    (data_home / FOLDER / "data_batch_4.bin").write_bytes(bytes(size))
    with pytest.raises(UserError, match=r"data_batch_4\.bin must have 9,219 bytes"):
        CIFAR10().load()
    archive = data_home / "cifar10" / "cifar-10-binary.tar.gz"
    pack(data_home / FOLDER, archive, BATCHES)
    (data_home / FOLDER / "data_batch_4.bin").unlink()
    with pytest.raises(UserError, match=r"data_batch_4\.bin must have (9,219|at most 9,219) bytes"):
        CIFAR10().load()


def test_a_file_that_is_not_in_the_archive_is_named(data_home, tmp_path):
    write(tmp_path / "made")
    pack(tmp_path / "made", data_home / "cifar10" / "cifar-10-binary.tar.gz", BATCHES[:-1])
    with pytest.raises(UserError, match=rf"has no {FOLDER}/test_batch\.bin"):
        CIFAR10().load()


def test_the_names_of_the_classes_are_compared(data_home):
    write(data_home / FOLDER)
    meta = data_home / FOLDER / "batches.meta.txt"
    meta.write_text("\n".join(CLASSES) + "\n\n")
    check(CIFAR10().load())
    meta.write_text("\n".join(CLASSES[::-1]))
    with pytest.raises(UserError, match=r"batches\.meta\.txt must name airplane, auto.* truck, sh"):
        CIFAR10().load()

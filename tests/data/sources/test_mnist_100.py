import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnlab.data.catalogue import MNIST
from nnlab.data.dataset import REST, TEST
from nnlab.data.sources import mnist
from nnlab.data.sources.mnist_100 import MNIST100, TABLES, read_table
from nnlab.errors import UserError

LINE = ",".join(["7", *(str(k % 256) for k in range(784))])


def place(shared_data, folder, names):
    folder.mkdir(parents=True)
    for name in names:
        shutil.copy(shared_data / "mnist" / name, folder)


def test_the_tables_are_the_first_of_mnist(shared_data, data_home, monkeypatch):
    """By both ways, and as the whole of MNIST has them."""
    monkeypatch.setenv("NNLAB_DATA", str(shared_data))
    whole = mnist.MNIST().load()
    monkeypatch.setenv("NNLAB_DATA", str(data_home))
    place(shared_data, data_home / "mnist", [file.name for file in MNIST.files])
    from_images = MNIST100().load()
    place(shared_data, data_home / "mnist_100", TABLES)
    from_tables = MNIST100().load()
    assert {path.name for path in MNIST100.files()} == TABLES.keys()
    for dataset in (from_images, from_tables):
        assert (dataset.x.dtype, dataset.x.shape) == (np.uint8, (110, 28, 28))
        np.testing.assert_array_equal(dataset.x[:100], whole.x[:100])
        np.testing.assert_array_equal(dataset.x[100:], whole.x[60_000:60_010])
        assert dataset.y.tolist() == [*whole.y[:100], *whole.y[60_000:60_010]]
        assert dataset.parts.tolist() == [REST] * 100 + [TEST] * 10
    assert from_images.fingerprint == from_tables.fingerprint


def test_a_table_is_what_numpy_reads(shared_data):
    for name, rows in TABLES.items():
        path = shared_data / "mnist" / name
        table = np.loadtxt(path, delimiter=",", dtype=np.int64)
        x, y = read_table(path, rows)
        np.testing.assert_array_equal(x.reshape(rows, 784), table[:, 1:])
        np.testing.assert_array_equal(y, table[:, 0])


def test_the_tables_alone_are_enough(shared_data, data_home):
    place(shared_data, data_home / "mnist", TABLES)
    assert MNIST100.missing() == []
    assert len(MNIST100().load().x) == 110


BAD = {
    "fewer lines": (LINE, "must have 2 lines"),
    "more lines": (f"{LINE}\n{LINE}\n{LINE}", "must have 2 lines"),
    "empty": ("", "must have 2 lines"),
    "huge": ("1" * 10_000_000, "must have 2 lines"),
    "fewer pixels": (f"{LINE}\n{LINE[:-4]}", "line 2 must have 785 numbers, but has 784"),
    "a heading": (f"label{LINE[1:]}\n{LINE}", "line 1, column 1 .* 0 to 9, but is 'label'"),
    "a pixel of 256": (LINE + "\n" + LINE.replace(",3,", ",256,", 1), "line 2, column 5 .*'256'"),
    "a label of 10": (f"10{LINE[1:]}\n{LINE}", "line 1, column 1 .*'10'"),
    "a fraction": (LINE.replace(",3,", ",0.5,", 1) + "\n" + LINE, "line 1, column 5 .*'0.5'"),
    "below 0": (LINE.replace(",3,", ",-3,", 1) + "\n" + LINE, "line 1, column 5 .*'-3'"),
    "empty number": (LINE.replace(",3,", ",,", 1) + "\n" + LINE, "line 1, column 5 .*''"),
}


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD)
def test_a_bad_table_is_refused_by_line_and_column(tmp_path, text, said):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as error:
        read_table(path, 2)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_and_spaces_do_not_matter(tmp_path, end):
    path = tmp_path / "table.csv"
    path.write_bytes(f"{LINE}{end}{LINE.replace(',', ', ')}{end}".encode())
    x, y = read_table(path, 2)
    assert y.tolist() == [7, 7]
    assert x[1].ravel().tolist() == [k % 256 for k in range(784)]


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, 2 * len(LINE)), new=st.binary(max_size=6))
def test_fuzz_a_table_or_an_error(tmp_path_factory, at, new):
    content = f"{LINE}\n{LINE}\n".encode()
    path = tmp_path_factory.mktemp("fuzz") / "table.csv"
    path.write_bytes(content[:at] + new + content[at + len(new) :])
    try:
        x, y = read_table(path, 2)
    except UserError as error:
        assert str(error).startswith(str(path))
    else:
        assert (x.shape, y.shape) == ((2, 28, 28), (2,))
        assert y.max() <= 9

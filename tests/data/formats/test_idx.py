import gzip
import math
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nnlab.data.formats import idx
from nnlab.errors import UserError

# two 2x3 images of bytes, written out: 0 0, the type 8, 3 dimensions, the sizes, the bytes
BYTES = bytes.fromhex("0000 0803 00000002 00000002 00000003 000102 0a0b0c 64c8ff 010203")
ARRAY = np.array([[[0, 1, 2], [10, 11, 12]], [[100, 200, 255], [1, 2, 3]]], np.uint8)


def written(path, content):
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


@pytest.fixture(params=["file", "file.gz"])
def path(tmp_path, request):
    return tmp_path / request.param


def test_the_bytes_by_hand(path):
    read = idx.read(written(path, BYTES))
    np.testing.assert_array_equal(read, ARRAY)
    assert read.dtype == np.uint8
    assert not read.flags.writeable


@pytest.mark.parametrize(
    ("kind", "packed", "values"),
    [
        (0x08, "B", [0, 7, 255]),
        (0x09, "b", [-128, 7, 127]),
        (0x0B, ">h", [-32768, 258, 32767]),
        (0x0C, ">i", [-(2**31), 16909060, 2**31 - 1]),
        (0x0D, ">f", [-0.5, 1e30, 2.0]),
        (0x0E, ">d", [-0.1, 1e300, math.pi]),
    ],
)
def test_every_type_of_number(path, kind, packed, values):
    numbers = b"".join(struct.pack(packed, value) for value in values)
    read = idx.read(written(path, bytes([0, 0, kind, 1, 0, 0, 0, 3]) + numbers))
    assert read.tolist() == pytest.approx(values, rel=1e-7)


@settings(max_examples=60, deadline=None)
@given(
    array=arrays.arrays(
        st.sampled_from(list(idx.TYPES.values())).map(np.dtype),
        arrays.array_shapes(max_dims=idx.DIMENSIONS, max_side=4),
    ),
    compressed=st.booleans(),
)
def test_what_is_written_is_read(tmp_path_factory, array, compressed):
    kind = {np.dtype(name): kind for kind, name in idx.TYPES.items()}[array.dtype]
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape)
    folder = tmp_path_factory.mktemp("idx")
    path = written(folder / ("file.gz" if compressed else "file"), header + array.tobytes())
    read = idx.read(path)
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    assert read.tobytes() == array.tobytes()


def test_a_file_that_is_not_compressed_is_mapped(tmp_path):
    read = idx.read(written(tmp_path / "file", BYTES))
    assert type(read) is np.ndarray
    assert isinstance(read.base, np.memmap)


BAD = {  # bytes: what the message says
    "empty": (b"", "not an IDX file: it begins with the bytes of none"),
    "short magic": (BYTES[:3], "begins with the bytes 00 00 08"),
    "PNG": (b"\x89PNG\r\n\x1a\n", "not an IDX file: it begins with the bytes 89 50 4e 47"),
    "unknown type": (b"\0\0\x0a" + BYTES[3:], "begins with the bytes 00 00 0a 03"),
    "no dimensions": (b"\0\0\x08\0", "begins with the bytes 00 00 08 00"),
    "cut in the header": (BYTES[:15], "ends within the header"),
    "cut in the numbers": (BYTES[:-1], "is cut"),
    "only the header": (BYTES[:16], "is cut"),
    "more than it says": (BYTES + b"\0", "goes on after the 12 bytes"),
    "a size of 0": (BYTES[:4] + bytes(4) + BYTES[8:], "of 1 or more` must hold.*shape=\\(0, 2, 3"),
    "too many dimensions": (b"\0\0\x08\x09" + b"\0\0\0\x01" * 9 + b"x", "1 to 8 dimensions"),
    "10^12 items": (
        BYTES[:4] + struct.pack(">3I", 10_000, 10_000, 10_000) + BYTES[16:],
        "takes 1,000,000,000,000 bytes, but there are at most",
    ),
    "2^96 items": (BYTES[:4] + b"\xff" * 12 + BYTES[16:], "is cut, or its header is wrong"),
}


@pytest.mark.parametrize(("content", "said"), BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_by_name(path, content, said):
    with pytest.raises(UserError, match=said) as error:
        idx.read(written(path, content))
    assert str(error.value).startswith(str(path))


def test_another_shape_than_expected_is_refused_before_it_is_read(path):
    np.testing.assert_array_equal(idx.read(written(path, BYTES), (2, 2, 3)), ARRAY)
    with pytest.raises(UserError, match=r"must have the shape \(3, 2, 3\), but has \(2, 2, 3\)"):
        idx.read(written(path, BYTES[:16]), (3, 2, 3))


@pytest.mark.parametrize("cut", [0, 1, 5, 15, 20, -9, -5, -1])
def test_gzip_that_is_cut_is_refused(tmp_path, cut):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(BYTES)[:cut])
    with pytest.raises(UserError, match=r"is cut|not an IDX file"):
        idx.read(path)


def test_gzip_that_is_damaged_is_refused(tmp_path):
    content = bytearray(gzip.compress(BYTES))
    content[-6] ^= 1  # of the checksum
    path = tmp_path / "file.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="CRC check failed"):
        idx.read(path)
    path.write_bytes(BYTES)
    with pytest.raises(UserError, match="Not a gzipped file"):
        idx.read(path)


@pytest.mark.parametrize("name", ["file", "file.gz"])
def test_a_file_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(UserError, match=f"{name} cannot be read: .*No such file"):
        idx.read(tmp_path / name)
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=f"{name} cannot be read: .*Is a directory"):
        idx.read(tmp_path / name)


def peak(function):
    """The most bytes that Python had allocated during the call."""
    tracemalloc.start()
    try:
        function()
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return most


def refused(path):
    with pytest.raises(UserError):
        idx.read(path)


def test_a_lying_header_takes_no_memory(path):
    lie = BYTES[:4] + struct.pack(">3I", 10_000, 10_000, 10_000) + bytes(100_000)
    assert peak(lambda: refused(written(path, lie))) < 2_000_000


def test_gzip_is_not_unpacked_beyond_what_the_header_says(tmp_path):
    bomb = written(tmp_path / "bomb.gz", BYTES + bytes(200_000_000))
    assert bomb.stat().st_size < 1_000_000
    assert peak(lambda: refused(bomb)) < 2_000_000


def test_gzip_is_unpacked_piece_by_piece(tmp_path):
    """What a header promises may fit what a file of that size could hold, and not be there."""
    noise = np.random.default_rng(0).bytes(200_000)
    path = written(tmp_path / "file.gz", BYTES[:4] + struct.pack(">3I", 15, 1000, 10_000) + noise)
    with pytest.raises(UserError, match="takes 150,000,000 bytes, but there are 200,000"):
        idx.read(path)
    assert peak(lambda: refused(path)) < 4_000_000


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_fuzz_an_array_or_an_error(tmp_path_factory, data):
    """Any bytes, or a good file with bytes changed: an array of what is there, or `UserError`."""
    content = data.draw(
        st.binary(max_size=64)
        | st.builds(
            lambda at, new: BYTES[:at] + new + BYTES[at + len(new) :],
            st.integers(0, len(BYTES)),
            st.binary(max_size=8),
        )
    )
    name = data.draw(st.sampled_from(["file", "file.gz"]))
    path = tmp_path_factory.mktemp("fuzz") / name
    if name == "file.gz" and data.draw(st.booleans()):
        path.write_bytes(content)
    else:
        written(path, content)
    try:
        read = idx.read(path)
    except UserError as error:
        assert str(error).startswith(str(path))
    else:
        assert read.tobytes() == content[-read.nbytes :]
        assert read.nbytes + 4 + 4 * read.ndim == len(content)


def test_mnist_by_its_bytes(shared_data):
    """What `zcat FILE | od` shows, without our reader."""
    folder = shared_data / "mnist"
    with gzip.open(folder / "train-images-idx3-ubyte.gz") as file:
        raw = file.read()
    assert raw[:16] == struct.pack(">4I", 0x803, 60_000, 28, 28)
    x = idx.read(folder / "train-images-idx3-ubyte.gz")
    assert x.tobytes() == raw[16:]
    assert x[0].tobytes() == raw[16 : 16 + 784] and x[-1].tobytes() == raw[-784:]
    with gzip.open(folder / "train-labels-idx1-ubyte.gz") as file:
        raw = file.read()
    y = idx.read(folder / "train-labels-idx1-ubyte.gz")
    assert y.tobytes() == raw[8:]
    assert [raw[8:].count(label) for label in range(10)] == (
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    )

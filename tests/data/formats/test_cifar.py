import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnlab.data.formats import cifar
from nnlab.errors import UserError


def record(label, red, green, blue):
    """A record whose planes are given as 1024 bytes each."""
    return bytes([label]) + red + green + blue


PLANES = [bytes(range(256)) * 4, bytes([9]) * 1024, bytes(reversed(range(256))) * 4]


def decode(*contents, records=2, path):
    return cifar.decode(
        ((path.with_name(str(k)), content) for k, content in enumerate(contents)),
        len(contents),
        records,
        10,
    )


def test_the_bytes_by_hand(tmp_path):
    red = bytearray(1024)
    red[33] = 7  # the second row's second pixel
    content = record(3, bytes(red), *PLANES[1:]) + record(9, *PLANES)
    x, y = decode(content, path=tmp_path / "file")
    assert (x.shape, x.dtype, y.dtype) == ((2, 32, 32, 3), np.uint8, np.int64)
    assert y.tolist() == [3, 9]
    assert x[0, 1, 1].tolist() == [7, 9, 255 - 33]
    assert np.count_nonzero(x[0, :, :, 0]) == 1
    for channel in range(3):
        assert x[1, :, :, channel].tobytes() == PLANES[channel]
    assert not x.flags.writeable and not y.flags.writeable


def test_files_come_one_after_the_other(tmp_path):
    contents = [b"".join(record(k, *PLANES) for k in pair) for pair in ((1, 2), (3, 4), (5, 6))]
    x, y = decode(*contents, path=tmp_path / "file")
    assert y.tolist() == [1, 2, 3, 4, 5, 6]
    assert len(x) == 6


@pytest.mark.parametrize(
    ("size", "has"), [(0, "0"), (2 * 3073 - 1, "6,145"), (3073, "3,073"), (2 * 3073 + 1, "more")]
)
def test_another_size_is_refused(tmp_path, size, has):
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    said = rf"file must have 6,146 bytes, 2 records of 3,073, but has {has}"
    with pytest.raises(UserError, match=said):
        cifar.decode([(path, cifar.read(path, 2))], 1, 2, 10)


def test_no_more_is_read_than_can_be_wanted(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(10**12)  # a file with a hole: nothing is on disk
    assert len(cifar.read(path, 2)) == 2 * 3073 + 1


def test_a_label_that_is_none_is_named(tmp_path):
    content = record(9, *PLANES) + record(10, *PLANES)
    with pytest.raises(UserError, match=r"`label < 10` must hold, but record 1 .*label=10"):
        decode(content, path=tmp_path / "file")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"file cannot be read: .*No such file"):
        cifar.read(tmp_path / "file", 2)


@settings(max_examples=100, deadline=None)
@given(
    head=st.binary(max_size=40),
    size=st.sampled_from([0, 1, 3072, 3073, 3074, 6145, 6146, 6147]),
    second=st.integers(0, 255),
)
def test_fuzz_records_or_an_error(tmp_path_factory, head, size, second):
    content = bytearray((head + bytes(size))[:size])
    if size > 3073:
        content[3073] = second
    path = tmp_path_factory.mktemp("fuzz") / "file"
    path.write_bytes(content)
    try:
        x, y = cifar.decode([(path, cifar.read(path, 2))], 1, 2, 10)
    except UserError as error:
        assert str(path) in str(error)
        assert size != 6146 or content[0] > 9 or second > 9
    else:
        assert y.tolist() == [content[0], content[3073]]
        assert x[0].transpose(2, 0, 1).tobytes() == bytes(content[1:3073])

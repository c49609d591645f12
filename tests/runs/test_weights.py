import hashlib
import io
import os
import zipfile

import numpy as np
import pytest

from nnlab.core.model import MLP
from nnlab.errors import UserError
from nnlab.runs.weights import arrays, digest, save


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_saved_arrays_are_loaded_by_name(tmp_path, dtype):
    network = MLP((3,)).build(4, 2)
    theta, none = np.arange(network.layout.size).astype(dtype) / 3, np.empty(0, dtype)
    averaged = -theta
    save(tmp_path / "weights.npz", network, (theta, none), (averaged, none))
    with np.load(tmp_path / "weights.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {
            f"{prefix}{layer}.{kind}"
            for prefix in ("", "averaged/")
            for layer in ("hidden1", "output")
            for kind in ("weight", "bias")
        }
        assert arrays["hidden1.weight"].shape == (4, 3)
        parts = ("hidden1.weight", "hidden1.bias", "output.weight", "output.bias")
        for vector, prefix in ((theta, ""), (averaged, "averaged/")):
            again = np.concatenate([arrays[prefix + part].ravel() for part in parts])
            assert again.dtype == dtype
            assert again.tobytes() == vector.tobytes()


def test_running_statistics_are_saved_and_hashed_with_the_weights(tmp_path):
    network = MLP((3,), batch_norm=True).build(4, 2)
    theta, buffers = np.arange(network.layout.size) / 3, np.arange(6.0)
    save(tmp_path / "weights.npz", network, (theta, buffers), (theta, -buffers))
    with np.load(tmp_path / "weights.npz", allow_pickle=False) as arrays:
        assert arrays["norm1.mean"].tolist() == [0, 1, 2]
        assert arrays["norm1.variance"].tolist() == [3, 4, 5]
        assert arrays["averaged/norm1.variance"].tolist() == [-3, -4, -5]
        assert arrays["norm1.scale"].shape == (3,)
    assert digest(theta, buffers) != digest(theta, -buffers) != digest(theta)
    assert digest(theta, np.empty(0)) == digest(theta)


def test_a_save_that_fails_leaves_the_old_file_and_the_next_one_replaces_it(tmp_path, monkeypatch):
    # a run that is gone on with saves its weights again
    path = tmp_path / "weights.npz"
    path.write_bytes(b"precious")
    network, weights = MLP(()).build(1, 1), (np.zeros(2), np.empty(0))

    def fail(*_):
        raise OSError("the disk is full")

    for function in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, fail)
            with pytest.raises(OSError, match="the disk is full"):
                save(path, network, weights, weights)
        assert path.read_bytes() == b"precious"
    save(path, network, weights, weights)
    with np.load(path, allow_pickle=False) as arrays:
        assert "output.weight" in arrays
    assert list(tmp_path.iterdir()) == [path]


def test_a_digest_is_of_the_dtype_and_the_bytes():
    theta = np.array([1.0, -0.0, np.nan], "<f4")
    expected = hashlib.sha256(b"<f4" + bytes.fromhex("0000803f000000800000c07f"))
    assert digest(theta) == expected.hexdigest()
    assert digest(np.array([1.0, 0.0, np.nan], "<f4")) != expected.hexdigest()
    assert digest(theta.astype("<f8")) != expected.hexdigest()
    assert digest(np.repeat(theta, 2)[::2]) == expected.hexdigest()


EXPECTED = {"a.weight": (2, 3), "a.bias": (3,)}


@pytest.fixture
def written(tmp_path):
    """Writes members to an archive; reads it as the weights of a network."""

    def write(members, compression=zipfile.ZIP_STORED, dtype="float32"):
        with zipfile.ZipFile(tmp_path / "weights.npz", "w", compression) as archive:
            for name, content in members:
                archive.writestr(name, content)
        return arrays(tmp_path / "weights.npz", EXPECTED, dtype)

    return write


def npy(array):
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


WEIGHT, BIAS = (np.arange(float(6), dtype="f4").reshape(2, 3), np.arange(3, dtype="f4"))
GOOD = [("a.weight.npy", npy(WEIGHT)), ("a.bias.npy", npy(BIAS))]


def test_expected_arrays_are_read(written):
    found = written(list(reversed(GOOD)))
    assert list(found) == list(EXPECTED)
    assert found["a.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["a.bias"].dtype == np.float32


def test_what_is_saved_is_what_is_expected(tmp_path):
    network = MLP((3,), batch_norm=True).build(4, 2)
    theta, buffers = np.arange(network.layout.size) / 3, np.arange(6.0)
    save(tmp_path / "weights.npz", network, (theta, buffers), (theta, -buffers))
    slots = {**network.layout.slots, **network.buffers.slots}
    shapes = {prefix + name: slots[name].shape for prefix in ("", "averaged/") for name in slots}
    found = arrays(tmp_path / "weights.npz", shapes, "float64")
    assert found["averaged/norm1.variance"].tolist() == [-3, -4, -5]
    weight = network.layout.views(theta)["hidden1.weight"]
    assert found["hidden1.weight"].tobytes() == np.ascontiguousarray(weight).tobytes()


class Payload:
    """What an unpickled object could do."""

    def __reduce__(self):
        return os.mkdir, ("/nonexistent/unpickled",)


NOT_WEIGHTS = {
    "missing": (GOOD[:1], "it has no array a.bias"),
    "one more": ([*GOOD, ("b.npy", npy(BIAS))], "it has an array 'b'"),
    "a path": ([*GOOD, ("../../x.npy", npy(BIAS))], "it has an array '../../x'"),
    "another shape": ([GOOD[0], ("a.bias.npy", npy(BIAS[None]))], "an array (1, 3) of float32"),
    "another dtype": ([GOOD[0], ("a.bias.npy", npy(BIAS.astype("i4")))], "(3,) of int32"),
    "another byte order": ([GOOD[0], ("a.bias.npy", npy(BIAS.astype(">f4")))], "of >f4"),
    "columns first": ([("a.weight.npy", npy(np.asfortranarray(WEIGHT))), GOOD[1]], "an array"),
    "larger": ([GOOD[0], ("a.bias.npy", npy(np.zeros(10**6)))], "has 8,000,128 bytes"),
    "cut": ([GOOD[0], ("a.bias.npy", npy(BIAS)[:-1])], ""),
    "objects": ([GOOD[0], ("a.bias.npy", npy(np.array([Payload(), 1, 2], object)))], ""),
    "no array": ([GOOD[0], ("a.bias.npy", b"x" * 140)], "not as it was written"),
    "code for a header": (
        [GOOD[0], ("a.bias.npy", npy(BIAS).replace(b"'<f4'", b"exit(),"[:5]))],
        "not as it was written",
    ),
}


@pytest.mark.parametrize("name", NOT_WEIGHTS)
def test_other_weights_are_refused(written, name):
    members, message = NOT_WEIGHTS[name]
    with pytest.raises(UserError, match=r"^weights\.npz is not as it was written: ") as error:
        written(members)
    assert message in str(error.value)


def test_compressed_weights_are_refused_before_they_are_read(written):
    bomb = [GOOD[0], ("a.bias.npy", npy(np.zeros(10**7, "f4")))]
    with pytest.raises(UserError, match="compressed or encrypted"):
        written(bomb, zipfile.ZIP_DEFLATED)


def test_a_size_that_the_archive_only_claims_is_refused(written, tmp_path):
    written(GOOD)
    path = tmp_path / "weights.npz"
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")  # the last member's entry in the directory
    for field in (20, 24):
        content[at + field : at + field + 4] = (2**31).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(UserError, match="2,147,483,648 bytes"):
        arrays(path, {**EXPECTED, "a.bias": (2**29 - 16,)}, "float32")


def test_an_array_that_is_there_twice_is_refused(written):
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        pytest.raises(UserError, match="there twice"),
    ):
        written([*GOOD, GOOD[1]])


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "weights.npz").write_bytes(b"PK\x05\x06")
    for path in (tmp_path / "weights.npz", tmp_path / "none.npz"):
        with pytest.raises(UserError, match="is not as it was written"):
            arrays(path, EXPECTED, "float32")

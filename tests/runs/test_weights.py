import hashlib
import os

import numpy as np
import pytest

from nnlab.core.model import MLP
from nnlab.runs.weights import digest, save


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

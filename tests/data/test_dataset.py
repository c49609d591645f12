from hashlib import sha256

import numpy as np
import pytest

from nnlab.data.dataset import Dataset

X = np.arange(12.0).reshape(6, 2)
Y = np.array([0, 1, 0, 1, 0, 1])


def flipped(array, index):
    """A copy with one bit of one byte changed."""
    raw = bytearray(array.tobytes())
    raw[index] ^= 1
    return np.frombuffer(raw, array.dtype).reshape(array.shape)


def test_the_fingerprint_changes_with_every_byte():
    whole = Dataset(X, Y, ("a", "b")).fingerprint
    changed = [Dataset(flipped(X, k), Y, ("a", "b")).fingerprint for k in range(X.nbytes)]
    changed += [Dataset(X, flipped(Y, k), ("a", "b")).fingerprint for k in range(Y.nbytes)]
    assert len({whole, *changed}) == 1 + X.nbytes + Y.nbytes


@pytest.mark.parametrize(
    "other",
    [
        Dataset(X.reshape(6, 2, 1), Y, ("a", "b")),
        Dataset(X, Y[:, None], ("a", "b")),
        Dataset(X.view(np.int64), Y, ("a", "b")),
        Dataset(X.astype(">f8"), Y, ("a", "b")),
        Dataset(X, Y, ("a", "c")),
        Dataset(X, Y, ("b", "a")),
        Dataset(X, Y),
        Dataset(X, Y, ("a", "b"), np.ones(6)),
    ],
    ids=[
        "shape of x",
        "shape of y",
        "kind",
        "byte order",
        "a class",
        "order of classes",
        "none",
        "weights",
    ],
)
def test_the_fingerprint_tells_what_the_bytes_mean(other):
    assert other.fingerprint != Dataset(X, Y, ("a", "b")).fingerprint


def test_weights_are_not_taken_for_parts():
    values = np.ones(6, np.int8)
    found = [
        Dataset(X, Y, weights=values),
        Dataset(X, Y, parts=values),
        Dataset(X, Y, weights=values, parts=values),
        Dataset(X, Y),
    ]
    assert len({one.fingerprint for one in found}) == 4


@pytest.mark.parametrize("parts", [None, np.array([0, 0, 0, 0, 1, 2], np.int8)])
def test_the_fingerprint_by_hand(parts):
    said = b"('a', 'b')<f8(6, 2)" + X.tobytes() + b"<i8(6,)" + Y.tobytes()
    if parts is not None:
        said += b"|i1(6,)\x00\x00\x00\x00\x01\x02"
    assert Dataset(X, Y, ("a", "b"), parts=parts).fingerprint == sha256(said).hexdigest()


def test_the_fingerprint_is_of_the_content_not_of_the_memory():
    wide = np.zeros((6, 4))
    wide[:, ::2] = X
    strided = Dataset(wide[:, ::2], np.asfortranarray(Y), ("a", "b"))
    assert strided.fingerprint == Dataset(X.copy(), Y.copy(), ("a", "b")).fingerprint
    assert len(strided.fingerprint) == 64

"""The weights of two runs, array by array; files are written by the runs' own code."""

from hashlib import sha256

import numpy as np
import pytest

from nnlab.core.layout import Layout
from nnlab.reproduction.parameters import compare
from nnlab.runs import weights


class Network:
    """What the comparison asks of a network."""

    def __init__(self, statistics=True):
        self.layout = Layout.of({"b.weight": (2, 3), "b.bias": (3,), "a.weight": (3, 1)})
        self.buffers = Layout.of({"norm.mean": (3,)} if statistics else {})


@pytest.fixture
def written(tmp_path):
    """Writes a file of weights; `averaged` defaults to the raw ones."""

    def write(name, theta, buffers, network, averaged=None):
        path = tmp_path / name
        weights.save(path, network, (theta, buffers), averaged or (theta, buffers))
        return path

    return write


NETWORK = Network()
THETA = np.linspace(-1, 2, 12, dtype=np.float32)
BUFFERS = np.array([0.5, 0.25, 4.0], np.float32)


def test_equal_weights_are_equal_array_by_array(written):
    old, new = (written(name, THETA, BUFFERS, NETWORK) for name in ("old.npz", "new.npz"))
    found = compare([old], [(NETWORK, new)])
    names = ["b.weight", "b.bias", "a.weight", "norm.mean"]
    assert list(found.parameters) == names + [f"averaged/{name}" for name in names]
    assert found.first is None and found.damage == ""
    one = found.parameters["b.bias"]
    assert one.then == one.now == sha256(b"<f4" + THETA[6:9].tobytes()).hexdigest()


def test_the_tags_of_the_original_are_those_of_its_file(written):
    averaged = (THETA + 1, BUFFERS)
    path = written("old.npz", THETA, BUFFERS, NETWORK, averaged)
    assert compare([path], [(NETWORK, path)]).original == {
        "nnlab.weights_sha256": weights.digest(THETA, BUFFERS),
        "nnlab.averaged_sha256": weights.digest(*averaged),
    }
    plain = Network(statistics=False)
    path = written("plain.npz", THETA, BUFFERS[:0], plain)
    found = compare([path], [(plain, path)]).original
    assert found["nnlab.weights_sha256"] == weights.digest(THETA)


def test_the_first_array_that_differs_is_that_of_the_layout_and_how_far_is_told(written):
    other = THETA.copy()
    other[7] += 0.5  # b.bias
    other[10] += 0.25  # a.weight
    old = written("old.npz", THETA, BUFFERS, NETWORK)
    new = written("new.npz", other, BUFFERS, NETWORK, (THETA, BUFFERS))
    found = compare([old], [(NETWORK, new)])
    assert found.first == "b.bias"
    assert {name for name, one in found.parameters.items() if not one.equal} == {
        "b.bias", "a.weight",
    }  # fmt: skip
    largest = float(abs(THETA[6:9]).max())
    assert found.parameters["b.bias"].largest_relative == pytest.approx(0.5 / largest)


def test_one_bit_of_a_running_statistic_is_found(written):
    other = BUFFERS.copy()
    other[2] = np.nextafter(other[2], np.float32(9))
    old, new = (written(n, THETA, b, NETWORK) for n, b in (("o.npz", BUFFERS), ("n.npz", other)))
    found = compare([old], [(NETWORK, new)])
    assert found.first == "norm.mean"
    assert 0 < found.parameters["norm.mean"].largest_relative < 1.2e-7


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_as_far_as_can_be(written, value):
    other = THETA.copy()
    other[0] = value
    old, new = (written(n, t, BUFFERS, NETWORK) for n, t in (("o.npz", THETA), ("n.npz", other)))
    for files in ((old, new), (new, old)):
        found = compare([files[0]], [(NETWORK, files[1])]).parameters["b.weight"]
        assert (found.equal, found.largest_relative) == (False, np.inf)
    assert compare([new], [(NETWORK, new)]).first is None


def test_several_members_are_named_by_their_number(written):
    old, new = written("o.npz", THETA, BUFFERS, NETWORK), written("n.npz", -THETA, BUFFERS, NETWORK)
    found = compare([old, old], [(NETWORK, old), (NETWORK, new)])
    assert len(found.parameters) == 16
    assert found.first == "member 1: b.weight"
    assert found.original == {}


def test_a_file_that_is_missing_or_another_network_s_is_not_compared(written, tmp_path):
    path = written("o.npz", THETA, BUFFERS, NETWORK)
    assert compare([], [(NETWORK, path)]).damage == "the tracker has no weights.npz of it"
    plain = Network(statistics=False)
    mine = written("mine.npz", THETA, BUFFERS[:0], plain)
    assert "norm.mean" in compare([path], [(plain, mine)]).damage
    np.savez(tmp_path / "evil.npz", **{"b.weight": np.array([print], dtype=object)})
    found = compare([tmp_path / "evil.npz"], [(plain, mine)])
    assert (found.parameters, "evil.npz is not as it was written" in found.damage) == ({}, True)

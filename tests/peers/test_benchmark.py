"""The benchmark beside other frameworks: what it times is the same training, and its figures are
what its times say."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """`benchmarks` is no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.mark.parametrize("case", ["digits-momentum", "digits-adam"])
def test_a_plain_loop_trains_what_nnlab_trains(case):
    from benchmarks.peers.cases import Problem
    from benchmarks.peers.contest import check
    from benchmarks.peers.nnlab_peer import NNLab
    from benchmarks.peers.numpy_peer import Loop

    problem = Problem(case)
    losses = {"nnlab": NNLab(problem, 1).first(), "NumPy loop": Loop(problem, 1).first()}
    check(losses)
    assert losses["nnlab"][-1] < losses["nnlab"][0], "it learns"
    with pytest.raises(ValueError, match="the loss of step 1 is"):
        check(losses | {"NumPy loop": [losses["nnlab"][0], *losses["nnlab"][:-1]]})


def test_an_epoch_of_nnlab_is_every_batch_once_and_starts_anew():
    from benchmarks.peers.cases import Problem
    from benchmarks.peers.nnlab_peer import NNLab

    problem = Problem("digits-momentum")
    peer = NNLab(problem, 1)
    first = peer.first()
    peer.epoch(0)
    assert peer.state.step == len(first) + len(problem.batches(0))
    rows = np.concatenate(problem.batches(3))
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(problem.y)))
    peer.start()
    assert peer.first() == first


@pytest.mark.parametrize(
    ("theirs", "allowed"),
    [([1.0, 2.0], True), ([1.0, 2.0003], False), ([1.5], True), ([1.6], False), ([np.nan], False)],
)
def test_another_training_is_not_timed(theirs, allowed):
    """Losses one by one, or their mean alone; limits train nothing."""
    from benchmarks.peers.contest import check

    losses = {"nnlab": [1.0, 2.0], "products alone": [], "PyTorch": theirs}
    if allowed:
        check(losses)
    else:
        with pytest.raises(ValueError, match="of PyTorch and"):
            check(losses)


def test_a_peer_that_tells_too_few_losses_is_found():
    from benchmarks.peers.contest import check

    with pytest.raises(ValueError, match="PyTorch told 0 losses of 2"):
        check({"nnlab": [1.0, 2.0], "PyTorch": []})


def test_the_products_are_those_of_a_step():
    """784-3-10: forward two, backward two gradients, and the way back into one hidden layer."""
    from benchmarks.peers.limits import _products

    shapes = [(a.shape, b.shape, out.shape) for a, b, out in _products((784, 3, 10), 5)]
    assert shapes == [
        ((5, 784), (784, 3), (5, 3)),
        ((5, 3), (3, 10), (5, 10)),
        ((3, 5), (5, 10), (3, 10)),
        ((5, 10), (10, 3), (5, 3)),
        ((784, 5), (5, 3), (784, 3)),
    ]


def test_figures_are_medians_of_what_happened_in_one_round():
    from benchmarks.peers.contest import Speeds
    from benchmarks.peers.results import figures

    found = {
        ("mnist-momentum", 1): {
            "nnlab": Speeds([200.0, 100.0, 210.0], [1.0, 1.0, 1.0]),
            "PyTorch": Speeds([100.0, 50.0, 100.0], [1.0, 1.0, 1.0]),
            "JAX, a step": Speeds([120.0, 60.0, 130.0], [1.0, 1.0, 1.0]),
            "JAX, an epoch": Speeds([400.0, 200.0, 400.0], [1.0, 1.0, 1.0]),
            "PyTorch compiled": Speeds(absent="no compiler"),
            "products alone": Speeds([900.0, 900.0, 900.0], [1.0, 1.0, 1.0]),
        },
        ("mnist-momentum", 2): {"nnlab": Speeds([220.0, 90.0, 240.0], [1.0, 1.0, 1.0])},
    }
    told = {one.name: one for one in figures(found)}
    assert {name: one.measured for name, one in told.items()} == pytest.approx(
        {
            "mnist-momentum: nnlab / PyTorch": 2.0,
            "mnist-momentum: nnlab / the fastest (JAX, an epoch)": 0.5,
            "mnist-momentum: nnlab / the fastest step by step (JAX, a step)": 100 / 60,
            "mnist-momentum: two threads / one": 1.1,
        }
    )
    assert [one.met for one in told.values()] == [True, False, True, True]


@pytest.mark.slow  # starts a process for each framework
def test_every_peer_runs_and_is_written_down(tmp_path):
    peers = ["nnlab", "PyTorch", "JAX, an epoch", "scikit-learn", "products alone"]
    command = [sys.executable, "-m", "benchmarks.peers", "--cases", "digits-adam", "--threads", "1"]
    command += ["--rounds", "1", "--seconds", "0.02", "--peers", *peers]
    command += ["--json", str(tmp_path / "found.json"), "--png", str(tmp_path / "found.png")]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = json.loads((tmp_path / "found.json").read_text())
    speeds = {one["peer"]: one for one in found["speeds"]}
    assert list(speeds) == peers
    for peer, one in speeds.items():
        module = {"P": "torch", "J": "jax"}.get(peer[0]) if peer[1] in "yA" else None
        if module and find_spec(module) is None:
            assert "ModuleNotFoundError" in one["absent"]
            continue
        assert one["absent"] == ""
        assert one["examples_per_second"]["median"] > 0
        assert peer in said
    assert found["machine"]["versions"]["numpy"] == np.__version__
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")

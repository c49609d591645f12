"""What a peer is: something that trains the network of a problem, an epoch at a time."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Protocol

from benchmarks.peers.cases import Problem

FIRST = 20
"""So many losses are compared before anything is timed."""


class Peer(Protocol):
    """Made of (problem, threads). It trains in float32 and reads the loss of every step."""

    def start(self) -> None:
        """Begin with the problem's initial weights."""

    def epoch(self, k: int) -> None:
        """Train epoch k."""

    def first(self) -> Sequence[float]:
        """The losses of the first `FIRST` steps after `start`, or their mean alone; empty where
        nothing is trained."""


PEERS: Mapping[str, tuple[str, str]] = {
    "nnlab": ("nnlab_peer", "NNLab"),
    "PyTorch": ("torch_peer", "Eager"),
    "PyTorch compiled": ("torch_peer", "Compiled"),
    "JAX, a step": ("jax_peer", "Steps"),
    "JAX, an epoch": ("jax_peer", "Epochs"),
    "scikit-learn": ("sklearn_peer", "SKLearn"),
    "NumPy loop": ("numpy_peer", "Loop"),
    "products alone": ("limits", "Products"),
    "optimizer's memory": ("limits", "Memory"),
}
"""Where each is: its libraries are imported in its own process alone."""
OURS, EAGER, SCAN = "nnlab", "PyTorch", "JAX, an epoch"
LIMITS = ("products alone", "optimizer's memory")


def load(name: str) -> Callable[[Problem, int], Peer]:
    """A peer's class; raises `ImportError` where its library is not installed."""
    module, member = PEERS[name]
    found: Callable[[Problem, int], Peer] = getattr(
        import_module(f"benchmarks.peers.{module}"), member
    )
    return found

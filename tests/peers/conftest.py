"""A small network and its twin in PyTorch.

PyTorch is imported where a fixture is used: these tests are collected without it as well.
"""

import sys
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from nnlab.core.initialisers import Xavier
from nnlab.core.model import MLP


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """The networks are so small that threads would only wait for each other."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def network_and_twin() -> Callable:
    """`network_and_twin(activation="tanh")`: a 6-5-4-3 network, its theta, and PyTorch's network
    with the same numbers, in float64."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (make peers)")
    functions = {
        "leaky_relu": torch.nn.LeakyReLU,
        "relu": torch.nn.ReLU,
        "sigmoid": torch.nn.Sigmoid,
        "tanh": torch.nn.Tanh,
    }

    def build(activation="tanh"):
        network = MLP((5, 4), activation).build(6, 3)
        theta = network.initial(Xavier(), np.random.default_rng(1), np.float64)
        layers = []
        for inputs, outputs in pairwise((6, 5, 4, 3)):
            layers += [
                torch.nn.Linear(inputs, outputs, dtype=torch.float64),
                functions[activation](),
            ]
        twin = torch.nn.Sequential(*layers[:-1])
        _copy_to(twin, network, theta)
        return network, theta, twin

    return build


@pytest.fixture
def copy_to() -> Callable:
    """`copy_to(twin, network, theta)`: write theta into PyTorch's parameters."""
    return _copy_to


@pytest.fixture
def flat() -> Callable:
    """`flat(twin)`: PyTorch's parameters in the order of theta."""

    def parameters(twin):
        return np.concatenate([p.detach().numpy().T.ravel() for p in twin.parameters()])

    return parameters


def _copy_to(twin, network, theta):
    """The weights of PyTorch are transposed."""
    import torch

    with torch.no_grad():
        arrays = network.layout.views(theta).values()
        for parameter, array in zip(twin.parameters(), arrays, strict=True):
            parameter.copy_(torch.tensor(array.T))

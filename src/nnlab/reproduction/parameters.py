"""The final weights of two runs, array by array."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnlab.core.arrays import Array
from nnlab.core.model import Network
from nnlab.errors import UserError
from nnlab.runs.weights import arrays, digest

AVERAGED = "averaged/"


@dataclass(frozen=True)
class Parameter:
    """A named array of both runs: the SHA-256 of each, and how far apart they are."""

    then: str
    now: str
    largest_relative: float
    """max |then - now| / max |then|, infinite where one is not finite and the other is another."""

    @property
    def equal(self) -> bool:
        return self.then == self.now


@dataclass(frozen=True)
class Weights:
    """All arrays of both runs by name, in the layout's order: raw ones, then averaged ones.

    Running statistics come after the weights. With several seeds or folds, names begin with
    `member 0: `, `member 1: `, ...
    """

    parameters: Mapping[str, Parameter]
    original: Mapping[str, str]
    """The hashes of the original's own arrays by the tags of a run; empty of several members."""
    damage: str = ""
    """Why the original's arrays cannot be compared."""

    @property
    def first(self) -> str | None:
        """The first array that differs."""
        return next((name for name, one in self.parameters.items() if not one.equal), None)


def compare(files: Sequence[Path], networks: Sequence[tuple[Network, Path]]) -> Weights:
    """The comparison of the original's files with those that each new network has written.

    The original's are read only if they hold just the arrays of the network, and nothing else.
    """
    if len(files) != len(networks):
        return Weights({}, {}, "the tracker has no weights.npz of it")
    parameters: dict[str, Parameter] = {}
    original: dict[str, str] = {}
    for k, (file, (network, mine)) in enumerate(zip(files, networks, strict=True)):
        prefix = f"member {k}: " if len(networks) > 1 else ""
        shapes = {
            before + name: slot.shape
            for before in ("", AVERAGED)
            for layout in (network.layout, network.buffers)
            for name, slot in layout.slots.items()
        }
        with np.load(mine, allow_pickle=False) as loaded:
            new = {name: loaded[name] for name in shapes}
        try:
            old = arrays(file, shapes, next(iter(new.values())).dtype)
        except UserError as error:
            return Weights({}, {}, str(error))
        for name in shapes:
            parameters[prefix + name] = _parameter(old[name], new[name])
        if len(networks) == 1:
            original = _digests(old, network)
    return Weights(parameters, original)


def _parameter(old: Array, new: Array) -> Parameter:
    then, now = digest(old), digest(new)
    if then == now:
        return Parameter(then, now, 0.0)
    with np.errstate(all="ignore"):
        apart = np.abs(old.astype(np.float64) - new.astype(np.float64))
        apart[(old == new) | (np.isnan(old) & np.isnan(new))] = 0.0
        largest = np.abs(old.astype(np.float64)).max(initial=0.0)
        value = float(apart.max(initial=0.0) / largest) if largest else np.inf
    return Parameter(then, now, value if np.isfinite(value) else np.inf)


def _digests(old: Mapping[str, Array], network: Network) -> dict[str, str]:
    """What the tags of the run said if these were its weights."""

    def whole(prefix: str) -> str:
        vectors = [
            np.concatenate([old[prefix + name].ravel() for name in layout.slots])
            for layout in (network.layout, network.buffers)
            if layout.slots
        ]
        return digest(*vectors)

    return {"nnlab.weights_sha256": whole(""), "nnlab.averaged_sha256": whole(AVERAGED)}

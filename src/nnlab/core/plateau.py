"""Has a metric stopped improving? What early stopping and the learning rate both ask.

The memory is plain arrays, so that it can be saved with the rest of a training's state.
"""

import numpy as np

from nnlab.core.arrays import State

DIRECTIONS = ("minimize", "maximize")


def init() -> State:
    """The memory before the first value."""
    return {"best": np.full((), np.inf), "waited": np.zeros((), np.int64)}


def waited(value: float, direction: str, min_delta: float, memory: State) -> int:
    """Values in a row, up to this one, that were not better than the best by more than
    `min_delta`."""
    cost = value if direction == "minimize" else -value
    if cost < memory["best"] - min_delta:
        memory["best"][...], memory["waited"][...] = cost, 0
    else:
        memory["waited"] += 1
    return int(memory["waited"])

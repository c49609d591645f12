"""A request that a training come to a safe point, where its state is whole."""

import math
from dataclasses import dataclass


@dataclass
class Pause:
    """When the next safe point is wanted, beside those that reports are. Anyone may set it at any
    time, a signal handler too; the training then pauses after the step that it is in."""

    at: float = math.inf
    """A moment, as `time.perf_counter` tells it."""
    step: float = math.inf
    """A step; one that has passed asks for nothing."""

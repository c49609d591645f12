"""Averages of theta over the steps, evaluated beside the raw weights.

Averages accumulate in float64: in float32 an EMA with decay 0.9999 stalls short of its target.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from nnlab.core.arrays import Array, Hyper, State, Workspace
from nnlab.core.laws import law


class Averaging(Protocol):
    """A running average of theta `(..., P)`."""

    label: ClassVar[str]
    """How its metrics are marked: `validation/loss_ema`. Empty where nothing is averaged."""

    def init(self, theta: Array) -> State:
        """The state before the first step."""

    def update(self, theta: Array, state: State, work: Workspace) -> None:
        """Take theta after a step into the average."""

    def value(self, theta: Array, state: State) -> Array:
        """The averaged weights, in theta's dtype; theta itself before the first step."""


@dataclass(frozen=True)
class NoAveraging:
    """The raw weights alone."""

    label: ClassVar[str] = ""

    def init(self, theta: Array) -> State:
        return {}

    def update(self, theta: Array, state: State, work: Workspace) -> None:
        pass

    def value(self, theta: Array, state: State) -> Array:
        return theta


@dataclass(frozen=True)
class EMA:
    """v = decay * v + (1 - decay) * theta, from v = 0, read as v / (1 - decay^t).

    The division corrects the bias towards the zero start (Kingma & Ba 2015, section 3). With
    `bias_correction=false` v starts at the initial weights instead and is read as it is.
    """

    decay: Hyper = 0.99
    bias_correction: bool = True

    label: ClassVar[str] = "ema"

    def __post_init__(self) -> None:
        law(
            "0 <= decay < 1",
            np.greater_equal(self.decay, 0) & np.less(self.decay, 1),
            decay=self.decay,
        )

    def init(self, theta: Array) -> State:
        start = np.zeros(theta.shape) if self.bias_correction else theta.astype(np.float64)
        return {"average": start, "t": np.zeros((), np.int64)}

    def update(self, theta: Array, state: State, work: Workspace) -> None:
        average, scratch = state["average"], work.get("ema", theta.shape, np.float64)
        average *= self.decay
        np.multiply(theta, 1 - self.decay, out=scratch, dtype=np.float64)
        average += scratch
        state["t"] += 1

    def value(self, theta: Array, state: State) -> Array:
        t = int(state["t"])
        if t == 0:
            return theta
        correction = 1 - self.decay**t if self.bias_correction else 1.0
        return (state["average"] / correction).astype(theta.dtype)

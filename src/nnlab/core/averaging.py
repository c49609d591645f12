"""Averages of theta over the steps, evaluated beside the raw weights.

Averages accumulate in float64: in float32 an EMA with decay 0.9999 stalls short of its target.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from nnlab.core.arrays import Array, Hyper, State, Workspace
from nnlab.core.durations import Duration
from nnlab.core.laws import law


class Averaging(Protocol):
    """A running average of theta `(..., P)`."""

    label: ClassVar[str]
    """How its metrics are marked: `validation/loss_ema`. Empty where nothing is averaged."""

    def when(self, steps_per_epoch: int, total: int | None) -> tuple[int, int]:
        """(start, every): `update` is called after step start + every, start + 2 every, ..."""

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

    def when(self, steps_per_epoch: int, total: int | None) -> tuple[int, int]:
        return 0, 1

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
    `bias_correction=false` v starts at the initial weights instead and is read as it is. With
    `warmup` the decay of update t = 1, 2, ... is min(decay, (1 + t) / (10 + t)), so that early
    weights are forgotten sooner (TensorFlow's `num_updates`); decay^t is then the product.

    What is kept is the sum v / (1 - decay): one pass over theta less.
    """

    decay: Hyper = 0.99
    bias_correction: bool = True
    warmup: bool = False

    label: ClassVar[str] = "ema"

    def __post_init__(self) -> None:
        law(
            "0 <= decay < 1",
            np.greater_equal(self.decay, 0) & np.less(self.decay, 1),
            decay=self.decay,
        )

    def when(self, steps_per_epoch: int, total: int | None) -> tuple[int, int]:
        return 0, 1

    def init(self, theta: Array) -> State:
        total = np.zeros(theta.shape)
        if not self.bias_correction:
            np.divide(theta, 1 - self._decay(1), out=total, dtype=np.float64)
        product = np.ones((*theta.shape[:-1], 1))
        return {"sum": total, "product": product, "t": np.zeros((), np.int64)}

    def update(self, theta: Array, state: State, work: Workspace) -> None:
        total = state["sum"]
        state["t"] += 1
        decay = kept = self._decay(int(state["t"]))
        if self.warmup and state["t"] > 1:
            kept = decay * (1 - self._decay(int(state["t"]) - 1)) / (1 - decay)
        total *= kept
        total += theta
        state["product"] *= decay

    def value(self, theta: Array, state: State) -> Array:
        if not state["t"]:
            return theta
        share = 1 - self._decay(int(state["t"]))
        if self.bias_correction:
            share = share / (1 - state["product"])
        return np.asarray((state["sum"] * share).astype(theta.dtype))

    def _decay(self, t: int) -> Hyper:
        """The decay of update t."""
        return np.minimum(self.decay, (1 + t) / (10 + t)) if self.warmup else self.decay


@dataclass(frozen=True)
class SWA:
    """The plain mean of theta after `start`, taken `every` so often: v += (theta - v) / t.

    Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization",
    algorithm 1; with `every: 1 step` Polyak-Ruppert averaging. (The paper then measures the
    statistics of batch normalisation anew; here they are averaged as the weights are.)
    """

    start: str = "75%"
    every: str = "1 epoch"

    label: ClassVar[str] = "swa"

    def __post_init__(self) -> None:
        Duration.parse(self.start, "start")
        Duration.parse(self.every, "every")

    def when(self, steps_per_epoch: int, total: int | None) -> tuple[int, int]:
        start, every = (
            Duration.parse(text, f"averaging.{field}").steps(steps_per_epoch, total)
            for field, text in (("start", self.start), ("every", self.every))
        )
        return start, every

    def init(self, theta: Array) -> State:
        return {"average": np.zeros(theta.shape), "t": np.zeros((), np.int64)}

    def update(self, theta: Array, state: State, work: Workspace) -> None:
        average, scratch = state["average"], work.get("averaging", theta.shape, np.float64)
        state["t"] += 1
        np.subtract(theta, average, out=scratch)
        scratch /= int(state["t"])
        average += scratch

    def value(self, theta: Array, state: State) -> Array:
        return np.asarray(state["average"].astype(theta.dtype)) if state["t"] else theta

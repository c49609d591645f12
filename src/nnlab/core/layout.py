"""theta: all parameters of a model in one vector, and the layout that names its slices."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

from nnlab.core.arrays import Array


@dataclass(frozen=True)
class Slot:
    """One named array in theta."""

    start: int
    stop: int
    shape: tuple[int, ...]

    def view(self, theta: Array) -> Array:
        """The slot's part of theta `(..., P)`, as a view of shape `(..., *shape)`."""
        part = theta[..., self.start : self.stop]
        return part if len(self.shape) == 1 else part.reshape(theta.shape[:-1] + self.shape)


@dataclass(frozen=True)
class Layout:
    """Which slice of theta is which named array.

    Names that end in `weight` are penalised; others (biases) never are. Views are derived where
    they are used: a stored view goes stale when theta is copied or rebound. (`Workspace.bound`
    keeps some, beside the very array that they are views of.)

    >>> import numpy as np
    >>> layout = Layout.of({"a.weight": (2, 3), "a.bias": (3,)})
    >>> layout.views(np.arange(9.0))["a.bias"]
    array([6., 7., 8.])
    """

    slots: Mapping[str, Slot]

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, ...]]) -> "Layout":
        """The layout that packs arrays of these shapes one after another."""
        slots, start = {}, 0
        for name, shape in shapes.items():
            slots[name] = Slot(start, start + prod(shape), shape)
            start += prod(shape)
        return cls(slots)

    @cached_property
    def size(self) -> int:
        """P, the number of parameters."""
        return max((slot.stop for slot in self.slots.values()), default=0)

    @cached_property
    def weights(self) -> tuple[slice, ...]:
        """The slices of theta that a penalty applies to."""
        return tuple(
            slice(slot.start, slot.stop)
            for name, slot in self.slots.items()
            if name.endswith("weight")
        )

    def views(self, theta: Array) -> dict[str, Array]:
        """Every named array of theta `(..., P)`, as views with the same leading axes."""
        return {name: slot.view(theta) for name, slot in self.slots.items()}

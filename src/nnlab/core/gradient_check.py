"""The gradient check: is the analytic gradient of each named array that of the value?"""

from dataclasses import dataclass

import numpy as np

from nnlab.core.arrays import Array, Workspace
from nnlab.core.gradients import LossProbe, penalty_of_each
from nnlab.core.objective import Batch, NetworkObjective


@dataclass(frozen=True)
class GradientCheck:
    """How an analytic gradient of one named array compares with a numerical one."""

    name: str
    error: float
    """max|analytic - numerical| / scale over the coordinates checked that sit on no kink."""
    worst: tuple[int, ...]
    """The coordinate with the largest difference."""
    analytic: float
    numerical: float
    on_kink: bool
    """Does the worst coordinate sit on a kink? Then no derivative exists to compare with."""
    checked: int
    kinks: int
    """Coordinates that were checked, and those of them that sit on a kink."""


def check_gradient(
    objective: NetworkObjective,
    theta: Array,
    batch: Batch,
    step: float = 1e-5,
    *,
    coordinates: int = 200,
    rng: np.random.Generator | None = None,
) -> list[GradientCheck]:
    """The loss's and the penalty's gradient at theta `(P,)` float64 against central differences,
    for each named array; of a large one `coordinates` are drawn.

    Errors are relative to the larger of the largest gradient in the array and a thousandth of
    the largest in all: a gradient that is zero by construction (of a bias before batch
    normalisation) is not judged by its rounding errors.

    A coordinate sits on a kink (of a ReLU, a hinge, |w|) where the bends of f around x - h/2, x
    and x + h/2, that is (f(x + h/2) - 2 f(x) + f(x - h/2)) / (h/2) and the like, are not equal.
    A smooth function's are, but for O(h^2); a kink between x - h and x + h is in one or two of
    the three, and spreads them by no less than the error it makes in the central difference.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    layout = objective.network.layout
    quiet = batch._replace(buffers=None)
    analytic = np.empty_like(theta)
    objective(theta, quiet, analytic, Workspace())
    floor = 1e-3 * float(np.abs(analytic).max(initial=0))
    probe = LossProbe(objective, theta, quiet)

    def moved(offset: float, at: Array) -> Array:
        return probe.moved(offset, at) + penalty_of_each(objective, theta, offset)[at]

    penalty = penalty_of_each(objective, theta, 0.0)
    checks = []
    for name, slot in layout.slots.items():
        size = slot.stop - slot.start
        at = slot.start + (
            np.arange(size)
            if size <= coordinates
            else np.sort(rng.choice(size, coordinates, replace=False))
        )
        above, below, here = moved(step, at), moved(-step, at), probe.here + penalty[at]
        numeric = (above - below) / (2 * step)
        difference = np.abs(analytic[at] - numeric)
        scale = max(float(np.abs(numeric).max()), float(np.abs(analytic[at]).max()), floor)
        above_half, below_half = moved(step / 2, at), moved(-step / 2, at)
        bends = np.stack(
            [
                above - 2 * above_half + here,
                above_half - 2 * here + below_half,
                here - 2 * below_half + below,
            ]
        ) / (step / 2)
        noise = 64 * np.finfo(np.float64).eps * np.maximum(1, np.abs(here)) / step
        kinks = np.ptp(bends, axis=0) > 2e-6 * scale + noise
        smooth = np.where(kinks, 0.0, difference)
        worst = int(np.argmax(smooth if smooth.any() else difference))
        checks.append(
            GradientCheck(
                name,
                float(smooth.max()) / scale if scale else 0.0,
                tuple(int(i) for i in np.unravel_index(at[worst] - slot.start, slot.shape)),
                float(analytic[at[worst]]),
                float(numeric[worst]),
                bool(kinks[worst]),
                len(at),
                int(kinks.sum()),
            )
        )
    return checks

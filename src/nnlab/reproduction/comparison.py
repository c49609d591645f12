"""Are two runs equal: every metric point, how they ended, the hashes. Imports no NumPy."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf

from nnlab.reproduction.logged import Ended, Logged, Points
from nnlab.runs.journal import same

CALLED = {
    "nnlab.data_sha256": "data",
    "nnlab.weights_sha256": "final weights",
    "nnlab.averaged_sha256": "averaged weights",
    "nnlab.batches_sha256": "order of batches",
}
"""What the tags of a run's hashes are called."""
TOLERANCE = 1e-3
"""The largest relative difference that another environment may make (docs/reproducibility.md)."""


@dataclass(frozen=True)
class Difference:
    """A metric point that is another one; None where it is absent."""

    step: int
    metric: str
    then: float | None
    now: float | None

    def __str__(self) -> str:
        return f"{self.metric} at step {self.step}: {_text(self.then)} then, {_text(self.now)} now"

    @property
    def relative(self) -> float:
        """How far apart they are, relatively."""
        if self.then is None or self.now is None:
            return inf
        return relative(self.then, self.now)


@dataclass(frozen=True)
class Compared:
    """The metric points of two runs."""

    points: int
    """So many were compared."""
    differing: int = 0
    first: Difference | None = None
    """The one of the earliest step; of several of that step, the first by name."""
    steps: Mapping[int, float] = field(default_factory=dict)
    """The largest relative difference at each step."""
    first_metric: Mapping[int, float] = field(default_factory=dict)
    """That of the metric that differs first, at each step at which it was measured."""

    @property
    def largest_relative(self) -> float:
        """The largest of all relative differences; infinite where a point is absent or one value
        is not finite and the other is another one."""
        return max(self.steps.values(), default=0.0)


@dataclass(frozen=True)
class Stopped:
    """How both ended."""

    then: Ended
    now: Ended
    by_config: bool
    """Did the config decide where the original ended?"""

    @property
    def equal(self) -> bool:
        """Where time, a pruner or a kill ended the original, only the step can be equal."""
        return self.then == self.now if self.by_config else self.then.step == self.now.step

    @property
    def beyond(self) -> bool:
        """Would the new one go on beyond the original's last step, had it not been stopped?"""
        return self.by_config and self.now.rule == "until"


@dataclass(frozen=True)
class Hash:
    """A hash of both; None where one of them has none."""

    then: str | None
    now: str | None

    @property
    def equal(self) -> bool | None:
        """None where they cannot be compared."""
        return None if self.then is None or self.now is None else self.then == self.now


def compare(logged: Logged, points: Points) -> Compared:
    """The comparison of the original's metric points with new ones.

    A run that did not come to its end was not tested; that the new one was is no difference.
    """
    old = logged.points
    if not any(_of_test(name) for _, name in old):
        points = {key: value for key, value in points.items() if not _of_test(key[1])}
    all_points = [
        Difference(step, name, old.get((step, name)), points.get((step, name)))
        for step, name in sorted({*old, *points})
    ]
    differing = [one for one in all_points if not same(one.then, one.now)]
    first = differing[0] if differing else None
    steps = dict.fromkeys((one.step for one in all_points), 0.0)
    for one in differing:
        steps[one.step] = max(steps[one.step], one.relative)
    of_first = {
        one.step: 0.0 if same(one.then, one.now) else one.relative
        for one in all_points
        if first is not None and one.metric == first.metric
    }
    return Compared(len(all_points), len(differing), first, steps, of_first)


def hashes(logged: Logged, now: Mapping[str, str]) -> dict[str, Hash]:
    """Each of the run's hashes, then and now."""
    return {tag: Hash(logged.tags.get(tag), value) for tag, value in now.items()}


def relative(then: float, now: float) -> float:
    """|then - now| / max(|then|, |now|): at most 1 for values of one sign, 2 for others."""
    if same(then, now):
        return 0.0
    if not (math.isfinite(then) and math.isfinite(now)):
        return inf
    largest = max(abs(then), abs(now))
    apart = abs(then - now)
    return apart / largest if math.isfinite(apart) else abs(then / largest - now / largest)


def sampled(steps: Mapping[int, float], rows: int) -> Iterator[tuple[int, float]]:
    """At most that many of the steps, the first and the last among them."""
    every = sorted(steps)
    last = len(every) - 1
    shown = min(last, rows - 1)
    for k in sorted({round(one * last / max(shown, 1)) for one in range(shown + 1)}):
        yield every[k], steps[every[k]]


def _of_test(name: str) -> bool:
    return name.startswith(("test/", "se/test/", "ci95/test/"))


def _text(value: float | None) -> str:
    return "absent" if value is None else repr(value)

"""A sweep: what is searched, over what, how, and for how long. Its laws are checked here."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nnlab.core.laws import LawError, law, one_of
from nnlab.runs.checkpoint import Interval
from nnlab.runs.destination import check_model_name
from nnlab.sweeps.constraints import Constraint, broken
from nnlab.sweeps.options import plain
from nnlab.sweeps.places import Places
from nnlab.sweeps.points import size
from nnlab.sweeps.pruners import Median, NoPruning, Pruner
from nnlab.sweeps.samplers import CMAES, SEVERAL_OBJECTIVES, TPE, Grid, Sampler
from nnlab.sweeps.space import Choices, Space

GRID_POINTS = 1_000_000
"""A grid is listed; a larger one is searched by other samplers."""

ENGINES = ("local", "vectorized")
TOGETHER = 16
"""So many trials does a worker of the vectorized engine train, unless it is told."""
OF_ALL_TRIALS = ("store", "tracking", "runtime", "preflight", "checkpoint_every")
"""The keys of a config that say where and how, not what, is trained: nothing to search. One
process of a trial cannot have other threads, and another BLAS kernel, than the one beside it."""


@dataclass(frozen=True)
class Definition:
    """Everything that a sweep's file and the command line say."""

    name: str
    space: Space
    metrics: tuple[str, ...]
    """Of the reports, or `parameters`, or `seconds`; several are searched for their best
    compromises (the Pareto front)."""
    directions: tuple[str, ...] = ("minimize",)
    overrides: tuple[str, ...] = ()
    """Hydra overrides that make the experiment."""
    sampler: Sampler = field(default_factory=TPE)
    pruner: Pruner = field(default_factory=Median)
    constraints: tuple[Constraint, ...] = ()
    seed: int = 0
    """Of the sampler; the experiment has its own."""
    trials: int = 40
    time: str = "never"
    """After which no trial is begun, as in "10 minutes"."""
    epochs: int = 0
    """Of all trials together, after which no trial is begun; 0 means any number."""
    workers: int = 0
    """Processes of trials at once; 0 means one for each core."""
    engine: str = "local"
    """`local`: a worker runs one trial; `vectorized`: it trains several in one theta, to the same
    bits."""
    trials_per_worker: int | None = None
    """Of the vectorized engine; None means 16."""
    deterministic: bool = False
    """Does a suggestion see the trials that are `lag` older, and no others?"""
    lag: int = 0
    """0 means the number of trials at once."""
    retries: int = 0
    """How often a failed trial is tried again."""
    timeout: float = 0.0
    """Seconds that a trial may take; 0 means any time."""
    max_failures: int = 0
    """Failed trials after which the sweep ends; 0 means any number."""
    fail_fast: bool = False
    """Does the first failed trial end the sweep?"""
    register: str = ""
    """The registered model in MLflow of which the best trial becomes a version; empty for none."""
    places: Places = field(default_factory=Places, compare=False, repr=False)
    """Where each part was written."""

    def __post_init__(self) -> None:
        law("at least one metric", len(self.metrics) >= 1, metric=self.metrics)
        law("no metric twice", len(set(self.metrics)) == len(self.metrics), metric=self.metrics)
        for direction in self.directions:
            one_of(("minimize", "maximize"), direction=direction)
        as_many = len(self.directions) == len(self.metrics)
        law("one direction for each metric", as_many, direction=list(self.directions))
        one_of(ENGINES, engine=self.engine)
        together = self.trials_per_worker
        law("trials_per_worker >= 1", together is None or together >= 1, trials_per_worker=together)
        law(
            "trials_per_worker needs engine: vectorized",
            together is None or self.engine == "vectorized",
            trials_per_worker=together,
        )
        for name in ("trials", "workers", "seed", "epochs", "lag", "retries", "timeout"):
            least = 1 if name == "trials" else 0
            value = getattr(self, name)
            law(f"{name} >= {least}", value >= least, **{name: value})
        law("max_failures >= 0", self.max_failures >= 0, max_failures=self.max_failures)
        if self.register:
            check_model_name(register=self.register)
        law("lag needs deterministic: true", self.deterministic or not self.lag, lag=self.lag)
        for key in self.space:
            if key.split(".")[0] in OF_ALL_TRIALS:
                raise LawError(
                    f"{key} is the same for all trials of a sweep: give it one value, but got "
                    f"{key}={self.space[key].plain}",
                    key,
                )
        interval = Interval.parse(self.time, "time")
        by_time = math.isinf(interval.steps) and math.isinf(interval.epochs)
        law("time is in seconds or minutes, or never", by_time, time=self.time)
        if len(self.metrics) > 1:
            self._check_several()
        if isinstance(self.sampler, Grid):
            finite = size(self.space) <= GRID_POINTS
            law(
                f"a grid has at most {GRID_POINTS:,} points: give its ranges a step",
                finite,
                sampler=self.sampler,
            )
        if isinstance(self.sampler, CMAES):
            self._check_numbers()

    @property
    def metric(self) -> str:
        """The first of the metrics, mostly the only one."""
        return self.metrics[0]

    @property
    def direction(self) -> str:
        """Of the first metric."""
        return self.directions[0]

    @property
    def seconds(self) -> float:
        """After which no trial is begun."""
        return Interval.parse(self.time, "time").seconds

    @property
    def at_once(self) -> int:
        """Trials at once, however many there are."""
        return (self.workers or _cores()) * self.each

    @property
    def each(self) -> int:
        """Trials of a worker at once, however many there are."""
        return self.trials_per_worker or TOGETHER if self.engine == "vectorized" else 1

    @property
    def slots(self) -> int:
        """Trials at once on this machine."""
        return min(self.at_once, self.trials)

    @property
    def processes(self) -> int:
        """Workers that have a trial."""
        return min(self.workers or _cores(), self.slots)

    @property
    def together(self) -> int:
        """Trials that a worker has at once, at the most."""
        return -(-self.slots // self.processes)

    @property
    def parallel(self) -> str:
        """How many trials run at once, in words."""
        workers = f" on {self.processes} workers" if self.together > 1 else ""
        return f"{self.slots} at once{workers}"

    @property
    def delay(self) -> int:
        """How many trials older the youngest is that a suggestion sees; 0 where it sees all that
        have ended."""
        return (self.lag or self.at_once) if self.deterministic else 0

    def broken(self, measured: Mapping[str, float]) -> list[str]:
        """The constraints that a trial with these measurements breaks, each with its value.

        `measured` holds the trial's metrics, its `seconds` and its `parameters`.
        """
        return broken(self.constraints, measured)

    @property
    def plain(self) -> dict[str, Any]:
        """The same as plain data."""
        several = len(self.metrics) > 1
        settings = (
            "trials time epochs workers engine deterministic lag retries timeout max_failures "
            "fail_fast register"
        )
        return {
            "name": self.name,
            "space": {key: parameter.plain for key, parameter in self.space.items()},
            "metric": list(self.metrics) if several else self.metric,
            "direction": list(self.directions) if several else self.direction,
            "overrides": list(self.overrides),
            "sampler": plain(self.sampler),
            "pruner": plain(self.pruner),
            "constraints": {one.quantity: _limits(one) for one in self.constraints},
            "seed": self.seed,
            **{key: getattr(self, key) for key in settings.split()},
            "trials_per_worker": self.each,
        }

    def _check_several(self) -> None:
        """Raise `LawError` for what cannot serve several objectives."""
        if self.register:
            raise LawError(
                "several objectives have no best trial: leave register out, and choose one of the "
                f"front with `nnlab register RUN NAME`, but got register={self.register}",
                "register",
            )
        if not isinstance(self.pruner, NoPruning):
            raise LawError(
                "trials of several objectives are not pruned: a value cannot be worse than a "
                f"front; write pruner: none, but got pruner={self.pruner}",
                "pruner",
            )
        if not isinstance(self.sampler, SEVERAL_OBJECTIVES):
            names = ", ".join(kind.name for kind in SEVERAL_OBJECTIVES)
            raise LawError(
                f"several objectives are searched by {names}, but got sampler={self.sampler}",
                "sampler",
            )

    def _check_numbers(self) -> None:
        """Raise `LawError` for what an evolution strategy cannot vary."""
        for key, parameter in self.space.items():
            if isinstance(parameter, Choices) and len(parameter.values) > 1:
                raise LawError(
                    f"cmaes varies numbers, but {key} is a choice: use sampler: tpe", "sampler"
                )
        numbers = [key for key, one in self.space.items() if not isinstance(one, Choices)]
        if len(numbers) < 2:
            raise LawError(
                "cmaes varies two or more numbers, but got "
                f"{', '.join(numbers) or 'none'}: use sampler: tpe",
                "sampler",
            )


def _limits(constraint: Constraint) -> dict[str, float]:
    limits = {"min": constraint.low, "max": constraint.high}
    return {key: value for key, value in limits.items() if math.isfinite(value)}


def _cores() -> int:
    """The cores this process may use, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

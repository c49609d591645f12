"""Optuna's edge: which values to try next, and which trials to stop early."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from nnlab.sweeps.definition import Definition
from nnlab.sweeps.space import Choices, Parameter

_SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
}
_PRUNERS: Mapping[str, Callable[[], BasePruner]] = {
    "median": lambda: MedianPruner(n_startup_trials=5, n_warmup_steps=5),
    "none": NopPruner,
}


class Search:
    """An Optuna study in memory, by ask and tell."""

    def __init__(self, definition: Definition) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.definition = definition
        self._study = optuna.create_study(
            direction=StudyDirection[definition.direction.upper()],
            pruner=_PRUNERS[definition.pruner](),
        )
        self._space = {key: _distribution(spec) for key, spec in definition.space.items()}
        self._trials: dict[int, optuna.Trial] = {}

    def ask(self) -> tuple[int, dict[str, Any]]:
        """The next trial's number and values.

        Its randomness comes from (study seed, trial number): a search that goes on after an
        interruption suggests what it would have suggested.
        """
        number = len(self._trials)
        seed = sha256(f"{self.definition.seed}/{number}".encode()).digest()
        self._study.sampler = _SAMPLERS[self.definition.sampler](int.from_bytes(seed[:4]))
        trial = self._study.ask(self._space)
        self._trials[trial.number] = trial
        space = self.definition.space
        return trial.number, {key: space[key].value(trial.params[key]) for key in space}

    def should_prune(self, number: int, evaluation: int, value: float) -> bool:
        """Is the trial, after this evaluation, worse than its peers were?"""
        trial = self._trials[number]
        trial.report(value, evaluation)
        return trial.should_prune()

    def tell(self, number: int, state: str, value: float | None) -> None:
        """How the trial ended: COMPLETE with a value, PRUNED or FAILED."""
        states = {
            "COMPLETE": TrialState.COMPLETE,
            "PRUNED": TrialState.PRUNED,
            "FAILED": TrialState.FAIL,
        }
        values = value if state == "COMPLETE" else None
        self._study.tell(self._trials[number], values, states[state])


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Choices):
        return CategoricalDistribution(parameter.labels)
    if isinstance(parameter.low, int) and isinstance(parameter.high, int):
        return IntDistribution(parameter.low, parameter.high, log=parameter.log)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)

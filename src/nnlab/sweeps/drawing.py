"""Drawing a point: Optuna's samplers, and sequences of points that need none.

Optuna's samplers are made anew for every trial, with a seed of their own.
"""

import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from nnlab.errors import UserError
from nnlab.sweeps import points
from nnlab.sweeps.points import Values
from nnlab.sweeps.samplers import CMAES, NSGA2, QMC, TPE, Grid, Random, Sampler
from nnlab.sweeps.space import Choices, Parameter, Space, holds

Maker = Callable[[int], BaseSampler]
"""Of a sampler with this seed."""


def maker(sampler: Sampler, space: Space) -> Maker | None:
    """What makes Optuna's sampler; None for a sampler that is a sequence.

    Raises `UserError` where a library is missing.
    """
    conditional = any(parameter.when for parameter in space.values())
    match sampler:
        case TPE():
            return partial(_tpe, sampler, conditional)
        case Random():
            return lambda seed: optuna.samplers.RandomSampler(seed=seed)
        case CMAES():
            return _cmaes(sampler)
        case NSGA2():
            return lambda seed: optuna.samplers.NSGAIISampler(
                population_size=sampler.population, crossover_prob=sampler.crossover, seed=seed
            )
        case _:
            return None


def sequence(sampler: Sampler, space: Space, seed: int) -> Iterator[Values]:
    """The points of a sampler that is a sequence, a function of the seed alone."""
    match sampler:
        case Grid():
            every = list(points.every(space))
            for index in np.random.default_rng(seed).permutation(len(every)):
                yield every[index]
        case QMC():
            from scipy.stats import qmc

            kind = qmc.Sobol if sampler.sequence == "sobol" else qmc.Halton
            engine = kind(len(space), scramble=True, rng=np.random.default_rng(seed))
            while True:
                yield points.at(space, engine.random(1)[0].tolist())


def remembers(sampler: Sampler) -> bool:
    """Does Optuna's sampler keep notes in the trials that it suggested?"""
    return isinstance(sampler, CMAES | NSGA2)


def draw(sampler: BaseSampler, study: optuna.Study, trial: FrozenTrial, space: Space) -> Values:
    """A point of the space: what depends on other parameters together, the rest one by one."""
    sampler.before_trial(study, trial)
    together = take_notes(sampler, study, trial)
    values: Values = {}
    for key, parameter in space.items():
        if not holds(parameter, values):
            continue
        kind = distribution(parameter)
        if kind.single():
            suggested = parameter.suggestion(parameter.ends()[0])
        elif key in together:
            suggested = together[key]
        else:
            suggested = sampler.sample_independent(study, trial, key, kind)
        values[key] = parameter.value(suggested)
    return values


def take_notes(sampler: BaseSampler, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
    """What the sampler suggests together; those that remember write in the trial how."""
    return sampler.sample_relative(study, trial, sampler.infer_relative_search_space(study, trial))


def distribution(parameter: Parameter) -> BaseDistribution:
    """Optuna's word for a parameter."""
    if isinstance(parameter, Choices):
        return CategoricalDistribution(parameter.labels)
    if parameter.whole:
        low, last = int(parameter.low), int(parameter.last)
        return IntDistribution(low, last, log=parameter.log, step=int(parameter.step or 1))
    if parameter.step is None:
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    return _stepped(parameter.low, parameter.last, parameter.step)


@cache
def _stepped(low: float, last: float, step: float) -> BaseDistribution:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that the end is not reached: it is not to be
        return FloatDistribution(low, last + step / 2, step=step)


def _tpe(sampler: TPE, conditional: bool, seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of groups
        return optuna.samplers.TPESampler(
            n_startup_trials=sampler.startup,
            n_ei_candidates=sampler.candidates,
            multivariate=True if conditional else None,
            group=conditional,
            seed=seed,
        )


def _cmaes(sampler: CMAES) -> Maker:
    if find_spec("cmaes") is None:
        raise UserError(
            "the sampler cmaes needs the package of that name: pip install nnlab[cmaes]"
        )
    return lambda seed: optuna.samplers.CmaEsSampler(
        n_startup_trials=sampler.startup,
        popsize=sampler.population or None,
        warn_independent_sampling=False,
        seed=seed,
    )

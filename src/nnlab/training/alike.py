"""Experiments that differ in numbers alone: what they have in common, and one component for all."""

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cache
from typing import Any, get_type_hints

import numpy as np

from nnlab.core.arrays import Hyper
from nnlab.core.lbfgs import LBFGS
from nnlab.core.objective import Analytic
from nnlab.core.random_search import RandomSearch
from nnlab.training.experiment import Experiment
from nnlab.training.stopping import TimeBudget

NUMBERS = ("optimizer", "penalty", "averaging", "clipping")
"""The parts of an experiment whose hyperparameters may differ within a stack."""


def shape_of(experiment: Experiment) -> Any:
    """What trainings have in common that can be stacked: the experiment without its seed and the
    hyperparameters that are one number for each model. None where it is trained by itself:

    L-BFGS and random search (a step asks more than one gradient), numerical gradients, dropout,
    batch normalisation, augmentation, and a limit of time.
    """
    model = experiment.model
    alone = (
        isinstance(experiment.optimizer, LBFGS | RandomSearch),
        not isinstance(experiment.gradient, Analytic),
        getattr(model, "dropout", 0.0) > 0,
        getattr(model, "batch_norm", False),
        experiment.augmentation,
        any(isinstance(rule, TimeBudget) for rule in experiment.stopping),
        experiment.seeds > 1,
    )
    if any(alone):
        return None
    parts = {name: _shape(getattr(experiment, name)) for name in NUMBERS}
    rest = {
        one.name: getattr(experiment, one.name)
        for one in fields(experiment)
        if one.name not in (*NUMBERS, "seed")
    }
    return parts, rest


@cache
def _hypers(of: type[Any]) -> frozenset[str]:
    """The fields of a kind of component that may be a number for each of K models."""
    hints = get_type_hints(of)
    return frozenset(one.name for one in fields(of) if hints[one.name] == Hyper)


def _shape(component: Any) -> Any:
    """What a component has beside such numbers."""
    own = _hypers(component.__class__)
    rest = {one.name: getattr(component, one.name) for one in fields(component)}
    return type(component), {key: value for key, value in rest.items() if key not in own}


def merged(components: Sequence[Any]) -> Any:
    """One component for K models."""
    first = components[0]
    values = {key: [getattr(one, key) for one in components] for key in _hypers(first.__class__)}
    return replace(first, **{key: number(value) for key, value in values.items()})


def number(values: Sequence[Any]) -> Hyper:
    """One number for all models where it is the same, else `(K, 1)`."""
    return values[0] if len(set(values)) == 1 else np.array(values, np.float64)[:, None]

"""The closed registry: every name a config may use, and the class it stands for.

A config cannot name anything else; nothing is imported by a name that a config gives.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from nnlab.core import averaging, losses, model, optimizers, penalties, schedules
from nnlab.data import sources
from nnlab.runs import destination
from nnlab.runs.runtime import Runtime
from nnlab.training import stopping

GROUPS: Mapping[str, Mapping[str, type[Any]]] = MappingProxyType(
    {
        "model": {"linear": model.Linear, "mlp": model.MLP},
        "loss": {
            "mse": losses.MSE,
            "cross_entropy": losses.CrossEntropy,
            "binary_cross_entropy": losses.BinaryCrossEntropy,
            "hinge": losses.Hinge,
            "squared_hinge": losses.SquaredHinge,
        },
        "penalty": {
            "none": penalties.NoPenalty,
            "l2": penalties.L2,
            "l1": penalties.L1,
            "elastic": penalties.Elastic,
        },
        "optimizer": {
            "sgd": optimizers.SGD,
            "momentum": optimizers.Momentum,
            "nag": optimizers.NAG,
            "adam": optimizers.Adam,
        },
        "schedule": {
            "constant": schedules.Constant,
            "cosine": schedules.Cosine,
            "step": schedules.Step,
        },
        "data": {
            "digits": sources.Digits,
            "iris": sources.Iris,
            "breast_cancer": sources.BreastCancer,
            "diabetes": sources.Diabetes,
        },
        "averaging": {"none": averaging.NoAveraging, "ema": averaging.EMA},
        "stopping": {
            rule.name: rule
            for rule in (
                stopping.MaxEpochs,
                stopping.MaxSteps,
                stopping.TimeBudget,
                stopping.LossBelow,
                stopping.AccuracyReached,
                stopping.Patience,
            )
        },
        "tracking": {"mlflow": destination.MLflow, "none": destination.Untracked},
        "runtime": {"native": Runtime},
    }
)

"""The closed registry: every name a config may use, and the class it stands for.

A config cannot name anything else; nothing is imported by a name that a config gives.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from nnlab.core import (
    adaptive,
    averaging,
    clipping,
    gradients,
    initialisers,
    lbfgs,
    losses,
    model,
    objective,
    optimizers,
    penalties,
    random_search,
    schedules,
    smoothing,
    warmup,
    weighting,
)
from nnlab.data import sources, validation
from nnlab.runs import destination
from nnlab.runs.runtime import Runtime
from nnlab.training import stopping

GROUPS: Mapping[str, Mapping[str, type[Any]]] = MappingProxyType(
    {
        "model": {"linear": model.Linear, "mlp": model.MLP},
        "initialiser": {
            "he": initialisers.He,
            "xavier": initialisers.Xavier,
            "normal": initialisers.Normal,
            "zeros": initialisers.Zeros,
        },
        "loss": {
            "mse": losses.MSE,
            "half_mse": losses.HalfMSE,
            "huber": losses.Huber,
            "sigmoid_squared_error": losses.SigmoidSquaredError,
            "cross_entropy": losses.CrossEntropy,
            "binary_cross_entropy": losses.BinaryCrossEntropy,
            "hinge": losses.Hinge,
            "squared_hinge": losses.SquaredHinge,
            "binary_hinge": losses.BinaryHinge,
        },
        "label_smoothing": {
            "none": smoothing.NoSmoothing,
            "uniform": smoothing.UniformSmoothing,
        },
        "weighting": {
            "none": weighting.NoWeighting,
            "balanced": weighting.Balanced,
            "by_class": weighting.ByClass,
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
            "adagrad": adaptive.Adagrad,
            "adadelta": adaptive.Adadelta,
            "rmsprop": adaptive.RMSProp,
            "adam": adaptive.Adam,
            "adamw": adaptive.AdamW,
            "nadam": adaptive.Nadam,
            "lion": adaptive.Lion,
            "lbfgs": lbfgs.LBFGS,
            "random_search": random_search.RandomSearch,
            "random_local_search": random_search.RandomLocalSearch,
        },
        "gradient": {"analytic": objective.Analytic, "numerical": gradients.Numerical},
        "clipping": {
            "none": clipping.NoClipping,
            "norm": clipping.ClipNorm,
            "value": clipping.ClipValue,
        },
        "schedule": {
            "constant": schedules.Constant,
            "step": schedules.Step,
            "exponential": schedules.Exponential,
            "inverse_time": schedules.InverseTime,
            "cosine": schedules.Cosine,
            "one_cycle": schedules.OneCycle,
            "reduce_on_plateau": schedules.ReduceOnPlateau,
        },
        "warmup": {"none": warmup.NoWarmup, "linear": warmup.LinearWarmup},
        "data": {
            "digits": sources.Digits,
            "iris": sources.Iris,
            "breast_cancer": sources.BreastCancer,
            "diabetes": sources.Diabetes,
        },
        "validation": {
            "holdout": validation.Holdout,
            "kfold": validation.KFold,
            "fold": validation.Fold,
        },
        "averaging": {
            "none": averaging.NoAveraging,
            "ema": averaging.EMA,
            "swa": averaging.SWA,
        },
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

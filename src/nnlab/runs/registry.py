"""The closed registry: every name a config may use, and the class it stands for.

A config cannot name anything else; nothing is imported by a name that a config gives. Plugins of
the command line add to it (`nnlab.plugins`).
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
from nnlab.data import validation
from nnlab.data.augmentation.crop import Crop
from nnlab.data.augmentation.flip import Flip
from nnlab.data.augmentation.mixup import Mixup
from nnlab.data.augmentation.shift import Shift
from nnlab.data.features.color_histogram import ColorHistogram
from nnlab.data.features.hog import HOG
from nnlab.data.features.visual_words import VisualWords
from nnlab.data.preparation import scaling
from nnlab.data.preparation.balance import Balance
from nnlab.data.preparation.image_mean import ImageMean
from nnlab.data.preparation.label_noise import LabelNoise
from nnlab.data.preparation.pca import PCA
from nnlab.data.preparation.smote import Smote
from nnlab.data.preparation.subset import Subset
from nnlab.data.preparation.zca import ZCA
from nnlab.data.sources import bundled, california, cifar, images, mnist, mnist_100, table
from nnlab.data.sources.synthetic import curves, mixtures, shapes
from nnlab.runs import destination
from nnlab.runs.runtime import Portable, Runtime
from nnlab.training import stopping

_groups: dict[str, dict[str, type[Any]]] = {
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
        "digits": bundled.Digits,
        "iris": bundled.Iris,
        "wine": bundled.Wine,
        "breast_cancer": bundled.BreastCancer,
        "diabetes": bundled.Diabetes,
        "mnist": mnist.MNIST,
        "mnist_100": mnist_100.MNIST100,
        "fashion_mnist": mnist.FashionMNIST,
        "kmnist": mnist.KMNIST,
        "cifar10": cifar.CIFAR10,
        "california_housing": california.CaliforniaHousing,
        "table": table.Table,
        "images": images.Images,
        "line": curves.Line,
        "parabola": curves.Parabola,
        "formula": curves.Formula,
        "spirals": shapes.Spirals,
        "moons": shapes.Moons,
        "xor": shapes.Xor,
        "checkerboard": shapes.Checkerboard,
        "blobs": mixtures.Blobs,
        "gaussian_mixture": mixtures.GaussianMixture,
    },
    "features": {one.name: one for one in (ColorHistogram, HOG, VisualWords)},
    "preparation": {
        step.name: step
        for step in (
            scaling.Unit,
            scaling.Standard,
            ImageMean,
            Subset,
            LabelNoise,
            Balance,
            Smote,
            PCA,
            ZCA,
        )
    },
    "augmentation": {change.name: change for change in (Mixup, Flip, Crop, Shift)},
    "validation": {
        "holdout": validation.Holdout,
        "kfold": validation.KFold,
        "fold": validation.Fold,
        "given": validation.Given,
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
    "runtime": {"native": Runtime, "portable": Portable},
}

GROUPS: Mapping[str, Mapping[str, type[Any]]] = MappingProxyType(
    {group: MappingProxyType(known) for group, known in _groups.items()}
)
"""The classes by group and name."""


def add(group: str, name: str, component: type[Any]) -> None:
    """Have that name stand for a plugin's class, which `runs.contract` has checked."""
    _groups[group][name] = component

"""Arguments that any test may ask for: every public class of a kind, found by inspection.

A test that takes `loss_class` runs once for each loss there is. So a new class needs no list of its
own here, and fails every test whose table it is missing from.
"""

import inspect
from types import ModuleType

import pytest

from nnlab.core import (
    activations,
    adaptive,
    averaging,
    clipping,
    dropout,
    gradients,
    initialisers,
    layers,
    lbfgs,
    losses,
    model,
    normalisation,
    objective,
    optimizers,
    penalties,
    random_search,
    schedules,
    smoothing,
    surfaces,
    warmup,
    weighting,
)

BASES = {  # what classes of a kind have in common, and no config can choose
    activations.Activation,
    activations.Elementwise,
    layers.Layer,
    losses.Mean,
    losses.OnLabels,
    losses.OnNumbers,
    losses.OneOrRest,
    optimizers.GradientStep,
    schedules.Planned,
}


def public(module: ModuleType, method: str) -> list[type]:
    """The public classes that `module` defines and that have that method."""
    return [
        cls
        for name, cls in inspect.getmembers(module, inspect.isclass)
        if cls.__module__ == module.__name__
        and not name.startswith("_")
        and cls not in BASES
        and not getattr(cls, "_is_protocol", False)
        and any(method in vars(base) for base in cls.__mro__)
    ]


LAYERS = [
    cls
    for module in (layers, activations, normalisation, dropout)
    for cls in public(module, "forward")
]
KINDS = {
    "activation_class": [cls for cls in LAYERS if issubclass(cls, activations.Elementwise)],
    "averaging_class": public(averaging, "update"),
    "clipping_class": public(clipping, "clip"),
    "gradient_class": public(gradients, "of") + public(objective, "of"),
    "initialiser_class": public(initialisers, "deviation"),
    "layer_class": LAYERS,
    "loss_class": public(losses, "__call__"),
    "model_class": public(model, "build"),
    "optimizer_class": [
        cls
        for module in (optimizers, adaptive, lbfgs, random_search)
        for cls in public(module, "step")
    ],
    "penalty_class": public(penalties, "add"),
    "schedule_class": public(schedules, "start"),
    "smoothing_class": public(smoothing, "of"),
    "surface_class": public(surfaces, "__call__"),
    "warmup_class": public(warmup, "before"),
    "weighting_class": public(weighting, "of"),
}
KINDS["any_class"] = list(dict.fromkeys(cls for classes in KINDS.values() for cls in classes))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for argument, classes in KINDS.items():
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, classes, ids=lambda cls: cls.__name__)

"""Arguments that any test may ask for: every public class of a kind, found by inspection.

A test that takes `loss_class` runs once for each loss there is. So a new class needs no list of its
own here, and fails every test whose table it is missing from.
"""

import inspect
from types import ModuleType

import pytest

from nnlab.core import averaging, layers, losses, model, optimizers, penalties, schedules, surfaces


def public(module: ModuleType, method: str) -> list[type]:
    """The public classes that `module` defines and that have that method."""
    return [
        cls
        for name, cls in inspect.getmembers(module, inspect.isclass)
        if cls.__module__ == module.__name__
        and not name.startswith("_")
        and not getattr(cls, "_is_protocol", False)
        and any(method in vars(base) for base in cls.__mro__)
    ]


KINDS = {
    "activation_class": [cls for cls in public(layers, "apply") if cls is not layers.Activation],
    "averaging_class": public(averaging, "update"),
    "loss_class": public(losses, "__call__"),
    "model_class": public(model, "build"),
    "optimizer_class": public(optimizers, "step"),
    "penalty_class": public(penalties, "add"),
    "schedule_class": public(schedules, "start"),
    "surface_class": public(surfaces, "__call__"),
}
KINDS["any_class"] = [cls for classes in KINDS.values() for cls in classes]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for argument, classes in KINDS.items():
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, classes, ids=lambda cls: cls.__name__)

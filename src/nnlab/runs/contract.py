"""What a class must be to stand in a group of the registry, and the config that it makes."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from types import MappingProxyType, UnionType
from typing import Any, Protocol, Union, get_args, get_origin, get_type_hints

from nnlab.core.arrays import Hyper
from nnlab.core.averaging import Averaging
from nnlab.core.clipping import Clipping
from nnlab.core.initialisers import Initialiser
from nnlab.core.laws import LawError, one_of
from nnlab.core.losses import Loss
from nnlab.core.model import Model
from nnlab.core.objective import Gradient
from nnlab.core.optimizers import Optimizer
from nnlab.core.penalties import Penalty
from nnlab.core.schedules import Schedule
from nnlab.core.smoothing import Smoothing
from nnlab.core.warmup import Warmup
from nnlab.core.weighting import Weighting
from nnlab.data.augmentation.augmentation import Augmentation
from nnlab.data.features.feature import Feature
from nnlab.data.preparation.step import Resampling, Step
from nnlab.data.sources.source import Source
from nnlab.data.validation import Validation
from nnlab.errors import UserError
from nnlab.runs.config import LISTS, checked
from nnlab.runs.destination import Tracking
from nnlab.runs.plain import Config
from nnlab.runs.registry import GROUPS
from nnlab.runs.runtime import Runtime
from nnlab.training.stopping import Rule

CONTRACTS: Mapping[str, tuple[type[Any], ...]] = MappingProxyType(
    {
        "model": (Model,),
        "initialiser": (Initialiser,),
        "loss": (Loss,),
        "label_smoothing": (Smoothing,),
        "weighting": (Weighting,),
        "penalty": (Penalty,),
        "optimizer": (Optimizer,),
        "gradient": (Gradient,),
        "clipping": (Clipping,),
        "schedule": (Schedule,),
        "warmup": (Warmup,),
        "data": (Source,),
        "features": (Feature,),
        "preparation": (Step, Resampling),
        "augmentation": (Augmentation,),
        "validation": (Validation,),
        "averaging": (Averaging,),
        "stopping": (Rule,),
        "tracking": (Tracking,),
        "runtime": (Runtime,),
    }
)
"""A component of a group follows one of these Protocols, or is a subclass where it is a class."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SCALARS = (int, float, bool, str)


def check_name(group: str, name: str) -> None:
    """Raise `LawError` unless a component of that name can be added to that group."""
    one_of(GROUPS, group=group)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise LawError(
            "a component's name must be small letters, digits and _, beginning with a letter, but "
            f"got name={name!r} ({group})",
            "name",
        )
    if name in GROUPS[group]:
        has = GROUPS[group][name]
        raise LawError(
            f"a name in a group must be free, but {group} {name} is "
            f"{has.__module__}.{has.__qualname__}: choose another name",
            "name",
        )


def check_component(group: str, name: str, component: Any) -> None:
    """Raise `LawError` unless the class can be configured and follows the group's contract."""
    what = f"{group} {name}"
    if not isinstance(component, type) or not _frozen(component):
        raise LawError(
            f"a component must be a frozen dataclass, but {what} is {_shown(component)}: write "
            "@dataclass(frozen=True) between @register and the class",
            "component",
        )
    wanted = CONTRACTS[group]
    lacks = [list(_lacks(component, contract)) for contract in wanted]
    if all(lacks):
        nearest = min(lacks, key=len)
        names = " or ".join(f"{one.__module__}.{one.__name__}" for one in wanted)
        raise LawError(
            f"a component of {group} must follow {names}, but {what} ({_shown(component)}) "
            f"{'; '.join(nearest)}",
            "component",
        )
    said = getattr(component, "name", None)
    if group in LISTS and said != name:
        raise LawError(
            f"a component of {group} must have the name that it is registered by, but {what} has "
            f'name={said!r}: write name: ClassVar[str] = "{name}"',
            "name",
        )


def choice(group: str, name: str, component: type[Any]) -> Config:
    """What a file `conf/GROUP/NAME.yaml` would say of the class: every field and its default, or
    `???` (it must be given) where it has none. Raises `LawError` for what no config can say."""
    try:
        kinds = get_type_hints(component)
    except NameError as error:
        raise LawError(
            f"the types of the fields of {group} {name} must be known to its module, but {error}",
            "component",
        ) from error
    values = {field.name: _value(field, kinds[field.name], group) for field in fields(component)}
    return {name: values} if group in LISTS else {"name": name, **values}


def _frozen(component: type[Any]) -> bool:
    params = vars(component).get("__dataclass_params__")  # its own, not those of a base
    return params is not None and bool(params.frozen)


def _shown(component: object) -> str:
    if isinstance(component, type):
        return f"the class {component.__module__}.{component.__qualname__}"
    return f"{type(component).__name__} {component!r}"


def _lacks(component: type[Any], contract: type[Any]) -> Iterator[str]:
    """What the class has not, or otherwise, of the contract."""
    if not getattr(contract, "_is_protocol", False):
        if not issubclass(component, contract):
            yield f"is no subclass of {contract.__name__}"
        elif contract is Source and component.load is Source.load:
            yield "has no load(self)"
        return
    known = {field.name for field in fields(component)}
    for name, member in _members(contract).items():
        got = inspect.getattr_static(component, name, None)
        if inspect.isfunction(member):
            if got is None or got is member:
                yield f"has no {name}{_signature(member)}"
            elif inspect.isfunction(got) and not _takes(got, member):
                yield f"has {name}{_signature(got)} where {_signature(member)} is called"
        elif name not in known and (got is None or got is member):
            yield f"has no {name}"


def _members(contract: type[Any]) -> dict[str, Any]:
    """The methods and properties of a Protocol, and None for what it only annotates."""
    found: dict[str, Any] = {}
    for kind in reversed(contract.__mro__):
        if kind is not Protocol and getattr(kind, "_is_protocol", False):
            found |= dict.fromkeys(inspect.get_annotations(kind))
            found |= {
                name: member
                for name, member in vars(kind).items()
                if name == "__call__"
                or (not name.startswith("_") and isinstance(member, property))
                or (not name.startswith("_") and inspect.isfunction(member))
            }
    return found


def _signature(method: Any) -> str:
    return f"({', '.join(inspect.signature(method).parameters)})"


def _takes(got: Any, member: Any) -> bool:
    """Can it be called as the Protocol's method is?"""
    try:
        inspect.signature(got).bind(*inspect.signature(member).parameters)
    except TypeError:
        return False
    return True


def _value(field: "Field[Any]", kind: Any, group: str) -> Any:
    """The field's default, as a config says it."""
    at = f"{group}.{field.name}"
    if field.name == "name" or not field.init:
        why = "`name` is how a config names the component" if field.init else "it has init=False"
        raise LawError(f"a field must be an argument of a config, but {at}: {why}", field.name)
    if not _configurable(kind):
        raise LawError(
            "a field must be int, float, bool, str, Hyper or tuple[..., ...] of these, but "
            f"{at} is {getattr(kind, '__name__', kind)}",
            field.name,
        )
    if field.default is not MISSING:
        default = field.default
    elif field.default_factory is not MISSING:
        default = field.default_factory()
    else:
        return "???"
    try:
        return _plain(checked(default, kind, at))
    except UserError as error:
        raise LawError(f"{error} (its default)", field.name) from error


def _configurable(kind: Any) -> bool:
    """Does `runs.config.checked` know how to check it?"""
    if get_origin(kind) is tuple:
        of, *rest = get_args(kind)
        return rest == [...] and _configurable(of)
    if get_origin(kind) in (Union, UnionType):
        return kind == Hyper or set(get_args(kind)) <= {int, bool, str}
    return kind in _SCALARS


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value.replace("${", r"\${") if isinstance(value, str) else value

"""From plain data to a typed experiment: every key, type and range is checked here.

A component's schema is its dataclass: its fields, their types, and its own laws.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from nnlab.core.laws import LawError, shortened
from nnlab.data.validation import KFold
from nnlab.errors import UserError
from nnlab.names import nearest
from nnlab.runs.checkpoint import Interval
from nnlab.runs.destination import Tracking
from nnlab.runs.plain import Config
from nnlab.runs.plugged import MissingComponentError, hint
from nnlab.runs.registry import GROUPS
from nnlab.runs.runtime import Runtime
from nnlab.training.experiment import Experiment
from nnlab.training.trainer import Training

_EXPERIMENT_GROUPS = (
    "data",
    "validation",
    "model",
    "initialiser",
    "loss",
    "label_smoothing",
    "weighting",
    "penalty",
    "optimizer",
    "gradient",
    "clipping",
    "schedule",
    "warmup",
    "averaging",
)
LISTS = ("features", "preparation", "augmentation", "stopping")
"""The groups of which several may be chosen, in an order."""
_EXPERIMENT_FIELDS = {
    "seed": int,
    "seeds": int,
    "batch_size": int,
    "dtype": str,
    "evaluate_every": str,
}
KEYS = (
    *_EXPERIMENT_GROUPS,
    *LISTS,
    *_EXPERIMENT_FIELDS,
    "tracking",
    "runtime",
    "preflight",
    "checkpoint_every",
    "store",
)

MOST = 1_000
"""Trainings of one run: they are in memory together."""
_KEYS = {
    "fraction": "validation.fraction",
    "weights": "weighting.weights",
    "train": "validation, data.test",
    "test": "data.test",
}
"""The keys of what a law about the data names."""


@dataclass(frozen=True)
class RunConfig:
    """A checked config: the experiment, and where and how it is run."""

    experiment: Experiment
    tracking: Tracking
    runtime: Runtime
    preflight: bool
    """Is the experiment checked before it is trained?"""
    checkpoint_every: Interval
    store: Path
    plain: Config
    """The same as plain data."""


def parse(config: Config) -> RunConfig:
    """The typed form of a config; raises `UserError` with the key, the law and the value."""
    _known(config, KEYS, "")
    for key in KEYS:
        if key not in config:
            law = " (at least one rule must end a run)" if key == "stopping" else ""
            raise UserError(f"the config has no {key}{law}")
    store = checked(config["store"], str, "store")
    if not store.strip():
        raise UserError(f"store must name a folder, but got store={store!r}")
    parts = {group: build(group, config[group]) for group in _EXPERIMENT_GROUPS}
    lists: dict[str, Any] = {group: _several(group, config[group]) for group in LISTS}
    values = {key: checked(config[key], kind, key) for key, kind in _EXPERIMENT_FIELDS.items()}
    try:
        experiment = Experiment(**parts, **lists, **values)
        interval = Interval.parse(str(config["checkpoint_every"]), "checkpoint_every")
    except LawError as error:
        raise UserError(str(error)) from error
    return RunConfig(
        experiment,
        build("tracking", config["tracking"]),
        build("runtime", config["runtime"]),
        checked(config["preflight"], bool, "preflight"),
        interval,
        Path(store),
        config,
    )


def prepare(
    config: RunConfig,
    until: int | None = None,
    trainings: int = 1,
    like: Training | None = None,
) -> Training:
    """The training that a config describes, ready to start; raises `UserError` where its parts
    do not fit each other, or so many like it the memory. `until` ends it after that step; it shares
    the data of one `like` it."""
    try:
        return Training(config.experiment, until, trainings, like)
    except LawError as error:
        chosen = [f"{key}={config.plain[key]['name']}" for key in ("loss", "data")]
        shown = {"loss": ", ".join(chosen), "data": chosen[1], **_KEYS}
        key = shown.get(error.field, error.field)
        if key in {field.name for field in fields(config.experiment.data)}:
            key = f"data.{key}"
        raise UserError(f"{error} ({key})") from error


def members(config: RunConfig) -> list[RunConfig]:
    """The configs of its trainings: one for each seed, and within a seed one for each fold."""
    experiment, plain = config.experiment, config.plain
    folds = experiment.validation.folds if isinstance(experiment.validation, KFold) else 1
    if experiment.seeds * folds > MOST:
        raise UserError(
            f"`seeds * folds <= {MOST}` must hold, but got {experiment.seeds} * {folds} trainings "
            "(seeds, validation.folds)"
        )
    divided = (
        [{"name": "fold", **asdict(fold)} for fold in experiment.validation.members()]
        if isinstance(experiment.validation, KFold)
        else [plain["validation"]]
    )
    if experiment.seeds == len(divided) == 1:
        return [config]
    return [
        parse({**plain, "seeds": 1, "seed": seed, "validation": validation})
        for seed in range(experiment.seed, experiment.seed + experiment.seeds)
        for validation in divided
    ]


def build(group: str, config: Any, at: str = "") -> Any:
    """The component that `config` describes: its `name` picks the class, the rest is checked."""
    at = at or group
    if not isinstance(config, Mapping):
        raise UserError(f"{at} must be a mapping with a name, but got {at}={_shown(config)}")
    known, name = GROUPS[group], config.get("name")
    if not isinstance(name, str) or name not in known:
        raise MissingComponentError(
            f"{at}.name must be one of {', '.join(sorted(known))}, but got {at}.name={_shown(name)}"
            f"{nearest(name, known) or hint()}"
        )
    kinds = get_type_hints(known[name])
    accepted = [field.name for field in fields(known[name])]
    given = {key: value for key, value in config.items() if key != "name"}
    _known(given, accepted, f"{at}.")
    arguments = {key: checked(value, kinds[key], f"{at}.{key}") for key, value in given.items()}
    for key in accepted:
        if key not in given:  # a default of today's code would not be in the logged config
            raise UserError(f"{at}.{key} is missing")
    try:
        return known[name](**arguments)
    except LawError as error:
        raise UserError(f"{error} ({at}.{error.field})") from error


_WORDS = {int: "a whole number", bool: "true or false", str: "a text"}


def checked(value: Any, kind: Any, at: str) -> Any:
    """`value`, if it is of the kind that a field's annotation says."""
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise UserError(f"{at} must be a list, but got {at}={_shown(value)}")
        return tuple(checked(item, get_args(kind)[0], f"{at}[{k}]") for k, item in enumerate(value))
    if float in (kind, *get_args(kind)):  # a float, or a Hyper
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise UserError(f"{at} must be a number, but got {at}={_shown(value)}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise UserError(f"{at} must be finite, but got {at}={_shown(value)}")
        return number
    kinds = get_args(kind) or (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        words = " or ".join(_WORDS[one] for one in kinds)
        raise UserError(f"{at} must be {words}, but got {at}={_shown(value)}")
    if isinstance(value, int) and not np.iinfo(np.int64).min <= value <= np.iinfo(np.int64).max:
        raise UserError(f"{at} must fit 64 bits, but got {at}={_shown(value)}")
    if isinstance(value, str) and "\0" in value:  # no name of a file or column has one
        raise UserError(f"{at} must have no NUL character, but got {at}={_shown(value)}")
    return value


def _shown(value: Any) -> str:
    """A value for a message; Python refuses to write out very large integers."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    return shortened(repr(value))


def _several(group: str, config: Any) -> tuple[Any, ...]:
    """The components of a mapping from their names to the rest of them, in its order."""
    if not isinstance(config, Mapping):
        raise UserError(f"{group} must be a mapping by name, but got {group}={_shown(config)}")
    parts, known = [], GROUPS[group]
    for name, arguments in config.items():
        if name not in known:
            near = nearest(name, known)
            raise MissingComponentError(
                f"{group} has no {shortened(str(name))}{near}; it has {', '.join(sorted(known))}"
                f"{'' if near else hint()}"
            )
        at = f"{group}.{name}"
        if not isinstance(arguments, Mapping):
            raise UserError(f"{at} must be a mapping, but got {_shown(arguments)}")
        if "name" in arguments:
            raise UserError(f"{at}.name is not a key of the config: it is named by {at}")
        parts.append(build(group, {"name": name, **arguments}, at))
    return tuple(parts)


def _known(given: Mapping[Any, Any], accepted: tuple[str, ...] | list[str], prefix: str) -> None:
    for key in given:
        if key not in accepted:
            named = f"{prefix}{shortened(str(key))}"
            raise UserError(
                f"{named} is not a key of the config{nearest(key, accepted)}; "
                f"known here: {', '.join(accepted) or 'nothing'}"
            )

"""A sweep as its YAML file and the command line say it, checked before the first trial."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from nnlab.core.laws import LawError, law, one_of
from nnlab.errors import UserError
from nnlab.names import nearest
from nnlab.runs.compose import compose, folders
from nnlab.runs.config import KEYS as EXPERIMENT_KEYS
from nnlab.runs.config import RunConfig, checked, parse
from nnlab.runs.execution import Execution
from nnlab.runs.plain import Config, load
from nnlab.runs.registry import GROUPS
from nnlab.sweeps.space import Choices, Space, parse_space, with_values

SAMPLERS = ("tpe", "random")
PRUNERS = ("median", "none")


@dataclass(frozen=True)
class Definition:
    """What is searched, over what, how, and for how long."""

    name: str
    space: Space
    metric: str
    direction: str = "minimize"
    overrides: tuple[str, ...] = ()
    """Hydra overrides that make the experiment."""
    sampler: str = "tpe"
    pruner: str = "median"
    trials: int = 40
    workers: int = 0
    """Trials at once; 0 means one for each core."""
    seed: int = 0
    """Of the sampler; the experiment has its own."""

    def __post_init__(self) -> None:
        one_of(("minimize", "maximize"), direction=self.direction)
        one_of(SAMPLERS, sampler=self.sampler)
        one_of(PRUNERS, pruner=self.pruner)
        law("trials >= 1", self.trials >= 1, trials=self.trials)
        law("workers >= 0", self.workers >= 0, workers=self.workers)
        law("seed >= 0", self.seed >= 0, seed=self.seed)

    @property
    def slots(self) -> int:
        """Trials at once on this machine."""
        return min(self.workers or _cores(), self.trials)

    @property
    def plain(self) -> dict[str, Any]:
        """The same as plain data."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        space = {
            key: list(spec.values) if isinstance(spec, Choices) else vars(spec)
            for key, spec in self.space.items()
        }
        return {**values, "overrides": list(self.overrides), "space": space}


_SETTINGS = {
    "metric": str,
    "direction": str,
    "sampler": str,
    "pruner": str,
    "trials": int,
    "workers": int,
    "seed": int,
}
KEYS = ("experiment", *_SETTINGS, "parameters")


def available() -> dict[str, Path]:
    """The sweeps that can be named, and their files; the working directory's come first."""
    files = [file for folder in reversed(folders("sweeps")) for file in folder.glob("*.yaml")]
    return {file.stem: file for file in sorted(files, key=lambda file: file.stem)}


def define(name: str, arguments: Sequence[str]) -> Definition:
    """The sweep of that name, changed by arguments.

    `trials=6` and the other settings of a sweep are its own, also written `sweep.trials=6`
    (`sweep.seed` only so); every other argument is an override of the experiment.
    """
    files = available()
    if name not in files:
        raise UserError(
            f"there is no sweep {name}{nearest(name, files)}; the sweeps are {', '.join(files)}"
        )
    config = dict(_read(files[name]))
    own, overrides = _divided(arguments)
    for key in (*config, *own):
        if key not in KEYS:
            raise UserError(
                f"{key} is not a key of a sweep{nearest(key, KEYS)} ({files[name].name}); "
                f"known here: {', '.join(KEYS)}"
            )
    experiment = config.get("experiment") or []
    if not isinstance(experiment, list) or not all(isinstance(item, str) for item in experiment):
        raise UserError(f"experiment must be a list of overrides, but got {experiment!r}")
    config |= own
    settings = {
        key: checked(config[key], kind, key) for key, kind in _SETTINGS.items() if key in config
    }
    if "metric" not in settings:
        raise UserError(f"metric is missing ({files[name].name})")
    try:
        return Definition(
            name,
            parse_space(config.get("parameters")),
            overrides=(*experiment, *overrides),
            **settings,
        )
    except LawError as error:
        raise UserError(f"{error} (of the sweep)") from error


class Candidates:
    """The experiments that a sweep may try: its space applied to the composed config.

    The config is composed once for each combination of group choices.
    """

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self._composed: dict[tuple[str, ...], Config] = {}
        self._experiment: str | None = None

    def config(self, values: Mapping[str, Any]) -> Config:
        """The config of a trial with these values."""
        groups = tuple(f"{key}={value}" for key, value in values.items() if key in GROUPS)
        if groups not in self._composed:
            self._composed[groups] = compose([*self.definition.overrides, *groups])
        changes = {key: value for key, value in values.items() if key not in GROUPS}
        if self._experiment is not None:  # trials are shown where their study is
            changes["tracking.experiment"] = self._experiment
        return with_values(self._composed[groups], changes)

    def check(self) -> RunConfig:
        """Build an experiment at the ends of every parameter; the first one is returned.

        Raises `UserError` for whatever a trial would fail on.
        """
        definition = self.definition
        first = {key: parameter.ends()[0] for key, parameter in definition.space.items()}
        checked = self._checked(first)
        self._experiment = checked.tracking.experiment
        for key, parameter in definition.space.items():
            for value in parameter.ends()[1:]:
                if isinstance(parameter, Choices):
                    self._checked(first | {key: value})
                else:
                    parse(self.config(first | {key: value}))
        return checked

    def _checked(self, values: Mapping[str, Any]) -> RunConfig:
        """The experiment with these values, whose parts fit and whose reports have the metric."""
        checked = parse(self.config(values))
        try:
            one_of(Execution(checked).metric_names, metric=self.definition.metric)
        except LawError as error:
            raise UserError(f"{error} (of the sweep)") from error
        return checked


def _cores() -> int:
    """The cores this process may use, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _divided(arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """A sweep's own settings among the arguments, and the overrides of the experiment."""
    known = (*_SETTINGS, *EXPERIMENT_KEYS, "experiment")
    own: dict[str, Any] = {}
    overrides = []
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals:
            raise UserError(f"{argument!r} is not an override; write key=value")
        setting = key.removeprefix("sweep.")
        if key.startswith("sweep.") or (key in _SETTINGS and key != "seed"):
            own[setting] = _value(argument, text)
        elif key.isidentifier() and key not in known:
            raise UserError(
                f"{key} is neither a setting of the sweep nor a key of the experiment"
                f"{nearest(key, known)}"
            )
        else:
            overrides.append(argument)
    return own, overrides


def _value(argument: str, text: str) -> Any:
    """The value of a setting, written as in YAML."""
    from omegaconf import OmegaConf

    try:
        return OmegaConf.to_container(OmegaConf.create(f"value: {text}"))["value"]  # type: ignore[index, call-overload]
    except Exception as error:  # what YAML's parser and constructors raise
        raise UserError(f"{argument!r} has no value that YAML could read") from error


def _read(file: Path) -> Config:
    """A sweep's file. Hydra's YAML reads 1e-3 as a number, plain YAML as a text."""
    from omegaconf import OmegaConf

    load(file)  # for its errors
    config = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}

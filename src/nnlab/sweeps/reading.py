"""From a file in `sweeps/` and the command line to a sweep's definition."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import Any

from nnlab.core.laws import LawError
from nnlab.errors import UserError
from nnlab.names import nearest
from nnlab.runs.compose import folders
from nnlab.runs.config import KEYS as EXPERIMENT_KEYS
from nnlab.runs.config import checked
from nnlab.runs.plain import Config, load
from nnlab.sweeps.constraints import parse_constraints
from nnlab.sweeps.definition import Definition
from nnlab.sweeps.grammar import fixed_value, parameter_of
from nnlab.sweeps.options import chosen
from nnlab.sweeps.parameters import parse_space
from nnlab.sweeps.places import Place, Places, lines
from nnlab.sweeps.points import size
from nnlab.sweeps.pruners import PRUNERS
from nnlab.sweeps.samplers import SAMPLERS, Grid
from nnlab.sweeps.space import Choices, Parameter

_SETTINGS = {
    "seed": int,
    "trials": int,
    "time": str,
    "epochs": int,
    "workers": int,
    "engine": str,
    "trials_per_worker": int,
    "deterministic": bool,
    "lag": int,
    "retries": int,
    "timeout": float,
    "max_failures": int,
    "fail_fast": bool,
    "register": str,
}
_OWN = ("metric", "direction", "sampler", "pruner", "constraints", *_SETTINGS)
KEYS = ("experiment", *_OWN, "parameters")


def available() -> dict[str, Path]:
    """The sweeps that can be named, and their files; the working directory's come first."""
    files = [file for folder in reversed(folders("sweeps")) for file in folder.glob("*.yaml")]
    return {file.stem: file for file in sorted(files, key=lambda file: file.stem)}


def define(name: str, arguments: Sequence[str]) -> Definition:
    """The sweep of that name, changed by arguments.

    `trials=6` and the other settings of a sweep are its own, also written `sweep.trials=6`
    (`sweep.seed` only so); `optimizer.lr=interval(0.1,1)` gives a parameter (another one, or
    instead of the file's); every other argument is an override of the experiment, and fixes the
    parameter of that key if there is one.
    """
    files = available()
    if name not in files:
        raise UserError(
            f"there is no sweep {name}{nearest(name, files)}; the sweeps are {', '.join(files)}"
        )
    config = _read(files[name])
    return _defined(name, config, files[name].name, _lines(files[name]), arguments)


def define_unnamed(name: str | None, settings: Config, arguments: Sequence[str]) -> Definition:
    """A sweep without a file: its parameters and overrides are all arguments.

    Without a name it gets one of what it searches: the same command goes on with the same sweep.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    definition = _defined(name or "multirun", given, "", {}, arguments)
    if name:
        return definition
    searched = dumps([definition.plain[key] for key in ("space", "overrides", "metric")])
    return replace(definition, name=f"multirun-{sha256(searched.encode()).hexdigest()[:8]}")


def _defined(
    name: str,
    config: Config,
    file: str,
    found: Mapping[Place, int],
    arguments: Sequence[str],
) -> Definition:
    given = config.get("parameters") or {}
    own, parameters, overrides = _divided(arguments, given if isinstance(given, Mapping) else {})
    written: dict[Place, str] = {(key,): text for key, (_, text) in own.items()}
    written |= {("parameters", key): text for key, (_, text) in parameters.items()}
    places = Places(file, found, written)
    for key in (*config, *own):
        if key not in KEYS:
            raise places.refuse(
                f"{key} is not a key of a sweep{nearest(key, KEYS)}; known here: {', '.join(KEYS)}",
                key,
            )
    if own.get("engine", ("vectorized",))[0] != "vectorized":  # what the file says of that one
        config = {key: value for key, value in config.items() if key != "trials_per_worker"}
    config = {**config, **{key: value for key, (value, _) in own.items()}}
    changed = {key: value for key, (value, _) in parameters.items()}
    if isinstance(given, Mapping):
        given = {key: _kept(changed, key, spec) for key, spec in given.items()}
        given |= {key: spec for key, spec in changed.items() if key not in given}
    space = parse_space(given, places)
    settings = _settings(config, places)
    if isinstance(settings.get("sampler"), Grid) and "trials" not in settings:
        settings["trials"] = int(min(size(space), 1e9))
    try:
        return Definition(
            name,
            space,
            overrides=(*_experiment(config, places), *overrides),
            places=places,
            **settings,
        )
    except LawError as error:
        place = ("parameters", error.field) if error.field in space else (error.field,)
        raise places.refuse(f"{error} (of the sweep)", *place) from error


def _kept(changed: Mapping[str, Parameter], key: str, spec: Any) -> Any:
    """A parameter of the file, or the one of the command line under the file's conditions."""
    if key not in changed:
        return spec
    when = spec.get("when") if isinstance(spec, Mapping) else None
    if not when:
        return changed[key]
    one = changed[key]
    if isinstance(one, Choices):
        return {"choice": list(one.values), "when": when}
    plain = {"low": one.low, "high": one.high, "log": one.log, "when": when}
    return plain if one.step is None else {**plain, "step": one.step}


def _settings(config: Config, places: Places) -> dict[str, Any]:
    """The checked settings among the keys."""
    settings: dict[str, Any] = {}
    for key, kind in _SETTINGS.items():
        if key in config:
            try:
                settings[key] = checked(config[key], kind, key)
            except UserError as error:
                raise places.refuse(str(error), key) from error
    if "metric" not in config:
        raise places.refuse("metric is missing", "metric")
    settings["metrics"] = _names(config["metric"], "metric", places)
    if "direction" in config:
        settings["directions"] = _names(config["direction"], "direction", places)
    elif len(settings["metrics"]) > 1:
        settings["directions"] = ("minimize",) * len(settings["metrics"])
    if "sampler" in config:
        settings["sampler"] = chosen(SAMPLERS, config["sampler"], places, "sampler")
    if "pruner" in config:
        settings["pruner"] = chosen(PRUNERS, config["pruner"], places, "pruner")
    elif len(settings["metrics"]) > 1:
        settings["pruner"] = PRUNERS["none"]()
    settings["constraints"] = parse_constraints(config.get("constraints"), places)
    return settings


def _names(value: Any, key: str, places: Places) -> tuple[str, ...]:
    """One name, or a list of them."""
    several = value if isinstance(value, list) else [value]
    for one in several:
        if not isinstance(one, str):
            raise places.refuse(f"{key} must be a text, but got {key}={one!r}", key)
    return tuple(several)


def _experiment(config: Config, places: Places) -> list[str]:
    experiment = config.get("experiment") or []
    if not isinstance(experiment, list) or not all(isinstance(item, str) for item in experiment):
        raise places.refuse(
            f"experiment must be a list of overrides, but got {experiment!r}", "experiment"
        )
    return experiment


def _divided(
    arguments: Sequence[str], given: Mapping[str, Any]
) -> tuple[dict[str, tuple[Any, str]], dict[str, tuple[Parameter, str]], list[str]]:
    """A sweep's own settings, its parameters, and the overrides of the experiment."""
    known = (*_OWN, *EXPERIMENT_KEYS, "experiment")
    own: dict[str, tuple[Any, str]] = {}
    parameters: dict[str, tuple[Parameter, str]] = {}
    overrides = []
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals:
            raise UserError(f"{argument!r} is not an override; write key=value")
        setting = key.removeprefix("sweep.")
        if key.startswith("sweep.") or (key in _OWN and key != "seed"):
            own[setting] = (_value(argument, text), argument)
        elif key.isidentifier() and key not in known:
            raise UserError(
                f"{key} is neither a setting of the sweep nor a key of the experiment"
                f"{nearest(key, known)}"
            )
        elif "." in key and key.split(".")[0] in set(_OWN) - set(EXPERIMENT_KEYS):
            raise UserError(f"{key} is not a setting of the sweep{nearest(key, _OWN)}")
        elif (found := parameter_of(argument)) is not None:
            parameters[found[0]] = (found[1], argument)
        elif key in given:
            parameters[key] = (Choices((fixed_value(argument)[1],)), argument)
        else:
            overrides.append(argument)
    return own, parameters, overrides


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


def _lines(file: Path) -> dict[Place, int]:
    return lines(file.read_text(encoding="utf-8"))

"""Hydra's edge: from groups and overrides to a config as plain data."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from shlex import quote
from typing import Any

import yaml

from nnlab.errors import UserError, first_line
from nnlab.names import nearest
from nnlab.runs import plugged
from nnlab.runs.plain import Config, flatten

VERSION_BASE = "1.3"


def packaged(folder: str) -> Path:
    """`conf` or `sweeps` as they come with nnlab: inside the wheel, or beside the sources."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "_packaged" / folder
    return inside if inside.is_dir() else package.parents[1] / folder


def folders(folder: str) -> list[Path]:
    """Where `conf` or `sweeps` files are looked for: the working directory's come first."""
    own, ours = Path.cwd() / folder, packaged(folder)
    return [own, ours] if own.is_dir() and own.resolve() != ours else [ours]


def choices(group: str) -> list[str]:
    """The names that can be chosen in a group: those of its files, and those of plugins."""
    return sorted({*_of_files(group), *plugged.choices(group)})


def _of_files(group: str) -> set[str]:
    return {file.stem for folder in folders("conf") for file in (folder / group).glob("*.yaml")}


def compose(overrides: Sequence[str]) -> Config:
    """The config that these overrides of `conf/train.yaml` make, resolved."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    _search_working_directory_first()
    _offer_choices_of_plugins()
    with (
        readable_errors(overrides),
        initialize_config_dir(str(packaged("conf")), version_base=VERSION_BASE),
    ):
        composed = hydra_compose("train", list(overrides), return_hydra_config=True)
        HydraConfig.instance().set_config(composed)  # for what says ${hydra:...}
        OmegaConf.set_struct(composed, False)
        composed.pop("hydra")
        return resolved(composed)


def run_app(
    arguments: Sequence[str], task: Callable[[Config], None], program: str = "nnlab train"
) -> None:
    """Run `task` as a Hydra application: overrides, --cfg, --help, --multirun and the rest.

    Overrides alone are composed directly: the application composes everything twice.
    """
    if not any(argument.lstrip("+~").startswith(("-", "hydra")) for argument in arguments):
        task(compose(arguments))
        return
    import hydra

    _search_working_directory_first()
    _offer_choices_of_plugins()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us instead of being printed
    flags = [argument for argument in arguments if argument in ("-m", "--multirun")]
    rest = [argument for argument in arguments if argument not in flags]
    sys.argv = [program, *flags, *rest]  # argparse takes the overrides in one piece only
    app = hydra.main(
        version_base=VERSION_BASE, config_path=str(packaged("conf")), config_name="train"
    )
    raised: list[BaseException] = []

    def job(composed: Any) -> None:
        if raised:  # a grid ends at its first error
            return
        try:
            with readable_errors(arguments):
                config = resolved(composed)
            task(config)
        except Exception as error:  # kept from Hydra, which would print it
            raised.append(error)

    with readable_errors(arguments):
        app(job)()
    if raised:
        raise raised[0]


def resolved(composed: Any) -> Config:
    """A composed config with its interpolations filled in, as plain data."""
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@contextmanager
def readable_errors(overrides: Sequence[str]) -> Iterator[None]:
    """Turn what Hydra and OmegaConf raise about the input into a `UserError`, and raise one where
    an override is not UTF-8: it could not be kept."""
    for override in overrides:
        try:
            override.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{override!r} is not UTF-8") from error
    from hydra.errors import HydraException, OverrideParseException
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    try:
        yield
    except OverrideParseException as error:
        said = f"{error.override!r} is not an override: {first_line(error)}"
        raise UserError(f"{said}{_quoting(error.override)}") from error
    except yaml.YAMLError as error:
        raise UserError(f"a config is not YAML: {' '.join(str(error).split())}") from error
    except ValueError as error:  # Hydra's, of a group that is no name
        raise UserError(f"{first_line(error)} ({' '.join(overrides)})") from error
    except MissingMandatoryValue as error:
        raise UserError(f"{error.full_key} has no default: give {error.full_key}=...") from error
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_explained(str(error), overrides) or _chain(error)) from error


def _quoting(override: str) -> str:
    """The cure where a text was taken for a call of a function."""
    key, _, text = override.partition("=")
    if "(" not in text or '"' in text:
        return ""
    quoted = f'{key}="{text}"'
    return f"; a text with parentheses has quotes of its own: {quote(quoted)}"


def _explained(message: str, overrides: Sequence[str]) -> str | None:
    """The common mistakes in our words: a choice or a key that is not there, a search that is
    asked of what does not search."""
    if several := re.search(r"(?:Sweep parameters|Ambiguous value for argument) '(.+)'", message):
        return (
            f"{several[1]} is several experiments: `nnlab train -m` runs them one after another, "
            "`nnlab sweep` searches for the best (a list has brackets: [1,2])"
        )
    if "BasicSweeper does not support" in message:
        return (
            "a grid has no ranges of numbers (interval): add hydra/sweeper=nnlab, or use "
            "`nnlab sweep`, which search them"
        )
    if re.search(r"Could not override 'hydra\.sweeper\.", message):
        return f"{first_line(ValueError(message))} It may need hydra/sweeper=nnlab as well"
    if choice := re.search(r"Could not (?:find|load) '(.+)/([^/']+)'", message):
        group, name = choice.groups()
        known = choices(group)
        near = nearest(name, known)
        return (
            f"{group} has no choice {name}{near}; the choices are {', '.join(known) or 'none'}"
            f"{'' if near or '/' in group else plugged.hint()}"
        )
    if override := re.search(r"Could not override '(.+)'", message):
        key = override[1]
        if any((folder / key).is_dir() for folder in folders("conf")):
            return (
                f"{key} must be the name of a choice; one that is not there yet is added by +{key}="
            )
        chosen = [item for item in overrides if "." not in item.split("=")[0]]
        chosen = [item for item in chosen if not item.lstrip("+~").startswith(key)]
        with suppress(UserError):
            known = [name for name, _ in flatten(compose(chosen))]
            groups = {name.split(".")[0] for name in known}
            return (
                f"{key} is not a key of the config{nearest(key, {*known, *groups})}; "
                f"`nnlab train --cfg job` shows the keys"
            )
    return None


def _chain(error: BaseException | None) -> str:
    """The first lines of an error and of what caused it."""
    lines = []
    while error is not None:
        lines.append(first_line(error))
        error = error.__cause__
    return ": ".join(dict.fromkeys(line for line in lines if line))


@cache
def _search_working_directory_first() -> None:
    """Put `conf/` of the working directory in front of Hydra's search path."""
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class WorkingDirectoryFirst(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            for folder in folders("conf")[:-1]:
                search_path.prepend(provider="working directory", path=f"file://{folder}")

    Plugins.instance().register(WorkingDirectoryFirst)


def _offer_choices_of_plugins() -> None:
    """Have Hydra find what plugins offer and no file says. (A file would be merged with it.)"""
    from hydra.core.config_store import ConfigStore

    for group in plugged.groups():
        for name, content in plugged.choices(group).items():
            if name not in _of_files(group):
                ConfigStore.instance().store(name, dict(content), group, provider="nnlab")

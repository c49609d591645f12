"""Plugins: components of one's own, which a command gets by `--plugin MODULE` and never else.

    @register("optimizer", "my_sgd")
    @dataclass(frozen=True)
    class MySGD(GradientStep):
        lr: Hyper = 0.1
        ...

`nnlab train --plugin my_package optimizer=my_sgd` then trains with it. No config, logged or not,
and no variable of the environment imports anything.
"""

import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from nnlab.core.laws import LawError
from nnlab.errors import UserError, first_line
from nnlab.runs import plugged, registry
from nnlab.runs.contract import check_component, check_name, choice
from nnlab.runs.environment import digest

T = TypeVar("T")

_SUFFIXES = (*SOURCE_SUFFIXES, *EXTENSION_SUFFIXES)
_registered: list[type[Any]] = []


class EditedError(UserError):
    """A plugin's source files are not those that the command began with."""


def register(group: str, name: str) -> Callable[[type[T]], type[T]]:
    """Let `group=name` stand for the decorated class, a frozen dataclass that follows the group's
    Protocol (`nnlab.runs.contract` has them).

    Its fields are the keys of its config; without a file `conf/GROUP/NAME.yaml` their defaults
    are the config's, and a field without one must be given.

    Raises `LawError` where the name is taken, and for a class that cannot stand there.
    """
    check_name(group, name)

    def registered(component: type[T]) -> type[T]:
        check_component(group, name, component)
        offered = choice(group, name, component)
        registry.add(group, name, component)
        plugged.offer(group, name, offered)
        _registered.append(component)
        return component

    return registered


def load(module: str) -> str:
    """Import a plugin as `python -m` would, from the working directory or where packages are; the
    hash of its source files. A second time is no import.

    Raises `UserError` where it is no module, raises or registers nothing.
    """
    if module in (known := plugged.hashes()):
        return known[module]
    if not plugged.is_module_name(module):
        raise UserError(
            "--plugin takes the name of a module, as in `import my_package.optimizers`, but got "
            f"--plugin {module!r}"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    before = len(_registered)
    with _from_source():
        _import(module)
    own = (one for one in _registered if f"{one.__module__}.".startswith(f"{module}."))
    if len(_registered) == before and not any(own):
        raise UserError(
            f"a plugin must register a component, but {module} registers none: put "
            "@register(GROUP, NAME) of nnlab.plugins before a class (--plugin)"
        )
    sha256 = _hash(module)
    plugged.note(module, _version(module.partition(".")[0]), sha256)
    return sha256


def load_same(plugins: Mapping[str, str]) -> None:
    """Load the plugins that another process has loaded; raises `EditedError` where the source files
    of one are others now."""
    for module, sha256 in plugins.items():
        if load(module) != sha256:
            raise EditedError(_edited(module))


def check_unchanged() -> None:
    """Raise `EditedError` where a plugin was edited since it was loaded: a process that is begun
    now would have other code."""
    for module, sha256 in plugged.hashes().items():
        if _hash(module) != sha256:
            raise EditedError(_edited(module))


def _edited(module: str) -> str:
    return (
        f"the source files of a plugin must stay what they are while it is used, but {module} was "
        "edited: undo that and give the same command again to go on"
    )


@contextmanager
def _from_source() -> Iterator[None]:
    """Write no bytecode: Python takes that of a file which was edited within the second for new,
    and what runs would not be what is hashed."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _import(module: str) -> None:
    try:
        import_module(module)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{module}.".startswith(f"{missing}."):
            raise UserError(
                f"there is no module {missing} in the working directory, nor is a package of that "
                f"name installed (--plugin {module})"
            ) from error
        said = first_line(error)
        if not isinstance(error, LawError | UserError):
            said = f"{type(error).__name__}: {said}"
        raise UserError(
            f"the plugin {module} cannot be imported: {said} ({_place(error, module)})"
        ) from error


def _place(error: BaseException, module: str) -> str:
    """The last line of the plugin's own code that the error came through."""
    if isinstance(error, SyntaxError) and error.filename:
        return _line(error.filename, error.lineno)
    frames = traceback.extract_tb(error.__traceback__)
    began = [one for one in frames if "importlib" not in one.filename and one.filename != __file__]
    if not began:
        return f"--plugin {module}"
    root = Path(began[0].filename).parent  # what was imported first is the plugin
    own = [one for one in began if root in Path(one.filename).parents]
    return _line(own[-1].filename, own[-1].lineno)


def _line(file: str, number: int | None) -> str:
    path, here = Path(file), Path.cwd()
    return f"{path.relative_to(here) if here in path.parents else path}, line {number}"


def _hash(module: str) -> str:
    """Of all the source files of its package, or of the one file that it is."""
    top = module.partition(".")[0]
    try:
        found = list(_sources(top))
        if found:
            return digest(found)
        why = "there are none"
    except OSError as error:
        why = str(error)
    raise UserError(
        f"a plugin must have source files, whose hash is recorded with each run, but of {module} "
        f"none can be read: {why} (--plugin)"
    )


def _sources(top: str) -> Iterator[tuple[str, Path]]:
    spec = sys.modules[top].__spec__
    if spec is None:
        return
    if spec.submodule_search_locations is None:
        if spec.origin:
            yield Path(spec.origin).name, Path(spec.origin)
        return
    for folder in map(Path, spec.submodule_search_locations):
        for file in folder.rglob("*"):
            if file.name.endswith(_SUFFIXES):
                yield f"{top}/{file.relative_to(folder).as_posix()}", file


def _version(top: str) -> str | None:
    said = getattr(sys.modules[top], "__version__", None)
    if isinstance(said, str):
        return said
    try:
        return version(top)
    except PackageNotFoundError:
        return None

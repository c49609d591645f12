"""What plugins have brought into this process. Imports neither NumPy nor a plugin.

`nnlab.plugins` writes here; composing, the registry's errors and the environment read it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from keyword import iskeyword
from typing import Any

from nnlab.errors import UserError
from nnlab.runs.plain import Config

_plugins: dict[str, dict[str, str | None]] = {}
_choices: dict[str, dict[str, Config]] = {}


class MissingComponentError(UserError):
    """A config names a component that the registry does not have."""


def note(module: str, version: str | None, sha256: str) -> None:
    """This process has that plugin, of that version; the hash is that of its source files."""
    _plugins[module] = {"version": version, "sha256": sha256}


def offer(group: str, name: str, content: Config) -> None:
    """Let `group=name` be chosen where no file of `conf/` says what that is."""
    _choices.setdefault(group, {})[name] = content


def plugins() -> dict[str, dict[str, str | None]]:
    """The plugins by module, each with its `version` and `sha256`: what an environment records."""
    return {module: dict(facts) for module, facts in _plugins.items()}


def hashes() -> dict[str, str]:
    """The hash of each plugin's source files."""
    return {module: str(facts["sha256"]) for module, facts in _plugins.items()}


def choices(group: str) -> Mapping[str, Config]:
    """What was offered in that group, by name."""
    return _choices.get(group, {})


def groups() -> list[str]:
    """The groups in which something was offered."""
    return list(_choices)


def is_module_name(name: object) -> bool:
    """Is that a dotted name, as `python -m` takes it?"""
    parts = name.split(".") if isinstance(name, str) else [""]
    return all(part.isidentifier() and not iskeyword(part) for part in parts)


def hint() -> str:
    """What may help where a name is not known; nothing where plugins are here already."""
    return "" if _plugins else "; components of your own need --plugin MODULE"


@contextmanager
def made_with(environment: Mapping[str, Any]) -> Iterator[None]:
    """Where a logged config names what the registry does not have, say with which plugins its run
    was made. They are named, never imported."""
    try:
        yield
    except MissingComponentError as error:
        recorded = environment.get("plugins")
        names = [*recorded] if isinstance(recorded, Mapping) else []
        missing = [name for name in names if is_module_name(name) and name not in _plugins]
        if not missing:
            raise
        options = " ".join(f"--plugin {name}" for name in missing)
        raise MissingComponentError(
            f"{str(error).removesuffix(hint())}; the run was made with {options}: give it again"
        ) from error

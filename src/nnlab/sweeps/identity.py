"""What makes two sweeps the same search: everything that its results are a function of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import Any, Self

from nnlab.runs import plugged
from nnlab.runs.compose import folders
from nnlab.runs.config import RunConfig, members, prepare
from nnlab.runs.environment import code_version, digest
from nnlab.runs.journal import Record
from nnlab.runs.plain import flatten
from nnlab.runs.registry import GROUPS
from nnlab.sweeps.definition import Definition

_PLACES = ("store", "tracking.")
_OUTSIDE = (
    "name",
    "overrides",  # what they make is in the experiment
    "trials",
    "time",
    "epochs",
    "workers",
    "engine",  # it changes no bit
    "trials_per_worker",
    "retries",
    "timeout",
    "max_failures",
    "fail_fast",
    "register",
)
"""Settings that say how long and how a sweep is worked on and what becomes of its best trial, not
what it finds."""


@dataclass(frozen=True)
class Identity:
    """The parts by key, as texts: experiment, sweep (its space among it), data, code, plugins."""

    parts: Mapping[str, str]

    @classmethod
    def of(cls, definition: Definition, config: RunConfig) -> Self:
        """The identity of a sweep, one of whose experiments is `config`."""
        experiment = flatten(config.plain, "experiment.")
        places = tuple(f"experiment.{place}" for place in _PLACES)
        settings = {key: one for key, one in definition.plain.items() if key not in _OUTSIDE}
        data = prepare(members(config)[0]).splits.fingerprint
        chosen = [key for key in definition.space if key in GROUPS]
        return cls(
            {key: value for key, value in experiment if not key.startswith(places)}
            | dict(flatten(settings, "sweep."))
            | {"data": data, "code": code_version()}
            | {f"plugin {module}": sha256 for module, sha256 in plugged.hashes().items()}
            | {f"conf/{group}": digest(_conf(group)) for group in chosen}
        )

    @classmethod
    def recorded(cls, start: Record) -> Self:
        """The identity in a study's first record; an empty one where it says none."""
        return cls(start.get("identity", {}).get("parts", {}))

    @property
    def sha256(self) -> str:
        return sha256(dumps(dict(self.parts), sort_keys=True).encode()).hexdigest()

    @property
    def plain(self) -> dict[str, Any]:
        """What a study's first record says of it."""
        return {"sha256": self.sha256, "parts": dict(self.parts)}

    def differences(self, now: "Identity") -> list[str]:
        """Where it is another one now: `key: then -> now`, in the order of the keys."""
        return [
            f"{key}: {_shown(self.parts.get(key))} -> {_shown(now.parts.get(key))}"
            for key in dict.fromkeys((*self.parts, *now.parts))
            if self.parts.get(key) != now.parts.get(key)
        ]


def _conf(group: str) -> Iterable[tuple[str, Path]]:
    """The files of a group whose choices are searched; the working directory's come first."""
    found: dict[str, Path] = {}
    for folder in reversed(folders("conf")):
        found |= {file.name: file for file in (folder / group).glob("*.yaml")}
    return found.items()


def _shown(value: str | None) -> str:
    if value is None:
        return "nothing"
    return value if len(value) < 40 or not value.isalnum() else f"{value[:12]}..."

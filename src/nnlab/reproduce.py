"""Reproduction: train a logged config again, and compare every point and the weights, bit for bit.

Everything comes from the tracking server; the run's directory need not exist any more.
"""

import json
import math
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnlab.errors import UserError
from nnlab.runs.plain import Config, load
from nnlab.tracking.process import mlflow_command, mlflow_environment

_NOT_BY_CONFIG = ("time_budget", "pruned", "interrupted", "died", "raised", "until", "cut")


@dataclass(frozen=True)
class Logged:
    """A run as MLflow knows it."""

    config: Config
    environment: Mapping[str, Any]
    run: str
    mlflow: str
    name: str
    status: str
    tags: Mapping[str, str]
    points: Mapping[tuple[int, str], float]
    """Metric values by (step, name), without those that tell the time."""

    @property
    def last_step(self) -> int:
        """The last step that was reported."""
        return max((step for step, _ in self.points), default=0)

    @property
    def until(self) -> int | None:
        """The step to end at, where time, a pruner or a kill ended the run, not its config."""
        ended_by = self.tags.get("nnlab.stop_rule")
        return self.last_step if ended_by in (None, *_NOT_BY_CONFIG) else None


@dataclass(frozen=True)
class Verdict:
    """Are two runs equal, and if not, where do they differ first?"""

    points: int
    """Metric points that were compared."""
    differing: int = 0
    first: str = ""
    hashes: Mapping[str, bool | None] = field(default_factory=dict)
    """For each hash, is it the same? None where the original has none."""

    @property
    def identical(self) -> bool:
        """Every point and every hash is the same, and there was something to compare."""
        return self.points > 0 and not self.differing and False not in self.hashes.values()


def fetch(uri: str, selector: str, folder: Path) -> Logged:
    """The run that `selector` names; raises `UserError` where there is no such run."""
    command = mlflow_command("nnlab.tracking.fetch", uri, selector, str(folder))
    done = subprocess.run(
        command, capture_output=True, text=True, env=mlflow_environment(), check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise UserError(lines[-1] if lines else f"{uri} cannot be read")
    logged = json.loads((folder / "logged.json").read_text(encoding="utf-8"))
    return Logged(
        load(folder / "config.yaml"),
        json.loads((folder / "environment.json").read_text(encoding="utf-8")),
        logged["run"],
        logged["mlflow"],
        logged["name"],
        logged["status"],
        logged["tags"],
        {
            (step, name): value
            for name, points in logged["metrics"].items()
            if not name.startswith("time/")
            for step, value in points
        },
    )


def compare(
    logged: Logged, points: Mapping[tuple[int, str], float], hashes: Mapping[str, str]
) -> Verdict:
    """The verdict on new metric points and hashes.

    A run that did not come to its end was not tested; that the new one was is no difference.
    """
    if not any(name.startswith("test/") for _, name in logged.points):
        points = {key: value for key, value in points.items() if not key[1].startswith("test/")}
    names = sorted({*logged.points, *points})
    differences = [
        f"{name} at step {step}: {_text(old)} then, {_text(new)} now"
        for step, name in names
        if not _same(old := logged.points.get((step, name)), new := points.get((step, name)))
    ]
    return Verdict(
        len(names),
        len(differences),
        differences[0] if differences else "",
        {
            name: logged.tags[name] == value if name in logged.tags else None
            for name, value in hashes.items()
        },
    )


def environment_differences(
    then: Mapping[str, Any], now: Mapping[str, Any], at: str = ""
) -> Iterator[str]:
    """Every value that differs between two environments, as "key: then -> now"."""
    for key in dict.fromkeys((*then, *now)):
        old, new = then.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from environment_differences(old, new, f"{at}{key}.")
        elif old != new:
            yield f"{at}{key}: {old} -> {new}"


def _same(old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return False
    if math.isnan(old) or math.isnan(new):
        return math.isnan(old) and math.isnan(new)
    return old == new


def _text(value: float | None) -> str:
    return "absent" if value is None else repr(value)

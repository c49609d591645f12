"""What a tracking server knows of a run that is to be reproduced. Imports no MLflow, no NumPy.

Everything in it may be somebody else's: it is read as data, and never run.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nnlab.errors import UserError
from nnlab.escaping import escaped
from nnlab.reproduction.environment import checked
from nnlab.runs.journal import JournalError, Record, each, number
from nnlab.runs.past import UNFINISHED
from nnlab.runs.plain import Config, load
from nnlab.runs.records import check
from nnlab.runs.strict import from_json
from nnlab.tracking.entries import last_words
from nnlab.tracking.process import mlflow_command, mlflow_environment

Points = Mapping[tuple[int, str], float]
"""Metric values by (step, name), without those that tell the time."""

OUTSIDE = (
    *("time_budget", "pruned", "interrupted", "died", "raised"),
    *("until", "cut", "beyond", "damaged"),
)
"""The rules of ends that no config decided."""
_CHUNK = 20
"""So many runs are fetched by one process, which takes seconds to begin."""


class NotBegunError(UserError):
    """A run that never came to its first report: there is nothing to reproduce."""


@dataclass(frozen=True)
class Ended:
    """How a run ended: the rule and the reason (None where nobody said), and its last step."""

    rule: str | None
    reason: str | None
    step: int


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
    points: Points
    params: Mapping[str, str] = field(default_factory=dict)
    """The config as MLflow's parameters, which were sent when the run began."""
    data: Mapping[str, Any] | None = None
    """What it said of its data; None of an older run."""
    diff: str | None = None
    """How its code differed from its commit; None where that was not kept, or there was nothing."""
    journal: Sequence[Record] | None = None
    """Its own record; None where the tracker has none."""
    damage: str = ""
    """What is wrong with that record."""
    weights: Sequence[Path] = ()
    """The files of its final weights, of each seed and fold one, as long as its folder is there."""
    several: Mapping[tuple[int, str], Sequence[float]] = field(default_factory=dict)
    """Where the tracker has different values of one metric at one step: all of them."""
    latest: Mapping[str, float] | None = None
    """What MLflow's list of runs shows of each metric."""
    not_compared: str = ""
    """That its own record is larger than is read, where it is."""

    @property
    def last_step(self) -> int:
        """The last step that was reported."""
        return max((step for step, _ in self.points), default=0)

    @property
    def ended(self) -> Ended:
        """How it ended, by its own record where that says it, and else by its tags."""
        end = self.end or {}
        rule = end.get("rule", self.tags.get("nnlab.stop_rule"))
        return Ended(rule, end.get("reason", self.tags.get("stop_reason")), self.last_step)

    @property
    def end(self) -> Record | None:
        """How it ended by its own record; None where that does not say it, or it went on since."""
        last = self._last_word
        return last if last and last["type"] == "end" and not self.went_on else None

    @property
    def went_on(self) -> bool:
        """Was it resumed after the end of the record that the tracker has?"""
        last = self._last_word
        if last is None or last["type"] == "resumed":
            return last is not None
        beyond = self.last_step > max((step for step, _ in self.journaled), default=0)
        open_still = self.tags.get("nnlab.stop_rule") in (None, *OUTSIDE)
        later = self.status == "RUNNING" or beyond
        return last["rule"] in UNFINISHED and open_still and later

    @property
    def by_config(self) -> bool:
        """Did its config decide where it ended?"""
        return self.ended.rule not in (None, *OUTSIDE)

    @property
    def until(self) -> int:
        """The step at which it is ended when it is trained again, should it not end before.

        That is its last one. A training that diverges can do so before the step at which it is
        evaluated; so that it does that again it is ended one step later.
        """
        return self.last_step + (self.ended.rule == "diverged")

    def check_begun(self) -> None:
        """Raise `NotBegunError` unless it reported something."""
        if not self.points:
            reason = self.ended.reason or "nobody said why"
            raise NotBegunError(f"{self.name} never began to train: {reason}")

    @cached_property
    def journaled(self) -> Points:
        """The metric points that its own record has."""
        return {
            (record["step"], name): number(value)
            for record in self.journal or ()
            if record["type"] == "report"
            for name, value in record["metrics"].items()
        }

    @cached_property
    def journaled_tags(self) -> Mapping[str, str]:
        """The tags that its own record has, as far as they are still what the tracker was told."""
        if not self.journal:
            return {}
        start, *others = self.journal
        tags = {"nnlab.run": start["run"], "nnlab.kind": start["kind"], **start["tags"]}
        if not self.went_on:
            for record in others:
                if record["type"] == "tags":
                    tags |= record["tags"]
        return tags | (last_words(self.end) if self.end else {})

    @cached_property
    def _last_word(self) -> Record | None:
        """The last of its ends and of its goings-on."""
        words = (one for one in reversed(self.journal or ()) if one["type"] in ("end", "resumed"))
        return next(words, None)


@dataclass(frozen=True)
class Trial:
    """A trial of a study, by the run that began last."""

    trial: int
    run: str
    mlflow: str
    name: str
    state: str


@dataclass(frozen=True)
class Study:
    """A study and its trials."""

    study: str
    name: str
    best: str | None
    """The run of its best trial."""
    trials: Sequence[Trial]


def fetch(uri: str, selector: str, folder: Path, what: str = "facts") -> Logged:
    """The run that `selector` names; raises `UserError` where there is no such run.

    `what` is facts, or whole for the files that say how it came about, as in `tracking.fetch`.
    """
    _fetch(uri, selector, folder, what)
    return of_folder(folder)


def study(uri: str, selector: str) -> Study:
    """The study that `selector` names; raises `UserError` where there is no such study."""
    with TemporaryDirectory() as folder:
        _fetch(uri, selector, Path(folder), "trials")
        told = json.loads((Path(folder) / "trials.json").read_text(encoding="utf-8"))
    return Study(
        told["study"], told["name"], told["best"], [Trial(**trial) for trial in told["trials"]]
    )


def several(uri: str, trials: Sequence[Trial]) -> Iterator[tuple[Trial, Logged | UserError]]:
    """Each of these runs, whole, or why it cannot be had; its files are there until the next
    is asked for."""
    for k in range(0, len(trials), _CHUNK):
        with TemporaryDirectory() as name:
            folder, some = Path(name), trials[k : k + _CHUNK]
            _fetch(uri, ",".join(one.mlflow for one in some), folder, "several")
            for one in some:
                wrong = folder / one.mlflow / "error.txt"
                if wrong.exists():
                    yield one, UserError(wrong.read_text(encoding="utf-8"))
                else:
                    try:
                        yield one, of_folder(folder / one.mlflow)
                    except UserError as error:
                        yield one, error
                shutil.rmtree(folder / one.mlflow)


def of_folder(folder: Path) -> Logged:
    """The run whose fetched files are in that folder; raises `UserError` where they are not
    what they should be."""
    logged = _json(folder / "logged.json")
    journal, damage = _journal(folder / "journal.jsonl")
    diff, data = folder / "uncommitted.diff", folder / "data.json"
    not_compared = folder / "not_compared.txt"
    values: dict[tuple[int, str], list[float]] = {}
    for name, points in logged["metrics"].items():
        if not name.startswith("time/"):
            for step, value in points:
                values.setdefault((step, name), []).append(value)
    return Logged(
        load(folder / "config.yaml"),
        checked(_json(folder / "environment.json")),
        logged["run"],
        logged["mlflow"],
        escaped(str(logged["name"])),
        logged["status"],
        logged["tags"],
        {key: found[-1] for key, found in values.items()},
        logged["params"],
        _json(data) if data.exists() else None,
        diff.read_bytes().decode(errors="surrogateescape") if diff.exists() else None,
        journal,
        damage,
        _weights(folder),
        {
            key: found
            for key, found in values.items()
            if len({repr(one + 0.0) for one in found}) > 1
        },
        logged.get("latest"),
        not_compared.read_text(encoding="utf-8") if not_compared.exists() else "",
    )


def _fetch(uri: str, selector: str, folder: Path, what: str) -> None:
    command = mlflow_command("nnlab.tracking.fetch", uri, selector, str(folder), what)
    done = subprocess.run(
        command, capture_output=True, text=True, env=mlflow_environment(), check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise UserError(lines[-1] if lines else f"{uri} cannot be read")


def _json(path: Path) -> dict[str, Any]:
    try:
        value = from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path.name} of the run cannot be read: {str(error)[:200]}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path.name} must hold an object, but holds {type(value).__name__}")
    return value


def _journal(path: Path) -> tuple[list[Record] | None, str]:
    """Its records, or what is wrong with them."""
    if not path.exists():
        return None, ""
    try:
        records = list(each(path))
        if records:
            check(records)
    except JournalError as error:
        return None, str(error).replace(str(path), path.name)
    return records or None, "" if records else f"{path.name} has no record"


def _weights(folder: Path) -> list[Path]:
    """The files of the weights in the order of seeds and folds."""
    if (folder / "weights.npz").exists():
        return [folder / "weights.npz"]
    members = folder / "members"
    found = sorted(members.iterdir(), key=lambda one: int(one.name)) if members.is_dir() else []
    paths = [one / "weights.npz" for one in found]
    complete = [one.name for one in found] == [str(k) for k in range(len(found))]
    return paths if complete and all(path.exists() for path in paths) else []

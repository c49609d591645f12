"""What a run's directory says of it: read whole to go on with it, or at a glance to judge it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nnlab.errors import UserError
from nnlab.names import nearest
from nnlab.runs.journal import (
    Journal,
    JournalError,
    JournalReader,
    LockedError,
    Record,
    being_written,
    ends,
    number,
)
from nnlab.runs.owner import Owner
from nnlab.runs.plain import Config, flatten
from nnlab.training.report import Report, Stop

JOURNAL, CONFIG, ENVIRONMENT = "journal.jsonl", "config.yaml", "environment.json"
CHECKPOINTS = "checkpoints"
TRIAL_STATE = "nnlab.trial_state"
"""The tag that says a trial's state."""
UNFINISHED = ("interrupted", "died", "raised", "cut")
"""Ends by something else than the config: what can be gone on with."""
DIED = {"status": "KILLED", "rule": "died", "reason": "the process died without a last word"}


class Past:
    """What the journal of a run tells, in its order."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.start = records[0]
        self.reports: list[Report] = []
        self.tags: dict[str, str] = dict(self.start["tags"])
        self.members: list[str] = []
        """The runs of its seeds and folds."""
        self.data: Record | None = None
        """What it says of its data."""
        self.end: Record | None = None
        """How it ended; None while it goes on, or if nobody said."""
        for record in records:
            match record["type"]:
                case "report":
                    self.reports.append(_report(record))
                case "tags":
                    self.tags |= record["tags"]
                case "member":
                    self.members.append(record["run"])
                case "data":
                    self.data = record
                case "resumed":
                    self.end = None
                case "end":
                    self.end = record

    @property
    def resumable(self) -> bool:
        """Was it ended by something else than its config?"""
        return self.end is None or self.end["rule"] in UNFINISHED

    def check_resumable(self, config: Config) -> None:
        """Raise `UserError` if the run cannot go on with this config, which should be its own."""
        start = self.start
        name = f"{start['name']} (run {start['run']})"
        if start["kind"] == "member":
            raise UserError(f"{name} is one of the trainings of run {start['parent']}: resume that")
        if start["kind"] not in ("train", "trial"):
            again = "; `nnlab sweep`, as it was begun, goes on" * (start["kind"] == "study")
            what = "a training or a trial can be resumed"
            raise UserError(f"{name} is a {start['kind']}; {what}{again}")
        if self.end and not self.resumable:
            raise UserError(f"{name} has come to its end: {self.end['reason']}")
        difference = first_difference(start["params"], dict(flatten(config)))
        if difference:
            raise UserError(f"{name} is of another config: {difference} ({CONFIG})")


def first_difference(then: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """The first key whose value is another one, with both values."""
    for key in dict.fromkeys((*then, *now)):
        if then.get(key) != now.get(key):
            old, new = (str(side.get(key, "nothing")) for side in (then, now))
            return f"{key} was {old} then and is {new} now"
    return None


@dataclass(frozen=True)
class Glance:
    """A run by the two ends of its journal."""

    path: Path
    start: Record
    last: Record
    live: bool
    """Does a living process write it?"""

    @property
    def own(self) -> bool:
        """Is the directory that of the run, and not a copy of another name?"""
        return bool(self.path.name == self.start["run"])

    @property
    def ended(self) -> Record | None:
        """Its end, if somebody said it."""
        return self.last if self.last["type"] == "end" else None

    def __str__(self) -> str:
        return f"{self.start['name']} (run {self.start['run']})"


def glance(path: Path) -> Glance | None:
    """The run in that directory, however long; None if its journal's ends cannot be read."""
    live = being_written(path / JOURNAL)  # before its end is looked for: it may come in between
    found = ends(path / JOURNAL)
    if found is None or found[0]["type"] != "start":
        return None
    return Glance(path, *found, live)


def directories(store: Path) -> Iterator[Path]:
    """Every run's directory, by name; one with a dot is being removed."""
    folder = store / "runs"
    if folder.is_dir():
        paths = (path for path in folder.iterdir() if not path.name.startswith("."))
        yield from sorted(path for path in paths if (path / JOURNAL).exists())


def find(store: Path, text: str) -> Path:
    """The directory of the run with that id, or whose id alone begins so."""
    if not text.strip():
        raise UserError("a run is named by its id or the beginning of it, but got nothing")
    names = [path.name for path in directories(store)]
    found = [name for name in names if name == text] or [n for n in names if n.startswith(text)]
    if len(found) > 1:
        raise UserError(f"{text} begins the ids of {len(found)} runs: {', '.join(found)}")
    if not found:
        raise UserError(f"there is no run {text} in {store}/runs{nearest(text, names)}")
    return store / "runs" / found[0]


def owner_of(path: Path) -> Owner:
    """Who wrote the run in that directory last, as far as its journal can be read."""
    owners = [record["owner"] for record in _sound(path) if "owner" in record]
    return Owner.of(owners[-1] if owners else {})


def reap(run: Glance) -> str | None:
    """Say in its journal that the run was KILLED, with the evidence, if its process is gone.

    A trial's state becomes what its study said of it, or else KILLED as well.

    A living process is never reaped: it holds the journal's lock, also while it is stopped. Nor
    is a copy of a living run, or one that another machine may be writing. Returns the evidence;
    None where nothing was done. Raises `JournalError` if the journal is damaged.
    """
    if run.ended or run.live or not run.own:
        return None
    gone = owner_of(run.path).gone()
    if gone is None:
        return None
    evidence = f"{gone}, and nobody holds the lock of the journal"
    state = {TRIAL_STATE: _told(run)} if run.start["kind"] == "trial" else None
    with suppress(LockedError):  # it was resumed, or another one reaps it
        journal = Journal.reopen(run.path / JOURNAL)
        if journal.past[-1]["type"] == "end":
            journal.close()
        else:
            if state:
                journal.append("tags", tags=state)
            journal.conclude("end", **DIED, evidence=evidence)
            return evidence
    return None


def _told(trial: Glance) -> str:
    """The state of a trial whose process died: what its study said of it, or else KILLED."""
    study = _sound(trial.path.with_name(str(trial.start["parent"])))
    told = [one for one in study if one["type"] == "told" and one["run"] == trial.start["run"]]
    return str(told[-1]["state"]) if told else DIED["status"]


def _sound(path: Path) -> list[Record]:
    """The records in that directory's journal until it ends or is damaged."""
    try:
        return JournalReader(path / JOURNAL).poll()
    except JournalError:
        return []


def _report(record: Record) -> Report:
    values = {key: number(value) for key, value in record["metrics"].items()}
    epoch = values.pop("epoch", 0.0)  # a study's reports have none
    stop = Stop(**record["stop"]) if "stop" in record else None
    return Report(record["step"], epoch, values, record["seconds"], stop)

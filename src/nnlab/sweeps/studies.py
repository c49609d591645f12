"""The studies of a store: which one a sweep of that name goes on with, and whether it may."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nnlab.errors import UserError
from nnlab.runs.config import RunConfig
from nnlab.runs.environment import Environment
from nnlab.runs.journal import JournalError, Record, decode, read
from nnlab.runs.past import JOURNAL, directories
from nnlab.runs.plain import flatten
from nnlab.runs.run import Run
from nnlab.sweeps.budget import Budget, End, Spent
from nnlab.sweeps.definition import Definition
from nnlab.sweeps.identity import Identity
from nnlab.sweeps.ledger import Ledger

FRESH, FORK = "--fresh", "--fork"
ABANDONED = "abandoned"
"""The rule of a study that another one was begun instead of."""
_SHOWN = 12


@dataclass(frozen=True)
class Study:
    """An earlier study of a name: what its journal tells, seen with today's definition."""

    path: Path
    records: list[Record]
    ledger: Ledger

    @property
    def id(self) -> str:
        return str(self.records[0]["run"])

    @property
    def identity(self) -> Identity:
        return Identity.recorded(self.records[0])

    @property
    def why(self) -> End:
        """Why it is finished; it has to be."""
        end = self.ledger.end
        assert end is not None
        return End(end["rule"], end["reason"])

    @property
    def open(self) -> bool:
        """Was it left before its end?"""
        end = self.ledger.end
        left = end is None or end["rule"] in ("interrupted", "died", "raised")
        return left or bool(self.ledger.unfinished)

    def used_up(self) -> bool:
        """Is there nothing more to do for it with today's budget?"""
        ledger = self.ledger
        if self.open:
            return False
        spent = Spent(len(ledger.trials), ledger.count("FAILED"), ledger.seconds, ledger.epochs)
        return self.why.rule == "exhausted" or Budget.of(ledger.definition).over(spent) is not None


@dataclass(frozen=True)
class Beginning:
    """A study to be worked on: a new one, or one that goes on."""

    run: Run
    said: str
    """How it came to be, for the user."""
    instead_of: Path | None = None
    """The unfinished study that was abandoned for it."""


@contextmanager
def choosing(store: Path) -> Iterator[None]:
    """While it is decided which study is worked on, no other driver decides it."""
    folder = store / "runs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(
            f"store must be a folder that can be written, but {folder} cannot be: "
            f"{error.strerror} (store)"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def choose(
    definition: Definition,
    identity: Identity,
    config: RunConfig,
    environment: Environment,
    option: str = "",
) -> Beginning | Study:
    """The study to work on: the newest of that name if it can be gone on with, or a new one; or
    the newest itself, if it is the same search and has used up its budget.

    FRESH begins a new one anyway, FORK one that knows the results of the newest. Raises `UserError`
    if the newest is being worked on, or is unfinished and another search.
    """
    study = newest(config.store, definition)
    if study is None:
        if option == FORK:
            raise UserError(
                f"there is no study of the sweep {definition.name} to fork in {config.store}"
            )
        return Beginning(_new(definition, identity, config, environment), "")
    same = study.identity == identity
    if not option and same and study.used_up():
        return study
    run = Run.reopen(study.path, environment) if study.open or (same and not option) else None
    try:
        if run and not option and same:
            return Beginning(run, f"goes on with study {study.id}")
        if run and not option:
            raise UserError(_refusal(study, identity, definition.name))
        if option == FORK and same:
            raise UserError(
                f"study {study.id} is the same search: there is nothing to fork; without --fork "
                "it goes on, and --fresh begins a new one"
            )
        known = _known(study, definition) if option == FORK else []
        begun = _new(definition, identity, config, environment, study.id, known)
    except BaseException:
        if run:
            run.journal.close()
        raise
    if run:
        with run:
            run.end("KILLED", ABANDONED, f"study {begun.id} was begun instead")
    complete = study.ledger.count("COMPLETE")
    said = {
        FORK: f"a new study, which knows {len(known)} of {complete} results of study {study.id}",
        FRESH: "a new study",
    }.get(option, f"a new study: study {study.id} is finished, and was another search")
    return Beginning(begun, said, study.path if run else None)


def newest(store: Path, definition: Definition) -> Study | None:
    """The newest study of the definition's name that was not abandoned."""
    found: list[tuple[int, str, Path]] = []
    for path in directories(store):
        start = _start(path / JOURNAL)
        if start and start["params"].get("sweep.name") == definition.name:
            found.append((start["time"], path.name, path))
    for *_, path in sorted(found, reverse=True):
        try:
            records = read(path / JOURNAL)
        except JournalError:  # the doctor says where
            continue
        ledger = Ledger(definition, records)
        abandoned = ledger.end is not None and ledger.end["rule"] == ABANDONED
        whole = len(ledger.known) == records[0]["knows"]  # or it was killed while it was forked
        if whole and not abandoned:
            return Study(path, records, ledger)
    return None


def _new(
    definition: Definition,
    identity: Identity,
    config: RunConfig,
    environment: Environment,
    of: str = "",
    known: Sequence[Record] = (),
) -> Run:
    """A new study, which begins with what is known of the study `of`."""
    run = Run(
        config.store,
        kind="study",
        name=definition.name,
        tracking=config.tracking,
        config={"sweep": definition.plain, "experiment": config.plain},
        environment=environment,
        tags={"nnlab.forked_from": of} if known else None,
        more={"identity": identity.plain, "knows": len(known)},
    )
    for record in known:
        run.journal.append("known", **record)
    run.journal.sync()
    return run


def _known(study: Study, definition: Definition) -> list[Record]:
    """What a fork of the study knows: the objectives of its complete trials, and what that knew."""
    keys = ("values", "outcome", "curve", "of")
    then = study.records[0]["params"]["sweep.metric"]
    same = then == dict(flatten(definition.plain))["metric"]
    known: list[Record] = [
        {key: record[key] for key in keys} for record in study.ledger.known if same
    ]
    for trial in study.ledger.trials:
        measured = trial.measured()
        if trial.told and all(metric in measured for metric in definition.metrics):
            known.append(
                {
                    "values": dict(trial.values),
                    "outcome": [measured[metric] for metric in definition.metrics],
                    "curve": [[evaluation, value] for evaluation, value, _ in trial.looked_at()],
                    "of": trial.run,
                }
            )
    return known


def _refusal(study: Study, now: Identity, name: str) -> str:
    """Why an unfinished study is not gone on with, and what to do."""
    differences = study.identity.differences(now)
    lines = [f"  {line}" for line in differences[:_SHOWN]]
    lines += [f"  and {len(differences) - _SHOWN} more"] if len(differences) > _SHOWN else []
    ledger = study.ledger
    return "\n".join(
        (
            f"study {study.id} of the sweep {name} is not finished ({ledger.ended} trials are "
            "done), and the search is another one now (then -> now):",
            *lines,
            "undo that to go on; --fork begins a study that knows its results, --fresh one that "
            "does not",
        )
    )


def _start(journal: Path) -> Record | None:
    """The first record, if it is that of a study that says what it is."""
    with suppress(OSError), journal.open("rb") as file:
        line = file.readline()
        if b'"kind":"study"' in line and b'"identity":' in line:
            return decode(line.removesuffix(b"\n"))
    return None

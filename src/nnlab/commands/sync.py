"""`nnlab sync [RUN ...]`: send to MLflow what is missing there."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

from nnlab.commands.console import console, say
from nnlab.commands.options import check_uri, found_store, parser
from nnlab.commands.tracked import counted, reasons
from nnlab.errors import UserError
from nnlab.runs.journal import JournalError, JournalReader, Record, being_written
from nnlab.runs.past import JOURNAL, directories, find, glance, owner_of
from nnlab.tracking.known import UnreadableError, known
from nnlab.tracking.process import TrackingProcess
from nnlab.tracking.sent import complete, destination


def run(arguments: Sequence[str]) -> int:
    """Exit code 0 if all is in MLflow now, 1 if something could not be sent."""
    made = parser("sync", "Send to MLflow what is missing there; a second time changes nothing.")
    made.add_argument("run", nargs="*", metavar="RUN", help="an id or its beginning (else all)")
    options = made.parse_args(arguments)
    if options.uri:  # else that of each run
        check_uri(options.uri)
    store = found_store(options)
    named = [find(store, text) for text in options.run]
    return Sync(store, options.uri).send(named or list(directories(store)), named=bool(named))


class Sync:
    """Sends runs of a store, each to where its config said or all to one place."""

    def __init__(self, store: Path, uri: str | None) -> None:
        self.store = store
        self.uri = uri
        self.new = self.there = 0
        self.failed: dict[str, str] = {}
        """Why a run could not be sent."""

    def send(self, paths: Iterable[Path], *, named: bool) -> int:
        """Send them, say what came of it; the exit code."""
        trackers: dict[str, list[Path]] = defaultdict(list)
        for path, start in self._with_parents(paths).items():
            if being_written(path / JOURNAL):
                run = f"{start['name']} (run {path.name})"
                say(f"{run} is being written by {owner_of(path)}, and sent by its tracking process")
                continue
            uri = self.uri or destination(start, self.store)
            if uri is not None:
                trackers[uri].append(path)
            elif named:
                raise UserError(f"run {path.name} is not tracked; --uri says where to send it")
        for uri, runs in trackers.items():
            self._send(uri, runs)
        were = "was" if self.there == 1 else "were"
        say(f"sent {counted(self.new)} to MLflow; {self.there} {were} there already")
        if self.failed:
            say(f"not sent: {counted(len(self.failed))} ({reasons(self.failed)})", "red")
        return 1 if self.failed else 0

    def _with_parents(self, paths: Iterable[Path]) -> dict[Path, Record]:
        """How the runs began, and those that they are nested in before them."""
        found: dict[Path, Record] = {}

        def add(path: Path) -> None:
            start = None if path in found else self._start(path)
            if start:
                if start["parent"] and (path.with_name(start["parent"]) / JOURNAL).exists():
                    add(path.with_name(start["parent"]))
                found[path] = start

        for path in paths:
            add(path)
        return found

    def _start(self, path: Path) -> Record | None:
        """The run's first record; None where nothing was written, and of a copy."""
        run = glance(path)
        if run:
            return run.start if run.own else None
        try:
            records = JournalReader(path / JOURNAL).poll()  # until its damage
        except JournalError as error:
            self.failed[path.name] = str(error)
            return None
        return records[0] if records else None

    def _send(self, uri: str, runs: Sequence[Path]) -> None:
        """Send what that tracker does not have."""
        missing = self._missing(uri, runs)
        self.there += len(runs) - len(missing)
        if not missing:
            return
        process = TrackingProcess(uri, self.store)
        for path in missing:
            process.follow(path)
        with console.status("sending to MLflow") if console.is_terminal else nullcontext():
            tracked = process.finish()
        said = [tracked.runs[path.name] for path in missing if path.name in tracked.runs]
        new = sum(one["new"] for one in said)
        self.new += new
        self.there += len(said) - new
        self.failed |= tracked.failed
        for name, why in tracked.open.items():
            say(f"run {name} has no end yet: {why}")

    def _missing(self, uri: str, runs: Sequence[Path]) -> list[Path]:
        """The runs of which that tracker does not have all. What was deleted there stays so."""
        active: dict[str, int] = defaultdict(int)
        found: set[str] = set()
        try:
            for one in known(uri):
                active[one.run] += one.stage == "active"
                found.add(one.run)
        except UnreadableError as error:
            missing = [path for path in runs if not complete(path, uri)]
            if not missing:
                say(f"not checked whether all is still there: {error}", "yellow")
            return missing
        return [
            path
            for path in runs
            if not (active[path.name] == 1 and complete(path, uri))  # two: one is to be removed
            and (active[path.name] or path.name not in found)
        ]

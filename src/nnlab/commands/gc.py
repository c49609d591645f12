"""`nnlab gc`: list run directories, and remove those that MLflow has completely."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table
from rich.text import Text

from nnlab.commands.console import console, say
from nnlab.commands.options import check_uri, found_store, parser
from nnlab.errors import UserError
from nnlab.names import nearest
from nnlab.runs.past import CHECKPOINTS, UNFINISHED, Glance, directories, find, glance, owner_of
from nnlab.tracking.known import UnreadableError, known
from nnlab.tracking.removal import remove, sweep_up
from nnlab.tracking.sent import complete, destination

STATES = ("FINISHED", "FAILED", "KILLED")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_HELP = {
    "--older-than": "recorded nothing for so long: 12h, 30d, 8w",
    "--state": f"ended so: {', '.join(STATES)}",
    "--study": "a study with its trials",
    "--uri": "the MLflow that must have them (the one that each run names)",
}

Runs = Mapping[str, Glance | None]
"""Every run of the store by its id; None where its journal cannot be read."""


@dataclass(frozen=True)
class Entry:
    """A run's directory in the list."""

    path: Path
    run: Glance | None
    size: int
    tracked: str
    """Has MLflow all of it? "yes", or what else is known."""
    kept: str
    """Why it is not to be removed; empty if it is."""


def run(arguments: Sequence[str]) -> int:
    """List what is chosen, or everything; remove it if told so."""
    made = parser("gc", "List run directories, and remove those that MLflow has.", uri=False)
    made.add_argument("run", nargs="*", metavar="RUN", help="an id, with what is nested in it")
    for name, text in _HELP.items():
        made.add_argument(name, help=text)
    made.add_argument("--delete", action="store_true", help="remove what is not marked as kept")
    options = made.parse_args(arguments)
    if options.uri:
        check_uri(options.uri)
    choices = (options.run, options.older_than, options.state, options.study)
    if options.delete and not any(choices):
        raise UserError(
            "--delete must be told which runs: RUN, --older-than, --state or --study; "
            "`nnlab gc` lists them all"
        )
    store = found_store(options)
    runs = {path.name: glance(path) for path in directories(store)}
    named = _family(runs, (find(store, text).name for text in options.run))
    chosen = set(named or runs)
    if options.study:
        chosen &= _family(runs, [_study(store, options.study, runs)])
    if options.older_than:
        age = _age(options.older_than)
        chosen = {name for name in chosen if (one := runs[name]) and _idle(one) > age}
    if options.state:
        state = _checked_state(options.state)
        chosen = {name for name in chosen if _state(runs[name]) == state}
    entries = list(_entries(store, runs, chosen, named, options.uri))
    if options.delete:
        for entry in entries:
            if entry.path.name in named and (one := entry.run) and one.live:
                raise UserError(f"run {one.start['run']} is being written by {owner_of(one.path)}")
        entries = [_removed(entry) for entry in entries]
        sweep_up(store)
    _show(entries, deleted=options.delete)
    left = [entry for entry in entries if entry.kept and entry.path.name in named]
    return 1 if options.delete and left else 0


def _family(runs: Runs, names: Iterable[str]) -> set[str]:
    """These runs, and what is nested in them."""
    family, new = set(), set(names)
    while new:
        family |= new
        parents = {name: one.start["parent"] for name, one in runs.items() if one}
        new = {name for name, parent in parents.items() if parent in family} - family
    return family


def _study(store: Path, text: str, runs: Runs) -> str:
    name = find(store, text).name
    kind = one.start["kind"] if (one := runs[name]) else "run that cannot be read"
    if kind != "study":
        raise UserError(f"--study must name a study, but {name} is a {kind}")
    return name


def _age(text: str) -> float:
    """In seconds."""
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)([smhdw])", text)
    if match is None:
        raise UserError(
            f"an age must be a number and one of s, m, h, d, w, such as 30d, but got {text!r} "
            "(--older-than)"
        )
    return float(match[1]) * _SECONDS[match[2]]


def _checked_state(text: str) -> str:
    if text not in STATES:
        near = nearest(text.upper(), STATES)
        raise UserError(
            f"a state must be {', '.join(STATES[:-1])} or {STATES[-1]}, but got {text!r}{near} "
            "(--state)"
        )
    return text


def _idle(run: Glance) -> float:
    """Seconds since its last record."""
    return time.time() - float(run.last["time"]) / 1000


def _state(run: Glance | None) -> str:
    if run is None:
        return "UNREADABLE"
    return "RUNNING" if run.live else str((run.ended or {}).get("status", "OPEN"))


def _entries(
    store: Path, runs: Runs, chosen: set[str], named: set[str], only: str | None
) -> Iterator[Entry]:
    """What is chosen, that which is idle for longest first."""
    written = _family(runs, (name for name, one in runs.items() if one and one.live))
    there: dict[str, set[str] | None] = {}
    for name in sorted(chosen, key=lambda name: one.last["time"] if (one := runs[name]) else 0):
        run, path = runs[name], store / "runs" / name
        tracked = "unknown"
        if run is not None:
            uri = only or destination(run.start, store)
            if uri and uri not in there:
                there[uri] = _there(uri)
            tracked = _tracked(path, uri, there[uri]) if uri else "untracked"
        kept = "" if name in named or tracked == "yes" else "MLflow has not all of it"
        if name not in named and _can_go_on(path, run, chosen):
            kept = "it, or what it is part of, can be resumed"
        if name in written:
            kept = "it is being written, or is part of what is"
        yield Entry(path, run, _size(path), tracked, kept)


def _can_go_on(path: Path, run: Glance | None, chosen: set[str]) -> bool:
    """Would its removal take from a run what it would go on with?"""
    if run is None:
        return False
    if run.start["kind"] == "study":
        return run.ended is None or run.ended["rule"] in UNFINISHED
    divided = run.start["kind"] == "member" and run.start["parent"] not in chosen
    finished = run.ended is not None and run.ended["status"] == "FINISHED"
    return divided or ((path / CHECKPOINTS).is_dir() and not finished)


def _there(uri: str) -> set[str] | None:
    """The runs that this MLflow has; None where it cannot be read."""
    try:
        found = known(uri)
    except UnreadableError as error:
        say(str(error), "yellow")
        return None
    return {one.run for one in found if one.stage == "active" and one.status != "RUNNING"}


def _tracked(path: Path, uri: str, there: set[str] | None) -> str:
    if not complete(path, uri):
        return "not all"
    if there is None:
        return "unknown"
    return "yes" if path.name in there else "no more"


def _removed(entry: Entry) -> Entry:
    return entry if entry.kept else replace(entry, kept=remove(entry.path) or "")


def _show(entries: Sequence[Entry], *, deleted: bool) -> None:
    going = [entry for entry in entries if not entry.kept]
    if entries:
        table = Table(box=None, pad_edge=False)
        for name in ("run", "name", "state", "idle", "size", "in MLflow", ""):
            table.add_column(name, justify="right" if name in ("idle", "size") else "left")
        for entry in entries:
            run = entry.run
            cells = [entry.path.name, str(run.start["name"]) if run else "", _state(run)]
            cells += [_duration(_idle(run)) if run else "", _bytes(entry.size), entry.tracked]
            gone = "removed" if deleted else ""
            table.add_row(*map(Text, [*cells, f"kept: {entry.kept}" if entry.kept else gone]))
        console.print(table)
    say(f"{_sum(entries)}; {_sum(going)} {'removed' if deleted else 'can be removed (--delete)'}")
    if not deleted and any(entry.kept and entry.tracked != "yes" for entry in entries):
        say("`nnlab sync` sends to MLflow what it has not; a RUN that is named is removed anyway")


def _sum(entries: Sequence[Entry]) -> str:
    count = len(entries)
    what = "run directory" if count == 1 else "run directories"
    return f"{count:,} {what}, {_bytes(sum(entry.size for entry in entries))}"


def _size(path: Path) -> int:
    """The bytes of all files in a directory."""
    total = 0
    for file in path.rglob("*"):
        with suppress(FileNotFoundError):
            total += file.stat().st_size if file.is_file() else 0
    return total


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"


def _duration(seconds: float) -> str:
    unit = next((unit for unit in "wdhm" if seconds >= 2 * _SECONDS[unit]), "s")
    return f"{max(seconds, 0) / _SECONDS[unit]:.0f} {unit}"

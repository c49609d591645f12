"""`nnlab doctor`: is what disk and MLflow say of every run true? Mends what can be mended."""

from __future__ import annotations

import json
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from nnlab.commands.console import console, say
from nnlab.commands.options import check_uri, found_store, parser
from nnlab.runs.journal import JournalError, being_written
from nnlab.runs.past import DIED, JOURNAL, TRIAL_STATE, glance, reap
from nnlab.tracking.diagnosis import MENDED, Diagnosis, Finding, What, diagnose
from nnlab.tracking.entries import last_words
from nnlab.tracking.process import TrackingProcess, mlflow_command, mlflow_environment
from nnlab.tracking.sent import destination

_CURES = {
    What.UNSENT: "`nnlab sync` sends what is not in MLflow",
    What.EMPTY: "a directory without a journal holds nothing; it can be removed",
    What.DAMAGED: "what is before the damage can be read (docs/journal.md)",
    What.OPEN: "a run without an end may be going on elsewhere: `nnlab doctor` there can tell",
    What.AWAY: "what MLflow says was not looked at; try again when it answers",
    What.COPY: "a copy of a run within its store is left alone; move it away",
}


def run(arguments: Sequence[str]) -> int:
    """Exit code 0 if all is well or was mended, 1 if something needs attention."""
    made = parser("doctor", "Is what disk and MLflow say of every run true?", uri=False)
    made.add_argument("--uri", help="look at this MLflow alone (all that the runs name)")
    made.add_argument("--fix", action="store_true", help="say of runs that died how they ended")
    options = made.parse_args(arguments)
    if options.uri:
        check_uri(options.uri)
    store = found_store(options)
    before = after = diagnose(store, options.uri)
    errors: list[str] = []
    halfway = [one for one in before.of(What.UNSENT) if one.end.get("rule") == DIED["rule"]]
    if options.fix and (halfway or before.of(*MENDED)):
        with console.status("mending") if console.is_terminal else nullcontext():
            died = [*before.of(What.DIED), *halfway]  # another doctor may not have come to its end
            errors = [*_reap(died, store, options.uri), *_tell(before)]
        after = diagnose(store, options.uri)
    _show(before, after)
    for error in errors:
        say(f"not mended: {error}", "yellow")
    return 1 if after.attention else 0


def _reap(died: Iterable[Finding], store: Path, only: str | None) -> list[str]:
    """Write the end of runs that died, and show it in MLflow; what went wrong."""
    errors: list[str] = []
    shown: dict[str, list[Path]] = defaultdict(list)
    for finding in died:
        assert finding.path is not None
        try:
            if run := glance(finding.path):
                reap(run)
        except JournalError as error:
            errors.append(str(error))
            continue
        if run and (uri := only or destination(run.start, store)):
            shown[uri].append(run.path)
    for uri, paths in shown.items():
        process = TrackingProcess(uri, store)
        for path in paths:
            process.follow(path)
        errors += sorted(set(process.finish().failed.values()))
    return errors


def _tell(diagnosis: Diagnosis) -> list[str]:
    """Say in MLflow alone how runs ended that it has as RUNNING; what went wrong."""
    told: dict[str, list[str]] = defaultdict(list)
    for finding in diagnosis.of(What.STALE, What.GONE):
        assert finding.uri is not None
        if finding.path and being_written(finding.path / JOURNAL):  # it goes on since
            continue
        told[finding.uri].append(json.dumps(_ending(finding)))
    errors = []
    for uri, lines in told.items():
        done = subprocess.run(
            mlflow_command("nnlab.tracking.ending", uri),
            input="\n".join(lines),
            env=mlflow_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            errors.append(f"{uri}: {' '.join(done.stderr.splitlines()[-1:])}")
    return errors


def _ending(finding: Finding) -> dict[str, Any]:
    assert finding.known is not None
    tags, end = last_words(finding.end), finding.end
    if finding.what is What.GONE and finding.known.tags.get("nnlab.kind") == "trial":
        tags[TRIAL_STATE] = end["status"]
    return {
        "mlflow": finding.known.mlflow,
        "status": end["status"],
        "time": end.get("time"),
        "tags": tags,
    }


def _show(before: Diagnosis, after: Diagnosis) -> None:
    """A line for each finding, their numbers, and what to do about them."""
    left = {(finding.what, finding.name) for finding in after.findings}
    mended = [one for one in before.findings if (one.what, one.name) not in left]
    rows = [(one, "mended: ") for one in mended] + [(one, "") for one in after.findings]
    if rows:
        table = Table(box=None, pad_edge=False, show_header=False)
        for one, prefix in rows:
            table.add_row(*map(Text, (prefix + one.what.value, one.name, one.detail)))
        console.print(table)
    counts = Counter(one.what for one in after.findings)
    parts = [f"{len(mended):,} mended"] if mended else []
    parts += [f"{number:,} {what.value}" for what, number in counts.items()]
    if not after.attention:
        parts.append("all is well")
    runs = "1 run" if after.runs == 1 else f"{after.runs:,} runs"
    say(f"{runs}: {', '.join(parts)}", "bold red" if after.attention else "bold green")
    if after.of(*MENDED):
        say("`nnlab doctor --fix` says how they ended, on disk and in MLflow")
    for what, cure in _CURES.items():
        if what in counts:
            say(cure)

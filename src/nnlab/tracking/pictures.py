"""The drawing process: runs' curves, drawn beside the process that sends the runs.

    python -m nnlab.tracking.pictures

Directories of runs come on standard input, one a line. For each a line goes to standard output, in
the same order: `drawn`, or `not drawn`. Imports no MLflow.

To draw takes about as long as to send: where many runs wait, two cores take half the time.
"""

import io
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nnlab.runs.atomic import replacing
from nnlab.runs.journal import being_written, read
from nnlab.runs.past import JOURNAL, glance

if TYPE_CHECKING:
    from nnlab.plots.curves import LearningCurves

CURVES, DRAWN = "curves.png", "drawn\n"
AHEAD = 500
"""So many pictures are asked for before they are needed."""

Key = tuple[Path, int]
"""A run as it is: it may go on, and its journal is longer then."""


def draw(run: Path) -> None:
    """Draw the curves of the run in that directory, if it has reported twice."""
    records = read(run / JOURNAL)
    reports = [record for record in records if record["type"] == "report"]
    if len(reports) < 2:
        return
    picture = io.BytesIO()
    if records[0]["kind"] == "study":
        from nnlab.plots.curves import save, search_history

        save(search_history(reports), picture)
    else:
        _learning_curves().save(reports, picture)
    with replacing(run / CURVES, f".{os.getpid()}") as aside:  # another process may draw it, too
        aside.write_bytes(picture.getbuffer())


@cache
def _learning_curves() -> "LearningCurves":
    from nnlab.plots.curves import LearningCurves

    return LearningCurves()


class Pictures:
    """Has the pictures of runs that wait drawn by a process, and draws others itself."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._asked: deque[Key] = deque()
        self._drawn: dict[Key, bool] = {}

    def ask(self, runs: Iterable[Path]) -> None:
        """Have the curves drawn of those that have ended, if they are several: one is drawn as
        soon without a process."""
        ended = [run for run in runs if not being_written(run / JOURNAL) and _ended(run)]
        known = {*self._asked, *self._drawn}
        new = [key for key in map(_key, ended) if key not in known]
        if len(ended) < 2 or not new:
            return
        self._process = self._process or subprocess.Popen(
            [sys.executable, "-P", "-m", "nnlab.tracking.pictures"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        for key in new[: max(0, AHEAD - len(known))]:
            try:
                print(key[0].absolute(), file=self._process.stdin, flush=True)
            except BrokenPipeError:  # it was killed
                return
            self._asked.append(key)

    def provide(self, run: Path) -> None:
        """Return when the run's picture is there; raises what keeps it from being drawn."""
        key = _key(run)
        while key in self._asked:
            assert self._process is not None
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
            if line.endswith("\n"):
                self._drawn[self._asked.popleft()] = line == DRAWN
            else:  # it was killed
                self._asked.clear()
        if not self._drawn.pop(key, False):
            draw(run)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


def main() -> None:
    """The process; it ends when no more is to come."""
    sys.stdout = sys.stderr  # nothing but answers goes back
    for line in sys.stdin:
        said = DRAWN
        try:
            draw(Path(line.rstrip("\n")))
        except Exception:  # whoever asked tries it and says why
            said = f"not {DRAWN}"
        print(said, end="", file=sys.__stdout__, flush=True)


def _ended(run: Path) -> bool:
    found = glance(run)
    return found is not None and found.ended is not None


def _key(run: Path) -> Key:
    return run, (run / JOURNAL).stat().st_size


if __name__ == "__main__":
    main()

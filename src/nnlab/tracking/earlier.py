"""What became of a store's earlier runs: the cheap part of `nnlab doctor`, done by the way.

Imports no MLflow. Each run is judged by the two ends of its journal: a thousand take a tenth of a
second or two, and a part of them is looked at whenever there is time.
"""

from collections.abc import Container
from pathlib import Path
from time import monotonic

from nnlab.runs.journal import JournalError
from nnlab.runs.past import directories, glance, reap
from nnlab.tracking.sent import being_sent, complete, destination, same_tracker

LOOK_SECONDS = 0.05


class Earlier:
    """The runs of a store that go to one tracker."""

    def __init__(self, store: Path, uri: str) -> None:
        self.store = store
        self.uri = uri
        self.over = False
        """Was every run looked at?"""
        self.reaped: list[Path] = []
        """Runs whose process had died, which their journals say now."""
        self._ended: list[Path] = []
        self._paths = directories(store)

    def look(self, followed: Container[str]) -> list[Path]:
        """Look at some more runs, but those whose ids are `followed`; those that were reaped."""
        until = monotonic() + LOOK_SECONDS
        found = []
        while monotonic() < until:
            path = next(self._paths, None)
            if path is None:
                self.over = True
                break
            if path.name not in followed and self._judge(path):
                found.append(path)
        self.reaped += found
        return found

    def unsent(self) -> int:
        """How many had ended but are not completely in MLflow, and nobody is sending them."""
        paths = (*self._ended, *self.reaped)
        return sum(not complete(path, self.uri) and not being_sent(path) for path in paths)

    def _judge(self, path: Path) -> bool:
        """Was the run reaped?"""
        run = glance(path)
        uri = destination(run.start, self.store) if run else None
        if run is None or not run.own or run.live or not uri or not same_tracker(uri, self.uri):
            return False
        if run.ended is None:
            try:
                return reap(run) is not None
            except JournalError:  # damaged: the doctor says where
                return False
        if not complete(path, self.uri):
            self._ended.append(path)
        return False

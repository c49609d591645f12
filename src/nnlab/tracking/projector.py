"""The tracking process: follows journals and shows them in MLflow.

    python -m nnlab.tracking.projector URI STORE

Run directories come on standard input, one a line; its end means that no more will come. Lines of
JSON go to standard output, each of one run: that it is complete in MLflow, that it could not be
sent and why, or that it is left open and why. The last line counts what there is besides: runs of
STORE whose process had died (they are marked and sent too), and runs not completely sent.
"""

import json
import os
import queue
import sys
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from nnlab.errors import first_line
from nnlab.runs.journal import JournalError
from nnlab.tracking.earlier import Earlier
from nnlab.tracking.pictures import Pictures
from nnlab.tracking.projection import BusyError, Projection
from nnlab.tracking.store import Store

POLL_SECONDS = 0.1
RETRY_SECONDS = 1.0
GIVE_UP_SECONDS, BUSY_SECONDS = 5.0, 30.0
"""How long something may have failed, or been busy, before it is given up at the end."""

Incoming = queue.Queue[Path | None]


def serve(store: Store, incoming: Incoming, earlier: Earlier | None = None) -> bool:
    """Follow the runs that come until the last one is complete; were all sent?"""
    projector = Projector(store, incoming, earlier)
    try:
        projector.serve()
    finally:
        projector.pictures.close()
        for projection in projector.following:
            projection.close()
    return projector.all_sent


class Projector:
    """Follows runs, and takes a look at the earlier ones by the way."""

    def __init__(self, store: Store, incoming: Incoming, earlier: Earlier | None) -> None:
        self.store = store
        self.incoming = incoming
        self.earlier = earlier
        self.following: list[Projection] = []
        self.pictures = Pictures()
        self.more = self.all_sent = True
        self._last_came: float | None = None
        self._asked: set[str] = set()
        """The ids of the runs that came."""
        self._failing_since: dict[Projection, float] = {}
        self._away_since: float | None = None
        """Since when the server does not answer."""

    def serve(self) -> None:
        """Follow until no more comes and all is done with."""
        while self.more or self.following or self._looking:
            self._accept()
            self._look()
            if self._away_since is None or self.store.reachable():
                self._advance_all()
            else:
                self._away(self._away_since)
            if self.more or self.following:
                away = self._failing_since or self._away_since
                sleep(RETRY_SECONDS if away else POLL_SECONDS)
        if self.earlier:
            say(reaped=len(self.earlier.reaped), unsent=self.earlier.unsent())

    def _accept(self) -> None:
        """Begin to follow the runs that have come."""
        while self.more and not self.incoming.empty():
            path = self.incoming.get()
            if path is None:
                self.more = False
                self._last_came = monotonic()
            else:
                self._asked.add(path.name)
                self._follow(path)

    @property
    def _looking(self) -> bool:
        return self.earlier is not None and not self.earlier.over

    def _look(self) -> None:
        if self.earlier and not self.earlier.over:
            for path in self.earlier.look(self._asked):
                self._follow(path)

    def _follow(self, path: Path) -> None:
        if path not in [projection.path for projection in self.following]:
            self.following.append(Projection(path, self.store, self.pictures.provide))

    def _advance_all(self) -> None:
        """Send what there is of every run, unless the server turns out to be away."""
        with suppress(OSError, ValueError):  # whoever is sent without is drawn then
            self.pictures.ask(projection.path for projection in self.following)
        for projection in list(self.following):
            began = monotonic()
            try:
                done = self._advance(projection)
                self._failing_since.pop(projection, None)
                self._away_since = None
            except BusyError as error:
                done = self._given_up(projection, began, BUSY_SECONDS, error)
            except Exception as error:  # whatever MLflow or its server raises: it may come back
                if not self.store.reachable():
                    self._away(began)
                    return
                done = self._given_up(projection, began, GIVE_UP_SECONDS, error)
            if done:
                self._leave(projection)

    def _advance(self, projection: Projection) -> bool:
        """Send what there is of one run; is it done with?"""
        name = projection.path.name
        try:
            projection.advance(last=not self.more, waits=self._waits(projection))
        except JournalError as error:
            projection.abandon(str(error))
            self._fail(projection, str(error))
            return True
        if name in self._asked and projection.left:
            say(run=name, open=projection.left)
        elif name in self._asked and projection.done and projection.run_id:
            ids = {"mlflow": projection.run_id, "experiment": projection.experiment}
            say(run=name, **ids, new=projection.new)
        return projection.done or bool(projection.left)

    def _waits(self, projection: Projection) -> bool:
        """Is it a study some of whose trials are not sent yet? Its report links them."""
        if projection.kind != "study":
            return False
        self._accept()
        return any(one.parent == projection.path.name for one in self.following)

    def _given_up(
        self, projection: Projection, began: float, seconds: float, error: Exception
    ) -> bool:
        """Has it failed for so long that it is given up? Only when no more runs come."""
        since = self._failing_since.setdefault(projection, began)
        if isinstance(error, BusyError):  # the other one had no reason to hurry before
            since = max(since, self._last_came or since)
        if self.more or monotonic() - since < seconds:
            return False
        self._fail(projection, first_line(error)[:300])
        return True

    def _away(self, began: float) -> None:
        """The server does not answer: give it up if that is so for long and no more runs come."""
        self._away_since = self._away_since or began
        self._accept()
        if not self.more and monotonic() - self._away_since >= GIVE_UP_SECONDS:
            for projection in list(self.following):
                self._fail(projection, f"{self.store.uri} does not answer")
                self._leave(projection)

    def _fail(self, projection: Projection, why: str) -> None:
        if projection.path.name in self._asked:
            self.all_sent = False
            say(run=projection.path.name, error=why)

    def _leave(self, projection: Projection) -> None:
        projection.close()
        self.following.remove(projection)
        self._failing_since.pop(projection, None)


def say(**what: Any) -> None:
    """A line for the parent, if it is still there."""
    with suppress(BrokenPipeError):
        print(json.dumps(what), file=sys.__stdout__, flush=True)


def main() -> None:
    """The process: directories in, lines of JSON out."""
    uri, store = sys.argv[1], Path(sys.argv[2])
    os.nice(5)  # training comes first
    sys.stdout = sys.stderr  # MLflow prints there too
    incoming: Incoming = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            incoming.put(Path(line.rstrip("\n")))
        incoming.put(None)

    threading.Thread(target=listen, daemon=True).start()
    sent = serve(Store(uri, store / "artifacts"), incoming, Earlier(store, uri))
    sys.exit(0 if sent else 1)


if __name__ == "__main__":
    main()

"""The tracking process: follows journals and shows them in MLflow.

    python -m nnlab.tracking.projector URI ARTIFACTS

Run directories come on standard input, one a line; its end means that no more will come. For
every run that is complete in MLflow a line of JSON goes to standard output, and one for every run
that could not be sent.
"""

import json
import os
import queue
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from nnlab.errors import first_line
from nnlab.runs.journal import JournalError
from nnlab.tracking.projection import Projection
from nnlab.tracking.store import Store

POLL_SECONDS = 0.1
GIVE_UP_SECONDS = 15.0

Incoming = queue.Queue[Path | None]


def serve(store: Store, incoming: Incoming) -> bool:
    """Follow the runs that come until the last one is complete; were all sent?"""
    following: list[Projection] = []
    failing_since: dict[Projection, float] = {}
    more = all_sent = True
    while more or following:
        more = _accept(incoming, following) if more else False
        for projection in list(following):
            try:
                done = _advance(projection, store, last=not more)
                failing_since.pop(projection, None)
            except Exception as error:  # whatever MLflow or its server raises: it may come back
                now = time.monotonic()
                since = failing_since.setdefault(projection, now)
                done = not more and now - since > GIVE_UP_SECONDS
                if done:
                    all_sent = False
                    say(run=projection.path.name, error=first_line(error)[:300])
            if done:
                following.remove(projection)
        time.sleep(1.0 if failing_since else POLL_SECONDS)
    return all_sent


def _accept(incoming: Incoming, following: list[Projection]) -> bool:
    """Begin to follow the runs that have come; will there be more?"""
    while not incoming.empty():
        path = incoming.get()
        if path is None:
            return False
        following.append(Projection(path))
    return True


def _advance(projection: Projection, store: Store, *, last: bool) -> bool:
    """Send what there is of one run; is it done with?"""
    name = projection.path.name
    try:
        projection.advance(store, last=last)
    except JournalError as error:
        projection.abandon(store, str(error))
        say(run=name, error=str(error))
        return True
    if projection.done:
        say(run=name, mlflow=projection.run_id, experiment=projection.experiment)
    return projection.done


def say(**what: Any) -> None:
    """A line for the parent, if it is still there."""
    with suppress(BrokenPipeError):
        print(json.dumps(what), file=sys.__stdout__, flush=True)


def main() -> None:
    """The process: directories in, lines of JSON out."""
    uri, artifacts = sys.argv[1:]
    os.nice(5)  # training comes first
    sys.stdout = sys.stderr  # MLflow prints there too
    incoming: Incoming = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            incoming.put(Path(line.rstrip("\n")))
        incoming.put(None)

    threading.Thread(target=listen, daemon=True).start()
    sys.exit(0 if serve(Store(uri, Path(artifacts)), incoming) else 1)


if __name__ == "__main__":
    main()

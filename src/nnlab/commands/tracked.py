"""What the commands do about tracking: start its process, follow runs, say where they are."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Self

from nnlab.commands.console import console, say
from nnlab.commands.options import store_option
from nnlab.runs.config import RunConfig
from nnlab.runs.destination import own_database
from nnlab.tracking.process import Tracked, TrackingProcess


class Trackers:
    """The tracking processes of a command, one for each store that its runs name, as a context.

    Leaving it waits until all is in MLflow, and says what is not and what to do with what is. After
    an interrupt the processes go on by themselves.
    """

    def __init__(self) -> None:
        self.best: str | None = None
        """The one of several runs that one may want to reproduce."""
        self._processes: dict[tuple[str, Path], TrackingProcess] = {}
        self._followed: set[Path] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            for process in self._processes.values():
                process.leave()
            for store in dict.fromkeys(store for _, store in self._processes):
                say(
                    "the rest goes to MLflow in the background; "
                    f"`nnlab sync{store_option(store)}` sends what does not get there"
                )
        else:
            self._finish()

    def follow(self, run: Path, config: RunConfig) -> None:
        """Show the run in this directory from now on, where its config says so; once is enough."""
        uri = config.tracking.uri
        if uri is None or run in self._followed:
            return
        self._followed.add(run)
        key = (uri, config.store)
        if key not in self._processes:
            self._processes[key] = TrackingProcess(*key)
        self._processes[key].follow(run)

    def _finish(self) -> None:
        best = self.best
        for (uri, store), process in self._processes.items():
            with console.status("completing in MLflow") if console.is_terminal else nullcontext():
                tracked = process.finish()
            option = store_option(store)
            _say_what_is_missing(tracked, store, f"`nnlab sync{option}`")
            if len(tracked.runs) == 1:
                (best,) = tracked.runs
                say(f"in MLflow: run {tracked.runs[best]['mlflow']} of {uri}")
            elif tracked.runs:
                say(f"in MLflow: {len(tracked.runs)} runs of {uri}")
            local = uri == own_database(store)
            if best in tracked.runs:
                remote = "" if local else f" --uri {uri}"
                say(f"reproduce: nnlab reproduce {best}{option}{remote}")
            if tracked.runs:
                browse = f"nnlab ui{option}" if local else uri
                say(f"browse:    {browse}")


def counted(number: int, what: str = "run") -> str:
    """ "1 run", "2 runs"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def reasons(why: Mapping[str, str]) -> str:
    """Why it is, said once for all the runs of which it is so; of many reasons the first two."""
    different = list(dict.fromkeys(why.values()))
    return "; ".join(different[:2]) + ("; ..." if len(different) > 2 else "")


def _say_what_is_missing(tracked: Tracked, store: Path, sync: str) -> None:
    """One line, if something is."""
    missing = {**tracked.failed, **tracked.open}
    if missing:
        say(
            f"not yet in MLflow: {counted(len(missing))} ({reasons(missing)}); "
            f"nothing is lost: it is in {store}/runs, and {sync} will send it",
            "yellow",
        )
    elif tracked.unsent:
        are, them = ("is", "it") if tracked.unsent == 1 else ("are", "them")
        earlier = counted(tracked.unsent, "earlier run")
        say(f"{earlier} {are} not in MLflow yet: {sync} sends {them}", "yellow")

"""What the commands do about tracking: start its process, follow runs, say where they are."""

from contextlib import nullcontext
from pathlib import Path

from nnlab.commands.console import console, say
from nnlab.runs.config import RunConfig
from nnlab.tracking.process import TrackingProcess


class Trackers:
    """The tracking processes of a command: one for each store that its runs name."""

    def __init__(self) -> None:
        self._processes: dict[tuple[str, Path], TrackingProcess] = {}
        self._followed: set[Path] = set()

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

    def finish(self, best: str | None = None) -> None:
        """Wait until all is in MLflow; say what is not, and what to do with what is.

        Of several runs it is the `best` that one may want to reproduce.
        """
        for (uri, store), process in self._processes.items():
            with console.status("completing in MLflow") if console.is_terminal else nullcontext():
                tracked = process.finish()
            for error in tracked.errors:
                say(f"not yet in MLflow: {error}", "yellow")
                say(f"nothing is lost: it is in {store}/runs")
            if len(tracked.runs) == 1:
                (best,) = tracked.runs
                say(f"in MLflow: run {tracked.runs[best]['mlflow']} of {uri}")
            elif tracked.runs:
                say(f"in MLflow: {len(tracked.runs)} runs of {uri}")
            local = uri == f"sqlite:///{store}/mlflow.db"
            option = "" if store == Path("mlruns") else f" --store {store}"
            if best in tracked.runs:
                remote = "" if local else f" --uri {uri}"
                say(f"reproduce: nnlab reproduce {best}{option}{remote}")
            if tracked.runs:
                browse = f"nnlab ui{option}" if local else uri
                say(f"browse:    {browse}")

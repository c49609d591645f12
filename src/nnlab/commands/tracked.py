"""What the commands do about tracking: start its process, follow runs, say where they are."""

from contextlib import nullcontext
from pathlib import Path

from nnlab.commands.console import console
from nnlab.runs.config import RunConfig
from nnlab.runs.run import Run
from nnlab.tracking.process import Tracked, TrackingProcess


class Trackers:
    """The tracking processes of a command: one for each store that its runs name."""

    def __init__(self) -> None:
        self._processes: dict[tuple[str, Path], TrackingProcess] = {}
        self._paths: dict[str, Path] = {}

    def follow(self, run: Run, config: RunConfig) -> None:
        """Show a run in MLflow from now on, where its config says so."""
        self._paths[run.id] = run.path
        uri = config.tracking.uri
        if uri is None:
            return
        key = (uri, config.store)
        if key not in self._processes:
            self._processes[key] = TrackingProcess(*key)
        self._processes[key].follow(run.path)

    def finish(self) -> dict[str, str]:
        """Wait until all is in MLflow; say what is where. MLflow ids by run id."""
        known: dict[str, str] = {}
        for (uri, store), process in self._processes.items():
            with console.status("completing in MLflow") if console.is_terminal else nullcontext():
                tracked = process.finish()
            self._say(tracked, uri, store)
            known |= {run: said["mlflow"] for run, said in tracked.runs.items()}
        return known

    def _say(self, tracked: Tracked, uri: str, store: Path) -> None:
        for error in tracked.errors:
            console.print(
                f"[yellow]not yet in MLflow:[/] {error}\nnothing is lost: it is in {store}/runs"
            )
        if len(tracked.runs) == 1:
            (run,) = tracked.runs
            console.print(f"in MLflow as {tracked.runs[run]['mlflow']} ({uri})")
            console.print(f"browse:    nnlab ui{_option(store)}")
            console.print(f"reproduce: nnlab reproduce {run}{_option(store)}")
        elif tracked.runs:
            console.print(f"{len(tracked.runs)} runs in MLflow ({uri})")
            console.print(f"browse:    nnlab ui{_option(store)}")


def _option(store: Path) -> str:
    return "" if store == Path("mlruns") else f" --store {store}"

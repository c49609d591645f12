"""The parent's side of the tracking processes. Imports no MLflow."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnlab.garbage import OBJECTS
from nnlab.runs.runtime import free

LOG = "tracking.log"
_RUN = (
    f"import gc, runpy, sys; gc.set_threshold({OBJECTS}); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)
"""`python -m MODULE`, in which MLflow is imported sooner."""


@dataclass(frozen=True)
class Tracked:
    """What the tracking process said at its end; runs are named by their nnlab ids."""

    runs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Those that are complete in MLflow: `mlflow` and `experiment` ids, `new` if something of it
    was sent now."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Those that could not be sent, and why."""
    open: Mapping[str, str] = field(default_factory=dict)
    """Those that have no end though nobody seems to write them, and why."""
    reaped: int = 0
    """Earlier runs of the store whose process had died, which was said of them now."""
    unsent: int = 0
    """Earlier runs of the store that have ended and are not completely in MLflow."""

    @property
    def errors(self) -> tuple[str, ...]:
        """What kept runs from being complete, each reason once."""
        return tuple(dict.fromkeys((*self.failed.values(), *self.open.values())))


class TrackingProcess:
    """One process that shows runs in MLflow while this one trains.

    `follow` names a run to show; `finish` says that no more will come, and waits for the rest;
    `leave` does not wait.
    """

    def __init__(self, uri: str, store: Path) -> None:
        self.log = store / LOG
        store.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                mlflow_command("nnlab.tracking.projector", uri, str(store)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=mlflow_environment(),
                start_new_session=True,  # an interrupt of ours must not lose what it has to send
            )
        self._followed: list[str] = []
        self._said: list[dict[str, Any]] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def follow(self, run: Path) -> None:
        """Show this run's journal from now on."""
        assert self._process.stdin is not None
        self._followed.append(run.name)
        with suppress(BrokenPipeError):  # it died; `finish` says so
            self._process.stdin.write(f"{run.absolute()}\n")
            self._process.stdin.flush()

    def leave(self) -> None:
        """Let it complete by itself what it follows, also after this process has ended."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def finish(self) -> Tracked:
        """Wait until every run is complete in MLflow, or cannot be."""
        self.leave()
        code = self._process.wait()
        self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        runs = {said["run"]: said for said in self._said if "mlflow" in said}
        failed = {said["run"]: str(said["error"]) for said in self._said if "error" in said}
        left = {said["run"]: str(said["open"]) for said in self._said if "open" in said}
        counts = next((said for said in self._said if "unsent" in said), None)
        if counts is None:  # it did not come to its end
            why = f"the tracking process ended with code {code}; see {self.log}"
            failed |= dict.fromkeys({*self._followed} - {*runs, *failed, *left}, why)
            counts = {"reaped": 0, "unsent": 0}
        return Tracked(runs, failed, left, counts["reaped"], counts["unsent"])

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.append(json.loads(line))


def mlflow_command(module: str, *arguments: str) -> list[str]:
    """A process of ours that imports MLflow."""
    return [sys.executable, "-P", "-c", _RUN, module, *arguments]


def mlflow_environment() -> dict[str, str]:
    """Quiet, without telemetry, one BLAS thread; a call that fails is made again by us, later."""
    return {
        **free(os.environ),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "8",
        "OPENBLAS_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        "PYTHONWARNINGS": "ignore",
    }

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

LOG = "tracking.log"


@dataclass(frozen=True)
class Tracked:
    """What the tracking process said at its end."""

    runs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By nnlab run id, of runs that are complete in MLflow: `mlflow` and `experiment` ids."""
    errors: tuple[str, ...] = ()


class TrackingProcess:
    """One process that shows runs in MLflow while this one trains.

    `follow` names a run to show; `finish` says that no more will come, and waits for the rest.
    """

    def __init__(self, uri: str, store: Path) -> None:
        self.log = store / LOG
        store.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                mlflow_command("nnlab.tracking.projector", uri, str(store / "artifacts")),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=mlflow_environment(),
                start_new_session=True,  # an interrupt of ours must not lose what it has to send
            )
        self._said: list[dict[str, Any]] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def follow(self, run: Path) -> None:
        """Show this run's journal from now on."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died; `finish` says so
            self._process.stdin.write(f"{run.absolute()}\n")
            self._process.stdin.flush()

    def finish(self) -> Tracked:
        """Wait until every run is complete in MLflow, or cannot be."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        code = self._process.wait()
        self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        errors = [str(said["error"]) for said in self._said if "error" in said]
        if code and not errors:
            errors = [f"the tracking process ended with code {code}; see {self.log}"]
        runs = {said["run"]: said for said in self._said if "mlflow" in said}
        return Tracked(runs, tuple(dict.fromkeys(errors)))

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.append(json.loads(line))


def mlflow_command(module: str, *arguments: str) -> list[str]:
    """A process of ours that imports MLflow."""
    return [sys.executable, "-P", "-m", module, *arguments]


def mlflow_environment() -> dict[str, str]:
    """Quiet, without telemetry, without minutes of retries, one BLAS thread."""
    return {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "OPENBLAS_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        "PYTHONWARNINGS": "ignore",
    }

"""`nnlab ui`: MLflow's own interface on the store's database, on this machine alone."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from nnlab.commands.options import parser
from nnlab.errors import UserError
from nnlab.tracking.process import mlflow_environment


def run(arguments: Sequence[str]) -> int:
    """Serve until interrupted."""
    made = parser("ui", "Browse the runs in MLflow's interface.", uri=False)
    made.add_argument("--port", type=int, default=5000, help="the port (5000)")
    made.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    options = made.parse_args(arguments)
    database = Path(options.store, "mlflow.db")
    if not database.exists():
        raise UserError(f"there is nothing to browse: {database} does not exist (--store)")
    if not 0 < options.port < 65536:
        raise UserError(f"`0 < port < 65536` must hold, but got port={options.port} (--port)")
    port = _free_port(options.host, options.port)
    if port != options.port:
        print(f"port {options.port} is taken")
    print(
        f"MLflow on http://{options.host}:{port} in ten to twenty seconds; Ctrl-C ends it",
        flush=True,
    )
    command = [sys.executable, "-P", "-m", "mlflow", "server"]
    command += ["--backend-store-uri", f"sqlite:///{database}"]
    command += ["--artifacts-destination", str(Path(options.store, "artifacts").absolute())]
    command += ["--host", options.host, "--port", str(port), "--workers", "1"]
    os.environ.update(mlflow_environment(), MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
    return subprocess.run(command, check=False).returncode


def _free_port(host: str, wanted: int) -> int:
    """The wanted port, or the next that is free."""
    for port in range(wanted, min(wanted + 50, 65536)):
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError as error:
                problem = error
            else:
                return port
    raise UserError(f"no port from {wanted} on is free on {host}: {problem} (--port, --host)")

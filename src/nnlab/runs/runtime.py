"""What decides bits besides the config: the BLAS library's threads. Imports no NumPy."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from nnlab.core.laws import law
from nnlab.runs.plain import Config

_THREADS = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass(frozen=True)
class Runtime:
    """How a training uses the machine. Another number of threads can give other bits."""

    threads: int = 1

    def __post_init__(self) -> None:
        law("1 <= threads <= 1024", 1 <= self.threads <= 1024, threads=self.threads)


def pin_config(config: Config) -> None:
    """Pin what a config that is not yet checked asks for; nonsense is left to the check."""
    runtime = config.get("runtime")
    threads = runtime.get("threads") if isinstance(runtime, Mapping) else None
    pin(threads if isinstance(threads, int) and 1 <= threads <= 1024 else 1)


def pin(threads: int) -> None:
    """Give BLAS that many threads, whatever the caller's environment says.

    The libraries read their variables when they are loaded; where NumPy is here already, its
    BLAS is told directly.
    """
    for variable in _THREADS:
        os.environ[variable] = str(threads)
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(threads)

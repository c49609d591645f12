"""A run's artifacts, downloaded from a tracker that may be anybody's: by name, up to a size."""

import resource
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir
from types import MappingProxyType

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from nnlab.errors import UserError
from nnlab.runs import plain
from nnlab.runs.about import DATA
from nnlab.runs.past import CONFIG, ENVIRONMENT, JOURNAL
from nnlab.runs.run import DIFF, WEIGHTS

LARGEST: Mapping[str, int] = MappingProxyType(
    {
        CONFIG: plain.LARGEST,
        ENVIRONMENT: plain.LARGEST,
        DATA: 10_000_000,
        DIFF: 100_000_000,
        JOURNAL: 64_000_000,
        WEIGHTS: 16_000_000_000,
    }
)
"""Bytes of each artifact that is fetched; no other is. A journal has 550 bytes for a report of a
dozen metrics: a hundred thousand of them are read."""
SPARED = 100_000_000
"""Bytes of the disk that are left free."""
POINTS = 4_000_000_000
"""Bytes of memory that the fetching process may take: about eight million points of metrics."""


class TooLargeError(UserError):
    """An artifact is larger than it may be."""


def download(client: MlflowClient, run: str, name: str, folder: Path) -> bool:
    """Download the artifact of that name to `folder`; False where the run has none.

    Raises `TooLargeError` where it is larger than it may be, whatever the tracker says of its size,
    and `UserError` where the disk has no room for it: the system ends the writing there.
    """
    path = folder / name
    room = max(0, shutil.disk_usage(folder).free - SPARED)
    most = min(LARGEST[name], room)
    with suppress(MlflowException, OSError):
        said = [one for one in client.list_artifacts(run) if one.path == name]
        if not said or said[0].is_dir:
            return False
        _check(run, name, int(said[0].file_size or 0), room)
        with _limited(resource.RLIMIT_FSIZE, most + 1):
            client.download_artifacts(run, name, str(folder))
    with suppress(OSError):
        found = path.lstat()
        _check(run, name, found.st_size, room)
        return stat.S_ISREG(found.st_mode)
    return False


def limit_memory() -> None:
    """Let this process take `POINTS` bytes more and no others: what would take more is a
    `MemoryError` here, and does no harm to the machine."""
    with suppress(OSError, ValueError):  # a system without /proc has other means, or none
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + POINTS, hard))


def _check(run: str, name: str, size: int, room: int) -> None:
    if size > LARGEST[name]:
        raise TooLargeError(
            f"run {run}: the artifact {name} may have {LARGEST[name]:,} bytes, "
            f"and has {size:,} or more"
        )
    if size > room:
        raise UserError(
            f"run {run}: the artifact {name} has {size:,} bytes or more, but there is room for "
            f"{room:,} in {gettempdir()} (TMPDIR names another folder)"
        )


@contextmanager
def _limited(what: int, most: int) -> Iterator[None]:
    before = resource.getrlimit(what)
    resource.setrlimit(what, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)

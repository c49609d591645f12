"""Who writes a run: the process, so that another one can tell whether it still lives."""

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

_TAG = "nnlab."


@dataclass(frozen=True)
class Owner:
    """A process, told apart from all that ever had its number."""

    pid: int
    started: str
    """When, as the system counts; empty where it does not tell."""
    boot: str
    """Which start of the machine this was."""
    host: str

    @classmethod
    def here(cls) -> "Owner":
        """This process."""
        pid = os.getpid()
        return cls(pid, _started(pid) or "", _boot(), platform.node())

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Owner":
        """The owner that `plain` says; one that is not known, and may live, if it does not say."""
        try:
            return cls(int(plain["pid"]), *(str(plain[key]) for key in ("started", "boot", "host")))
        except (KeyError, ValueError):
            return cls(0, "", "", "")

    @classmethod
    def of_tags(cls, tags: Mapping[str, str]) -> "Owner":
        """The owner that a run's tags say."""
        return cls.of({key.removeprefix(_TAG): value for key, value in tags.items()})

    @property
    def tags(self) -> dict[str, str]:
        """The same as a run's tags."""
        return {_TAG + key: str(value) for key, value in self.plain.items()} if self.pid else {}

    @property
    def plain(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)

    def gone(self) -> str | None:
        """What shows that it lives no more; None where it may live."""
        if self.pid < 1 or self.host != platform.node():
            return None
        if self.boot and _boot() and self.boot != _boot():
            return f"{self.host} was started again since"
        started = _started(self.pid)
        if started is None:
            return f"process {self.pid} is gone"
        if self.started and started and started != self.started:
            return f"process {self.pid} is another one now"
        return None

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.pid else "an unknown process"


@cache
def _boot() -> str:
    """An id of this start of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return _said("sysctl", "-n", "kern.bootsessionuuid") or ""


def _started(pid: int) -> str | None:
    """When the process was started, empty where the system does not tell; None if there is none,
    or it is a zombie."""
    try:
        os.kill(pid, 0)  # also finds a process that /proc hides from us
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        pass
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return _said("ps", "-o", "lstart=", "-p", str(pid)) or ""
    fields = stat.rpartition(")")[2].split()  # a name may hold spaces and brackets
    return None if fields[0] in "ZX" else fields[19]


def _said(*command: str) -> str | None:
    """What a command of the system says, if it says anything."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None

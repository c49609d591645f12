"""A virtual environment with given packages, made by uv where it is there, or else by pip.

Which index packages come from is the user's own configuration of either.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nnlab.errors import UserError
from nnlab.reproduction.packages import LOCK, Packages, canonical

_PYTHON = re.compile(r"(3\.\d{1,2})\.\d[0-9A-Za-z.+]*")
_HASHED = ("--require-hashes",)
_WHEELS = ("--only-binary", ":all:")
"""What no lock vouches for is not built: to build is to execute."""


class Installer(Protocol):
    """The commands of one."""

    def create(self, python: str, venv: Path) -> list[str]:
        """To make a virtual environment of that Python."""

    def install(self, venv: Path) -> list[str]:
        """To install exactly what is named behind it."""


@dataclass(frozen=True)
class Uv:
    """uv: seconds, where it has had the packages before."""

    program: str

    def create(self, python: str, venv: Path) -> list[str]:
        """As `Installer` says."""
        return [self.program, "venv", "--quiet", "--no-project", "--python", python, str(venv)]

    def install(self, venv: Path) -> list[str]:
        """As `Installer` says."""
        return [self.program, "pip", "install", "--quiet", "--no-deps", "--python", str(venv)]


@dataclass(frozen=True)
class Pip:
    """pip, which comes with Python: a minute or more."""

    def create(self, python: str, venv: Path) -> list[str]:
        """As `Installer` says."""
        return [python, "-m", "venv", str(venv)]

    def install(self, venv: Path) -> list[str]:
        """As `Installer` says."""
        return [str(program(venv)), "-m", "pip", "install", "--quiet", "--no-deps"]


def available() -> Installer:
    """uv on PATH or beside this Python; pip where there is none."""
    found = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    return Uv(found) if found else Pip()


def program(venv: Path) -> Path:
    """The Python of a virtual environment."""
    return venv / "bin" / "python"


def python_like(recorded: object) -> tuple[str, str]:
    """A Python of the minor version that was recorded, and its version; raises `UserError`."""
    wanted = _PYTHON.fullmatch(recorded) if isinstance(recorded, str) else None
    if not wanted:
        raise UserError(
            f"a version of Python is like 3.11.7, but got {recorded!r} (python in the run's "
            "environment.json)"
        )
    minor = wanted[1]
    names = (sys.executable, f"python{minor}", "python3", "python")
    for found in filter(None, map(shutil.which, names)):
        version = _version(found)
        if version.startswith(f"{minor}."):
            return found, version
    raise UserError(
        f"the run was made with Python {recorded}, but there is no python{minor} on PATH; install "
        f"one, or let --checkout be, which then reproduces with Python {_version(sys.executable)}"
    )


def build(python: str, venv: Path, packages: Packages, installer: Installer) -> None:
    """Make `venv` with exactly these packages; raises `UserError` with the installer's words."""
    _done(installer.create(python, venv), venv.parent, "the virtual environment cannot be made")
    for lines, options in ((packages.locked, _HASHED), (packages.others, _WHEELS)):
        if lines:
            file = venv.parent / "requirements.txt"
            file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            command = [*installer.install(venv), *options, "-r", str(file)]
            what = f"{len(lines)} packages of {LOCK} cannot be installed"
            _done(command, venv.parent, what, packages.names)
            file.unlink()


def _done(command: Sequence[str], folder: Path, what: str, names: Sequence[str] = ()) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise UserError(f"{what}: {error}") from error
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        words = {canonical(word.rstrip(".")) for word in re.findall(r"[\w.-]+", said)}
        wanting = [name for name in map(canonical, names) if name in words]
        which = f" (not to be had: {', '.join(wanting)})" if wanting else ""
        raise UserError(f"{what}{which}: {said.splitlines()[-1].strip()}")


def _environment() -> dict[str, str]:
    """The user's, without what would mean another Python; nothing is asked, no Python fetched."""
    ours = ("PYTHON", "GIT_", "VIRTUAL_ENV")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return {
        **kept,
        "UV_SYSTEM_CERTS": "true",
        "UV_PYTHON_DOWNLOADS": "never",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
    }


def _version(python: str) -> str:
    """Its version; empty where it does not run (a shim of a version that is not there)."""
    code = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
    try:
        done = subprocess.run(
            [python, "-I", "-c", code], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

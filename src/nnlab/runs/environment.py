"""What a run was run with: code, packages, BLAS, processor. Recorded, and compared later."""

import json
import os
import platform
import re
import subprocess
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from nnlab import __version__
from nnlab.runs import plugged
from nnlab.runs.past import ENVIRONMENT

_PACKAGES = ("numpy", "scipy", "scikit-learn", "hydra-core", "omegaconf", "mlflow", "optuna")

_READ_ONLY = ("--no-optional-locks",)
"""Killed in the middle, git would leave a lock that blocks the user's own git."""
_PLAIN_DIFF = (
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-relative",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)
"""A diff that can be applied, however the user likes to read them."""


@dataclass(frozen=True)
class Environment:
    """What `environment.json` and `uncommitted.diff` of a run hold."""

    facts: Mapping[str, Any]
    diff: str | None
    """None where the code differs from its commit and git did not tell how."""


def capture() -> Environment:
    """The environment of this process.

    Where the code is not as in its commit and git does not tell the difference (it failed, took
    too long, or somebody edits the code at this moment), there is a warning, and `git.diff` of the
    facts is null.
    """
    facts = _facts()
    git = facts["git"]
    if git["dirty"] is False or git == {"commit": None, "dirty": None}:
        return Environment(facts, "")
    diff = uncommitted_diff()
    if diff is None or (git["dirty"] and not diff):
        warnings.warn(
            "the code is not as in its commit, and git did not tell the difference: "
            "uncommitted.diff is not kept",
            stacklevel=2,
        )
        return Environment({**facts, "git": {**git, "diff": None}}, None)
    return Environment(facts, diff)


def recorded(path: Path) -> Mapping[str, Any]:
    """The facts that the run in that directory was begun with."""
    facts: Mapping[str, Any] = json.loads((path / ENVIRONMENT).read_text(encoding="utf-8"))
    return facts


def _facts() -> dict[str, Any]:
    return {
        "nnlab": __version__,
        "git": git_state(),
        "code": code_version(),
        "plugins": plugged.plugins(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "installed": _installed(),
        "blas": _blas(),
        "cpu_features": _cpu_features(),
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cpus": os.cpu_count(),
    }


def code_version() -> str:
    """The hash of nnlab's own source files: another commit with the same code is the same."""
    package = Path(__file__).resolve().parents[1]
    return digest((str(file.relative_to(package)), file) for file in package.rglob("*.py"))


def digest(files: Iterable[tuple[str, Path]]) -> str:
    """The hash of files by name."""
    hashed = sha256()
    for name, file in sorted(files):
        content = file.read_bytes()
        hashed.update(f"{name} {len(content)}\n".encode() + content)
    return hashed.hexdigest()


def git_state() -> dict[str, Any]:
    """Commit of the code that runs, and whether it was changed since; nulls outside git."""
    commit = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain")
    return {
        "commit": commit.strip() if commit else None,
        "dirty": bool(status.strip()) if status is not None else None,
    }


def uncommitted_diff() -> str | None:
    """What `git diff HEAD` says of the code that runs, and the names of untracked files; a byte
    that is no UTF-8 is a surrogate (`surrogateescape`). None where git does not tell."""
    diff = _git("diff", *_PLAIN_DIFF, "--binary", "HEAD")
    untracked = _git("ls-files", "--others", "--exclude-standard")
    if diff is None or untracked is None:
        return None
    return diff + "".join(f"# untracked: {name}\n" for name in untracked.splitlines())


def changed_since(commit: str) -> list[str] | None:
    """The files of the code that runs that are not as in that commit, be they committed or not, by
    their paths in the repository; None where git does not tell. `commit` is a full hash."""
    changed = _git("diff", "--no-ext-diff", "--name-only", "--no-relative", commit, "--")
    return None if changed is None else changed.splitlines()


def _git(*arguments: str) -> str | None:
    """What git says of the repository that holds this package; None where it says nothing."""
    try:
        done = subprocess.run(
            ["git", *_READ_ONLY, "-C", str(Path(__file__).parent), *arguments],  # noqa: S607
            capture_output=True,
            timeout=10,
            env={key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="surrogateescape")  # with the ends of its lines


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _installed() -> dict[str, str]:
    """Every installed package and its version: the last resort of who builds it anew."""
    folders = (Path(folder) for folder in sys.path)
    found = {info.stem for folder in folders for info in folder.glob("*.dist-info")}
    return dict(sorted(stem.split("-", 1) for stem in found))


def _blas() -> list[dict[str, Any]]:
    """The libraries of BLAS that are loaded, NumPy's own first. The system lists them in no fixed
    order, and SciPy's is there only where something has imported it."""
    from threadpoolctl import threadpool_info

    kept = ("internal_api", "version", "architecture", "num_threads")
    loaded = [library for library in threadpool_info() if library.get("user_api") == "blas"]
    return [
        {key: library.get(key) for key in kept}
        for library in sorted(loaded, key=lambda one: (not _of_numpy(one), one["filepath"]))
    ]


def _of_numpy(library: Mapping[str, Any]) -> bool:
    """Is the library in NumPy's wheel (`numpy.libs`, `numpy/.dylibs`)?"""
    return any(re.match(r"numpy\b", part) for part in Path(library["filepath"]).parts[-3:-1])


def _cpu_features() -> list[str]:
    """The processor features that NumPy found and may use."""
    config: Any = np.show_config(mode="dicts")
    extensions = config.get("SIMD Extensions", {})
    return [*extensions.get("baseline", []), *extensions.get("found", [])]

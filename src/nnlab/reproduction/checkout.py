"""A run reproduced with its own code and packages: a worktree at its commit, its diff applied, a
virtual environment with its versions. `nnlab reproduce RUN --checkout`.

    FOLDER/code     the worktree
    FOLDER/venv     the virtual environment, which has the worktree on its path
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nnlab.errors import UserError
from nnlab.reproduction.comparison import TOLERANCE
from nnlab.reproduction.installers import Pip, available, build, program, python_like
from nnlab.reproduction.logged import Logged
from nnlab.reproduction.packages import LOCK, Packages, packages
from nnlab.reproduction.repository import GitError, Repository
from nnlab.reproduction.uncommitted import DIFF, Change, Uncommitted, check_consent, printable
from nnlab.runs import plugged
from nnlab.runs.environment import digest
from nnlab.runs.interrupts import Interrupted

_MAIN = "from nnlab.cli import main; main()"
_KEPT = {
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TERM", "COLORTERM", "NO_COLOR", "COLUMNS"),
    *("LINES", "LANG", "TZ", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "NNLAB_DATA"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
}
_KEPT_PREFIXES = ("LC_", "MLFLOW_", "AWS_", "AZURE_", "GOOGLE_")
"""What says where the tracker is and who may read it."""
_SHOWN = 8
"""So many packages of a kind are named."""


def recreate(
    logged: Logged, selector: str, options: argparse.Namespace, here: Path = Path(__file__)
) -> int:
    """Reproduce the run with the code and packages that it recorded; the exit code of that.

    `here` is a file of the code that runs, in whose repository the commit is looked for.
    Raises `UserError` where something is missing, with what it is.
    """
    for id in (logged.mlflow, logged.run):
        if not re.fullmatch(r"[0-9a-f]{1,32}", id):
            raise UserError(f"a run's id has at most 32 characters 0-9 a-f, but got {id!r}")
    git = logged.environment.get("git")
    facts: Mapping[str, Any] = git if isinstance(git, Mapping) else {}
    repository = Repository.of(here.resolve())
    commit = repository.require(facts.get("commit"))
    python, version = python_like(logged.environment.get("python"))
    _say(f"{selector} is run {logged.run}, {printable(logged.name)}; its code is")
    _say(f"  commit {commit[:12]} ({printable(repository.described(commit))})")
    uncommitted = Uncommitted.parse(logged.diff or "")
    changes = uncommitted.changes(repository)
    if changes:
        own = Path(options.store) / "runs" / logged.run / DIFF
        check_consent(logged.diff or "", changes, own, trusted=options.trust_diff)
    _say_uncommitted(uncommitted, changes, dirty=facts.get("dirty") is True)
    with (
        _folder(options.keep) as folder,
        repository.worktree(commit, folder / "code", keep=options.keep is not None) as tree,
    ):
        if changes:
            tree.stage(uncommitted.patch)
        try:
            tree.write()
        except GitError as error:
            raise UserError(f"git cannot write the files of {commit}: {error}") from error
        _compare_code(tree.root, logged.environment.get("code"))
        wanted = packages(_lock(tree.root, commit), logged.environment)
        installer = available()
        by = "pip, for there is no uv: a minute or more" if installer == Pip() else "uv"
        _say_packages(wanted, f"Python {version}, {by}")
        build(python, folder / "venv", wanted, installer)
        _put_on_path(folder / "venv", tree.root / "src")
        if options.keep is not None:
            _say(
                f"kept in {folder}; `git worktree remove --force {tree.root}` before you remove it"
            )
        return _passed_on(
            [str(program(folder / "venv")), "-P", "-c", _MAIN, *_arguments(logged, options)]
        )


def _arguments(logged: Logged, options: argparse.Namespace) -> list[str]:
    """The command that the run's own code gets: what was said here, as far as it was said. An
    option that this code did not have yet is an error of it."""
    made = ["reproduce", logged.mlflow, "--uri", options.uri, "--store", options.store]
    if options.tolerance != TOLERANCE:
        made.append(f"--tolerance={options.tolerance!r}")
    made += [f"--data={place}" for place in options.data]
    return made + [f"--plugin={module}" for module in plugged.hashes()]


@contextmanager
def _folder(keep: str | None) -> Iterator[Path]:
    """The folder that is asked for, or else one that is gone afterwards."""
    if keep is None:
        with TemporaryDirectory(prefix="nnlab-checkout-", ignore_cleanup_errors=True) as made:
            yield Path(made).resolve()
        return
    folder = Path(keep).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"a folder to keep is made anew or empty, but {folder} is not (--keep)")
    folder.mkdir(parents=True, exist_ok=True)
    yield folder


def _lock(code: Path, commit: str) -> str:
    file = code / LOCK
    if not file.is_file():
        raise UserError(
            f"commit {commit} has no {LOCK}, which names the packages that may be installed"
        )
    return file.read_text(encoding="utf-8")


def _compare_code(code: Path, recorded: object) -> None:
    """Say if these are not the sources that the run recorded."""
    package = code / "src" / "nnlab"
    now = digest((str(file.relative_to(package)), file) for file in package.rglob("*.py"))
    if recorded is None:
        _say("  the run recorded no hash of its code: that this is its code is not checked")
    elif recorded != now:
        _say("  NOT the run's code: its sources had another hash (an untracked file, or a diff")
        _say("  that was not kept whole)")


def _say_uncommitted(uncommitted: Uncommitted, changes: tuple[Change, ...], *, dirty: bool) -> None:
    for change in changes:
        _say(f"  changed: {change}")
    for name in uncommitted.untracked:
        _say(f"  not to be had, for only its name was recorded: {name}")
    if dirty and not changes and not uncommitted.untracked:
        _say(f"  it was changed since, but the run has no {DIFF}: the changes are not to be had")


def _say_packages(wanted: Packages, how: str) -> None:
    whose = "as the run had them" if wanted.recorded else f"{LOCK} for what was not recorded"
    _say(f"{len(wanted)} packages, {whose} ({how})")
    if wanted.others:
        _say(f"  in other versions than its {LOCK}, so without a hash: {_some(wanted.others)}")
    if wanted.left_out:
        _say(f"  not installed, for {LOCK} does not name them: {_some(wanted.left_out)}")


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _put_on_path(venv: Path, sources: Path) -> None:
    """What an editable install does, without building anything."""
    for folder in venv.glob("lib/python3*/site-packages"):
        (folder / "nnlab-checkout.pth").write_text(f"{sources}\n", encoding="utf-8")


def _passed_on(command: list[str]) -> int:
    """Its exit code. A signal that asks this process to end is passed on, once: the command is in
    a group of its own, and what it is doing it brings to its own end."""
    kept = {key: value for key, value in os.environ.items() if _is_kept(key)}
    environment = {**kept, "PYTHONNOUSERSITE": "1"}
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        while True:
            try:
                code = process.wait()
                break
            except Interrupted as signal:
                process.send_signal(signal.number)
    return code if code >= 0 else 128 - code


def _is_kept(variable: str) -> bool:
    return variable.upper() in _KEPT or variable.startswith(_KEPT_PREFIXES)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

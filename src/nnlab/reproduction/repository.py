"""The git repository that nnlab is run from: has it a commit, and that commit's files elsewhere.

The user's own files, index, branches and other worktrees are never touched.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nnlab.errors import UserError
from nnlab.runs.interrupts import SIGNALS

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SAFE = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "apply.whitespace=nowarn"),
    *("-c", "apply.ignoreWhitespace=no"),
)
_PROGRAM = "src/nnlab/cli.py"
"""What a commit of nnlab has."""
_LINKS = {"120000", "160000"}
"""The modes of symbolic links and of submodules."""


class GitError(Exception):
    """Git's last line, where it refuses."""


@dataclass(frozen=True)
class Repository:
    """A git repository, or a worktree of one, by its top folder."""

    root: Path

    @classmethod
    def of(cls, file: Path) -> "Repository":
        """The one that holds this file of nnlab; raises `UserError` where there is none."""
        if not shutil.which("git"):
            raise UserError("--checkout needs git, but there is no git on PATH")
        try:
            top = cls(file.parent).git("rev-parse", "--show-toplevel").decode().rstrip("\n")
        except GitError as error:
            raise UserError(
                f"--checkout needs nnlab to be run from a clone of its git repository, but git "
                f"says of {file.parent}: {error}"
            ) from error
        return cls(Path(top))

    def require(self, commit: object) -> str:
        """The id of that commit, which is here and is one of nnlab's; raises `UserError`."""
        if commit is None:
            raise UserError(
                "the run recorded no commit: its code was in no git repository, so --checkout "
                "cannot have it; without --checkout the run is reproduced with the code here"
            )
        if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
            raise UserError(
                f"a commit is 40 or 64 of the characters 0-9 a-f, but got {commit!r} "
                "(git.commit in the run's environment.json)"
            )
        if not self._has(f"{commit}^{{commit}}"):
            shallow = self.git("rev-parse", "--is-shallow-repository").strip() == b"true"
            cure = "it is a shallow clone: `git fetch --unshallow`" if shallow else "`git fetch`"
            raise UserError(
                f"commit {commit} is not in {self.root} ({cure} may bring it; a commit that was "
                "never pushed is only where it was made)"
            )
        if not self._has(f"{commit}:{_PROGRAM}"):
            raise UserError(
                f"commit {commit} of {self.root} has no {_PROGRAM}: the repository is not nnlab's; "
                "run this from a clone of nnlab"
            )
        return commit

    def described(self, commit: str) -> str:
        """The date and the subject of a commit."""
        text = self.git("log", "-1", "--no-show-signature", "--format=%cs, %s", commit, "--")
        return text.decode(errors="replace").strip()

    @contextmanager
    def worktree(self, commit: str, folder: Path, *, keep: bool = False) -> Iterator["Repository"]:
        """A worktree at that commit, its index filled and no file written yet; removed at the
        end, however that comes, unless it is to be kept."""
        made = Repository(folder)
        try:
            try:
                self.git("worktree", "add", "--detach", "--no-checkout", "--", str(folder), commit)
                made.git("read-tree", commit)
            except GitError as error:
                raise UserError(f"git cannot make a worktree at {commit}: {error}") from error
            yield made
        finally:
            if not keep:
                with _unhurried(), suppress(GitError):  # it may not have come so far
                    self.git("worktree", "remove", "--force", "--force", "--", str(folder))

    def stage(self, patch: bytes) -> None:
        """Apply a diff to the index alone; raises `UserError` where it does not fit or touches
        what is no plain file."""
        try:
            self.git("apply", "--cached", "-", given=patch)
        except GitError as error:
            raise UserError(
                f"the run's uncommitted.diff does not fit its commit: git says: {error}"
            ) from error
        raw = self.git("diff-index", "--cached", "--raw", "--no-renames", "-z", "HEAD", "--")
        fields = raw.decode(errors="replace").split("\0")
        for modes, name in zip(fields[::2], fields[1::2], strict=False):
            if _LINKS & set(modes.lstrip(":").split()[:2]):
                raise UserError(
                    "an uncommitted.diff may change plain files only, but this one has the link "
                    f"or submodule {name!r}"
                )

    def write(self) -> None:
        """Write the files that are in the index."""
        self.git("checkout-index", "--all", "--index", "--force")

    def git(self, *arguments: str, given: bytes = b"") -> bytes:
        """What git prints: no hooks, no pager, nothing asked; raises `GitError`."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        done = subprocess.run(
            ["git", *_SAFE, "--no-pager", "-C", str(self.root), *arguments],  # noqa: S607
            input=given,
            capture_output=True,
            env={**kept, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
            check=False,
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise GitError(said[-1] if said else f"exit code {done.returncode}")
        return done.stdout

    def _has(self, name: str) -> bool:
        try:
            self.git("cat-file", "-e", name)
        except GitError:
            return False
        return True


@contextmanager
def _unhurried() -> Iterator[None]:
    """Signals that ask the process to end wait until this is done."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

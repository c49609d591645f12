"""Which of nnlab's source files differ between two states of its repository, if git can tell."""

import re
from collections.abc import Mapping
from typing import Any

from nnlab.escaping import escaped
from nnlab.runs.environment import changed_since

_SOURCES = "src/nnlab/"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def differing(
    then: Mapping[str, Any], then_diff: str, now: Mapping[str, Any], now_diff: str
) -> list[str] | None:
    """The source files that differ, from two environments and their uncommitted diffs; None where
    git does not tell (another machine, a commit that is not there).

    A file that both diffs change counts unless they change it alike from the same commit.
    """
    old, new = (_commit(facts) for facts in (then, now))
    if old is None or new is None:
        return None
    before, after = sections(then_diff), sections(now_diff)
    if old == new:
        files = {file for file in {*before, *after} if before.get(file) != after.get(file)}
    else:
        changed = changed_since(old)
        if changed is None:
            return None
        files = {*changed, *before}
    return sorted(
        escaped(file) for file in files if file.startswith(_SOURCES) and file.endswith(".py")
    )


def sections(diff: str) -> dict[str, str]:
    """The parts of a diff by the files that they are about; an untracked file is known by name."""
    found: dict[str, str] = {}
    for part in re.split(r"(?m)^(?=diff --git |# untracked: )", diff):
        head = re.match(r"diff --git a/(.+?) b/|# untracked: (.+)", part)
        if head:
            found[head[1] or head[2]] = part
    return found


def _commit(facts: Mapping[str, Any]) -> str | None:
    git = facts.get("git")
    commit = git.get("commit") if isinstance(git, Mapping) else None
    return commit if isinstance(commit, str) and _COMMIT.fullmatch(commit) else None

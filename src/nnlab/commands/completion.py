"""`nnlab completion SHELL`: tab completion for bash, zsh and fish.

Hydra knows how to complete groups, choices and keys of an application; what it asks about is the
line after `nnlab train` (or `nnlab sweep NAME`), so that is the line it is shown.
"""

import os
from collections.abc import Sequence

from nnlab.commands import COMMANDS
from nnlab.errors import UserError
from nnlab.runs.compose import folders, run_app

SHELLS = ("bash", "zsh", "fish")


def run(arguments: Sequence[str]) -> int:
    """Print a shell's code, or, when the shell asks (`query=SHELL`), the words that fit."""
    if len(arguments) == 1 and arguments[0] in SHELLS:
        _hydra(f"install={arguments[0]}")
    elif len(arguments) == 1 and arguments[0].startswith("query="):
        _complete(arguments[0])
    else:
        raise UserError(
            'usage: nnlab completion bash|zsh|fish; in bash: eval "$(nnlab completion bash)"'
        )
    return 0


def _complete(query: str) -> None:
    line = os.environ.get("COMP_LINE", "")
    line = line[: int(os.environ.get("COMP_POINT", len(line)))]
    program, *words = line.split(" ")
    if len(words) < 2:
        print(" ".join(name for name in COMMANDS if name.startswith("".join(words))))
        return
    command, *words = words
    if command == "sweep" and len(words) == 1 and "=" not in words[0]:
        names = {file.stem for folder in folders("sweeps") for file in folder.glob("*.yaml")}
        print(" ".join(sorted(name for name in names if name.startswith(words[0]))), end=" ")
    if command == "data":
        _complete_data(words)
    if command in ("train", "sweep"):
        line = " ".join((program, *(word for word in words[:-1] if "=" in word), words[-1]))
        os.environ |= {"COMP_LINE": line, "COMP_POINT": str(len(line))}
        _hydra(query)


def _complete_data(words: list[str]) -> None:
    """What comes after `nnlab data`: what to do, then names."""
    known = {"list", "fetch", "info"}
    if len(words) > 1:
        known = {file.stem for folder in folders("conf") for file in folder.glob("data/*.yaml")}
    print(" ".join(sorted(name for name in known if name.startswith(words[-1]))))


def _hydra(argument: str) -> None:
    run_app(["-sc", argument], lambda config: None, program="nnlab")

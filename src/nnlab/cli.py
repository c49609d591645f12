"""The command line: `nnlab COMMAND ...`. Each command's module is imported when it is used."""

import gc
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import NoReturn

from nnlab import __version__
from nnlab.commands import COMMANDS, FAILED, PLUGGABLE
from nnlab.errors import RestartError, UserError
from nnlab.escaping import LINES, escaped
from nnlab.garbage import OBJECTS
from nnlab.names import nearest
from nnlab.runs.interrupts import Interrupted, check, heed, ignore

USAGE = f"""usage: nnlab COMMAND [ARGUMENT ...]

A laboratory for small neural networks on NumPy.

commands:
{chr(10).join(f"  {name:<11} {what}" for name, what in COMMANDS.items())}

options:
  --help      this text; `nnlab COMMAND --help` for a command
  --version   the version
  --debug     show the traceback of an error
"""

Command = Callable[[Sequence[str]], int]

RESTARTED = "NNLAB_RESTARTED"
"""The variable that says that this process is the second one of a command."""


def main() -> None:
    """The console script: exit code 0 done, 1 failed or different, 2 bad input, 70 an error of
    nnlab's own in a command whose 1 is a verdict, 128 + its number for a signal (130: Ctrl-C)."""
    gc.set_threshold(OBJECTS)
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        sys.exit(0 if arguments else 2)
    if arguments[0] == "--version":
        print(f"nnlab {__version__}")
        sys.exit(0)
    heed()
    restarted = os.environ.pop(RESTARTED, "")  # not for the processes that are started here
    try:
        sys.exit(_done(arguments))
    except UserError as error:
        if isinstance(error, RestartError) and not restarted:
            _restart(error.environment)
        if debug:
            raise
        print(f"nnlab: {escaped(str(error), LINES)}", file=sys.stderr)
        sys.exit(2)
    except Interrupted as error:
        ignore()  # it is ending: another one would only tear the last words
        print(f"nnlab: interrupted by {error}", file=sys.stderr)
        sys.exit(128 + error.number)
    except BrokenPipeError:  # who reads our output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if debug:
            traceback.print_exc()
        message = escaped(str(error).strip(), LINES) or "no message"
        print(f"nnlab: {type(error).__name__}: {message} (--debug shows more)", file=sys.stderr)
        sys.exit(FAILED.get(arguments[0], 1))


def _restart(environment: Mapping[str, str]) -> NoReturn:
    """The same command from its beginning, in that environment; once."""
    sys.stdout.flush()
    sys.stderr.flush()
    again = [sys.executable, *sys.orig_argv[1:]]
    os.execve(again[0], again, {**environment, RESTARTED: "1"})  # noqa: S606


def _done(arguments: Sequence[str]) -> int:
    """Run the command; its exit code. A signal counts even where a library made it an error."""
    name, *rest = arguments
    try:
        command = _command(name)
        if name in PLUGGABLE and any(one.startswith("--plugin") for one in rest):
            from nnlab.commands.options import plugged

            rest = plugged(rest)
        code = command(rest)
    except Exception:
        check()
        raise
    check()
    return code


def _command(name: str) -> Command:
    if name == "-sc":  # what the shell asks for when it completes a line
        name = "completion"
    if name not in COMMANDS:
        raise UserError(
            f"nnlab has no command {name}{nearest(name, COMMANDS)}; "
            f"the commands are {', '.join(COMMANDS)}"
        )
    run: Command = import_module(f"nnlab.commands.{name}").run
    return run

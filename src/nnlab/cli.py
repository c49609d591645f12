"""The command line: `nnlab COMMAND ...`. Each command's module is imported when it is used."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from nnlab import __version__
from nnlab.commands import COMMANDS
from nnlab.errors import UserError
from nnlab.names import nearest

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


def main() -> None:
    """The console script: exit code 0 done, 1 failed or different, 2 bad input, 130 interrupted."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        sys.exit(0 if arguments else 2)
    if arguments[0] == "--version":
        print(f"nnlab {__version__}")
        sys.exit(0)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(_command(arguments[0])(arguments[1:]))
    except UserError as error:
        if debug:
            raise
        print(f"nnlab: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("nnlab: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # who reads our output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        message = str(error).strip() or "no message"
        print(f"nnlab: {type(error).__name__}: {message} (--debug shows more)", file=sys.stderr)
        sys.exit(1)


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

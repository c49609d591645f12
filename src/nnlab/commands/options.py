"""Options that several commands share."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from nnlab.commands import PLUGGABLE
from nnlab.core.laws import LawError
from nnlab.errors import UserError
from nnlab.runs.destination import MLflow, own_database
from nnlab.runs.runtime import pin

STORE = "mlruns"
PLUGIN = "--plugin"
ABOUT_PLUGINS = f"{PLUGIN} MODULE adds components of your own; it may be given again"


class Parser(argparse.ArgumentParser):
    """argparse, with our errors."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UserError(f"{message}; see `{self.prog} --help`")


def parser(command: str, description: str, *, uri: bool = True) -> Parser:
    """A command's parser, with `--store` and, if it reads any tracking server, `--uri`."""
    made = Parser(
        prog=f"nnlab {command}",
        description=description,
        epilog=ABOUT_PLUGINS if command in PLUGGABLE else None,
        allow_abbrev=False,
    )
    made.add_argument("--store", default=STORE, help="where runs are kept (mlruns)")
    if uri:
        made.add_argument("--uri", help="MLflow's database or server (sqlite:///STORE/mlflow.db)")
    return made


def parse(parser: Parser, arguments: Sequence[str]) -> argparse.Namespace:
    """The options, with the URI filled in and checked."""
    options = parser.parse_args(arguments)
    options.uri = options.uri or own_database(options.store)
    check_uri(options.uri)
    return options


def check_uri(uri: str) -> None:
    """Raise `UserError` if that is no tracker's URI."""
    try:
        MLflow(uri)
    except LawError as error:
        raise UserError(f"{error} (--uri)") from error


def found_store(options: argparse.Namespace) -> Path:
    """The store that is named; raises `UserError` if a folder was named that is not there."""
    store = Path(options.store)
    if options.store != STORE and not store.is_dir():
        raise UserError(f"there is no folder {store} (--store)")
    return store


def store_option(store: Path) -> str:
    """The option that names a store, as it is written behind a command; empty for the usual one."""
    return "" if store == Path(STORE) else f" --store {store}"


def plugged(arguments: Sequence[str]) -> list[str]:
    """Load what each `--plugin MODULE` names; the other arguments."""
    modules, rest, given = [], [], iter(arguments)
    for argument in given:
        option, equals, value = argument.partition("=")
        if option != PLUGIN:
            rest.append(argument)
            continue
        module = value if equals else next(given, "")
        if not module or module.startswith("-"):
            raise UserError(f"{PLUGIN} needs the name of a module, as in {PLUGIN} my_package")
        modules.append(module)
    pin(1)  # plugins load NumPy before the config is known
    from nnlab.plugins import load

    for module in dict.fromkeys(modules):
        load(module)
    return rest

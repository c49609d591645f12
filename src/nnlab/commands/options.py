"""Options that several commands share."""

import argparse
from collections.abc import Sequence

from nnlab.core.laws import LawError
from nnlab.errors import UserError
from nnlab.runs.destination import MLflow


class Parser(argparse.ArgumentParser):
    """argparse, with our errors."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UserError(f"{message}; see `{self.prog} --help`")


def parser(command: str, description: str, *, uri: bool = True) -> Parser:
    """A command's parser, with `--store` and, if it reads any tracking server, `--uri`."""
    made = Parser(prog=f"nnlab {command}", description=description, allow_abbrev=False)
    made.add_argument("--store", default="mlruns", help="where runs are kept (mlruns)")
    if uri:
        made.add_argument("--uri", help="MLflow's database or server (sqlite:///STORE/mlflow.db)")
    return made


def parse(parser: Parser, arguments: Sequence[str]) -> argparse.Namespace:
    """The options, with the URI filled in and checked."""
    options = parser.parse_args(arguments)
    options.uri = options.uri or f"sqlite:///{options.store}/mlflow.db"
    check_uri(options.uri)
    return options


def check_uri(uri: str) -> None:
    """Raise `UserError` if that is no tracker's URI."""
    try:
        MLflow(uri)
    except LawError as error:
        raise UserError(f"{error} (--uri)") from error

"""`nnlab data list | fetch NAME ... | info NAME`: which data sets there are, what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from rich.table import Table
from rich.text import Text

from nnlab.commands.console import console, say
from nnlab.commands.fetching import show_fetch, size
from nnlab.commands.options import ABOUT_PLUGINS, Parser
from nnlab.data.sources.named import Named
from nnlab.data.sources.source import Source
from nnlab.errors import UserError
from nnlab.names import nearest
from nnlab.runs.registry import GROUPS


def run(arguments: Sequence[str]) -> int:
    """Exit code 0, or 2 if a data set is not known or cannot be had."""
    made = Parser(
        prog="nnlab data",
        description="Data sets: which there are, what is in them.",
        epilog=ABOUT_PLUGINS,
    )
    commands = made.add_subparsers(dest="what", required=True, metavar="list | fetch | info")
    commands.add_parser("list", help="every data set, and whether its files are here")
    fetched = commands.add_parser("fetch", help="download the files of data sets")
    fetched.add_argument("names", nargs="+", metavar="NAME", help="as `nnlab data list` has it")
    told = commands.add_parser("info", help="sizes, classes, fingerprint, files, a picture")
    told.add_argument("name", metavar="NAME", help="as `nnlab data list` has it")
    told.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for `nnlab train`")
    told.add_argument("--picture", metavar="FILE", help="a PNG of 25 images (NAME.png)")
    options = made.parse_args(arguments)
    if options.what == "list":
        _list()
    elif options.what == "fetch":
        _fetch(options.names)
    else:
        from nnlab.commands.description import describe

        describe(options.name, options.overrides, options.picture)
    return 0


def _list() -> None:
    """A row for each data set by name; the names of the others, which take what one says."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for column in ("examples", "features", "targets", "download"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("where", overflow="fold")
    others = []
    for name, source in GROUPS["data"].items():
        if not issubclass(source, Named):
            others.append(name)
            continue
        facts = source.facts
        table.add_row(
            name,
            f"{facts.examples:,}",
            "x".join(map(str, facts.shape)),
            f"{facts.classes} classes" if facts.classes else "a number",
            size(source.published.size) if source.published else "",
            Text(*_where(name, source)),
        )
    console.print(table)
    if others:
        say(f"of your own, or made: {', '.join(others)} (`nnlab data info NAME data.KEY=VALUE`)")


def _where(name: str, source: type[Named]) -> tuple[str, str]:
    """Where its files are, or how they are had; and a style."""
    if not source.published:
        return "comes with scikit-learn", ""
    if source.missing():
        return f"not here: nnlab data fetch {name}", "dim"
    return str(source.files()[0].parent), "green"


def _fetch(names: Sequence[str]) -> None:
    """Fetch each of them; every name is checked before the first."""
    sources = [_known(name) for name in names]
    for name, source in zip(names, sources, strict=True):
        if not issubclass(source, Named) or not source.published:
            keys = ", ".join(f"data.{field.name}" for field in fields(source))
            comes = "it comes with scikit-learn" if issubclass(source, Named) else f"it has {keys}"
            say(f"{name}: there is nothing to fetch, for {comes}")
        elif files := source.missing():
            show_fetch(name, source.published, files)
        else:
            say(f"{name} is in {source.files()[0].parent}")


def _known(name: str) -> type[Source]:
    """The source of that name; raises `UserError` with the nearest."""
    known = GROUPS["data"]
    if name not in known:
        raise UserError(
            f"there is no data set {name}{nearest(name, known)}; there are {', '.join(known)}"
        )
    return known[name]

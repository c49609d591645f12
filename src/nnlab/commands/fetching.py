"""Fetching with a progress bar: what `nnlab data fetch` does, and trainings before they begin."""

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from nnlab.commands.console import console, say
from nnlab.data.catalogue import File, Published
from nnlab.data.sources.named import Named
from nnlab.data.sources.source import Source


def provide(source: Source) -> None:
    """Fetch what is missing of the files that the data are read from, if they can be fetched."""
    if isinstance(source, Named) and source.published and (files := source.missing()):
        show_fetch(source.name, source.published, files)


def show_fetch(name: str, published: Published, files: list[File]) -> None:
    """Fetch these files, which are missing, with a progress bar on a terminal."""
    from nnlab.data.fetch import fetch

    say(f"fetching {name}: {count(files)}, {size(sum(file.size for file in files))}")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        tasks: dict[str, TaskID] = {
            file.name: bar.add_task(file.name, total=file.size) for file in files
        }

        def progress(file: File, there: int) -> None:
            bar.update(tasks[file.name], completed=there)

        paths = fetch(name, published, progress)
    say(f"{name} is in {paths[0].parent}" if paths else f"{name} is there: others have fetched it")


def count(files: list[File]) -> str:
    """How many files."""
    return "1 file" if len(files) == 1 else f"{len(files)} files"


def size(number: int) -> str:
    """A number of bytes for people."""
    return f"{number / 1e6:,.1f} MB" if number >= 1e5 else f"{number / 1e3:,.1f} kB"

"""What the commands print, in one style: progress while training, tables of results."""

from collections.abc import Iterable, Iterator, Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from nnlab.training.report import Report

console = Console(highlight=False)


def say(text: str, style: str = "") -> None:
    """Print a line as it is: brackets in a name or a reason are no markup."""
    console.print(Text(text, style=style), soft_wrap=True)


def with_progress(reports: Iterable[Report], total: int | None) -> Iterator[Report]:
    """The same reports, with a progress bar on a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("training", total=total, state="")
        for report in reports:
            metrics = report.metrics
            score = next(key for key in metrics if key in ("validation/accuracy", "validation/r2"))
            state = (
                f"epoch {report.epoch:g}  validation loss {metrics['validation/loss']:.4f}  "
                f"{score.partition('/')[2]} {metrics[score]:.4f}"
            )
            bar.update(task, completed=report.step, state=state)
            yield report


def results(metrics: Mapping[str, float]) -> Table:
    """The last report's metrics: a row for each part of the data, raw and averaged."""
    parts = ("train", "validation", "test")
    keys = [key.removeprefix("train/") for key in metrics if key.startswith("train/")]
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for key in keys:
        table.add_column(key.replace("_", " "), justify="right")
    for part in parts:
        if f"{part}/{keys[0]}" in metrics:
            table.add_row(part, *(_number(key, metrics[f"{part}/{key}"]) for key in keys))
    return table


def _number(key: str, value: float) -> str:
    return f"{100 * value:.2f} %" if key.startswith("accuracy") else f"{value:.5g}"

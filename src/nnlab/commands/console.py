"""What the commands print, in one style: progress while training, tables of results."""

import sys
from collections.abc import Iterable, Iterator, Mapping

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from nnlab.escaping import LINES, escaped
from nnlab.training.repeats import CI95, SE
from nnlab.training.report import Report


class _Escaped:
    """The same with what cannot be seen of its texts spelled out."""

    def __init__(self, of: ConsoleRenderable) -> None:
        self.of = of

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.of, options):
            if segment.control:
                yield segment
            else:
                yield Segment(escaped(segment.text, LINES), segment.style)


class _Escaping(RenderHook):
    """What is printed may have been written by others: only our own styles reach a terminal."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Escaped(one) for one in renderables]


console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
"""A pipe has no width: lines are not broken there."""
console.push_render_hook(_Escaping())


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
    """The last report's metrics: a row for each part of the data, raw and averaged.

    Of several trainings each number is a mean, followed by its uncertainty.
    """
    parts = ("train", "validation", "test")
    keys = [key.removeprefix("train/") for key in metrics if key.startswith("train/")]
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for key in keys:
        table.add_column(key.replace("_", " "), justify="right", no_wrap=True)
    for part in parts:
        if f"{part}/{keys[0]}" in metrics:
            table.add_row(part, *(_cell(metrics, part, key) for key in keys))
    return table


def uncertainty(seeds: int, folds: int) -> str:
    """What the numbers of several trainings are."""
    what = [f"{seeds} seeds"] * (seeds > 1) + [f"{folds} folds"] * (folds > 1)
    after = "95 % interval over seeds" if seeds > 1 else "standard error"
    return f"mean of {' and '.join(what)} ± {after}"


def uncertainty_of(metrics: Mapping[str, float], key: str, form: str = ".2g") -> str:
    """ " ± half", where the metric is a mean of several trainings: over seeds, or else folds."""
    for prefix in (CI95, SE):
        if prefix + key in metrics:
            return f" ± {metrics[prefix + key]:{form}}"
    return ""


def _cell(metrics: Mapping[str, float], part: str, key: str) -> str:
    name = f"{part}/{key}"
    if not key.startswith("accuracy"):
        return f"{metrics[name]:.5g}{uncertainty_of(metrics, name)}"
    percent = {key: 100 * value for key, value in metrics.items() if key.endswith(name)}
    return f"{percent[name]:.2f}{uncertainty_of(percent, name, '.2f')} %"

"""Curves over the reports of a journal: a training's metrics, a study's best value."""

from collections.abc import Mapping, Sequence
from operator import add, sub
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullLocator

_PARTS = {"train": "tab:blue", "validation": "tab:orange", "test": "tab:green"}

Reports = Sequence[Mapping[str, Any]]
"""Records with a `step` and `metrics`; a metric may be a number or the text of one."""


def learning_curves(reports: Reports) -> Figure:
    """Loss, and accuracy or R^2, of every part of the data; averaged weights are dashed. The raw
    weights' mean over several trainings has a band: the interval over seeds, or folds' error.

    A tenth of a second each: margins are fixed and ticks are plain text, for every run has one.
    """
    figure = Figure(figsize=(10, 4))
    loss, score = figure.subplots(1, 2)
    name = "accuracy" if "train/accuracy" in reports[0]["metrics"] else "r2"
    _draw(loss, reports, "loss")
    _draw(score, reports, name)
    loss.set(title="loss")
    if any(value > 0 for line in loss.lines for value in line.get_ydata()):
        loss.set(yscale="log")
        loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        loss.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        loss.yaxis.set_minor_locator(NullLocator())
    score.set(title="R²" if name == "r2" else name)
    score.legend(frameon=False, loc="lower right")
    figure.subplots_adjust(left=0.07, right=0.98, bottom=0.12, top=0.92, wspace=0.15)
    return figure


def search_history(reports: Reports) -> Figure:
    """The best value over the number of trials that have ended; a picture for each objective."""
    keys = list(reports[0]["metrics"])
    figure = Figure(figsize=(6, 4 * len(keys)))
    steps = [report["step"] for report in reports]
    for axes, key in zip(figure.subplots(len(keys), squeeze=False)[:, 0], keys, strict=True):
        axes.step(steps, [float(report["metrics"][key]) for report in reports], where="post")
        axes.set(xlabel="trials", title=key)
        axes.spines[["top", "right"]].set_visible(False)
    edge = 0.12 / len(keys)
    figure.subplots_adjust(left=0.14, right=0.97, bottom=edge, top=1 - edge * 2 / 3, hspace=0.3)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a picture; `Figure.savefig` would draw it twice."""
    figure.dpi = 100
    fast = {"compress_level": 1}
    FigureCanvasAgg(figure).print_png(path, pil_kwargs=fast)  # type: ignore[no-untyped-call]


def _draw(axes: Axes, reports: Reports, kind: str) -> None:
    """One line for each metric `PART/KIND` or `PART/KIND_AVERAGE`; a single point is a dot."""
    for key in dict.fromkeys(key for report in reports for key in report["metrics"]):
        part, _, metric = key.partition("/")
        name, _, average = metric.partition("_")
        if part not in _PARTS or name != kind:
            continue
        seen = [r["metrics"] for r in reports if key in r["metrics"]]
        epochs = [metrics["epoch"] for metrics in seen]
        values = [float(metrics[key]) for metrics in seen]
        for prefix in ("ci95/", "se/"):
            if not average and prefix + key in seen[0]:
                halves = [float(metrics[prefix + key]) for metrics in seen]
                edges = list(zip(epochs, map(sub, values, halves), strict=True))
                edges += reversed(list(zip(epochs, map(add, values, halves), strict=True)))
                band = PolyCollection([edges], color=_PARTS[part], alpha=0.2, linewidth=0)
                axes.add_collection(band, autolim=False)  # it may be wide
                break
        axes.plot(
            epochs,
            values,
            linestyle="--" if average else "-",
            marker="o" if len(seen) == 1 else None,
            fillstyle="none" if average else "full",
            color=_PARTS[part],
            label=f"{part} {average}".strip(),
        )
    axes.xaxis.set_major_locator(MaxNLocator(5))  # ticks are what takes the time
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("epoch")
    axes.spines[["top", "right"]].set_visible(False)

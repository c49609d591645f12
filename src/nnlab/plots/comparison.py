"""Curves of several runs in one figure: a colour for each."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullLocator

Curves = Mapping[str, Mapping[float, float]]
"""The curves of one run by their metrics: values by epochs, or by trials."""


def compared(runs: Mapping[str, Curves], xlabel: str) -> Figure:
    """Loss and score of validation of each run, by its name; averaged weights are dashed. Curves
    of other metrics have axes of their own, as steps."""
    names = list(dict.fromkeys(name for curves in runs.values() for name in curves))
    panels = _panels(names)
    longest = max(24, *map(len, runs))
    width = 5 * len(panels) + 0.5 + 0.085 * longest
    figure = Figure(figsize=(width, 4))
    colours = colormaps["tab10" if len(runs) <= 10 else "turbo"]
    for axes, (title, metrics) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for k, (name, curves) in enumerate(runs.items()):
            colour = colours(k if len(runs) <= 10 else k / (len(runs) - 1))
            for metric in metrics:
                if metric in curves:
                    _draw(axes, curves[metric], metric, colour, name)
        _dress(axes, title, xlabel)
    known: dict[str, Artist] = {}
    for axes in figure.axes:  # a run may have no curve in the last one
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            known.setdefault(label, handle)
    named = {name: known[name] for name in runs if name in known}
    if any(line.get_linestyle() == "--" for axes in figure.axes for line in axes.lines):
        named["dashed: averaged weights"] = Line2D([], [], color="grey", linestyle="--", alpha=0.6)
    right = 1 - (0.5 + 0.085 * longest) / width
    figure.legend(
        list(named.values()),
        list(named),
        frameon=False,
        loc="center left",
        bbox_to_anchor=(right, 0.5),
    )
    figure.subplots_adjust(left=0.6 / width, right=right, bottom=0.12, top=0.92, wspace=0.2)
    return figure


def _panels(names: Sequence[str]) -> dict[str, list[str]]:
    """What is drawn together: a title, and metrics."""
    panels: dict[str, list[str]] = {}
    for name in names:
        part, _, metric = name.partition("/")
        kind = metric.partition("_")[0]
        title = name
        if part == "validation":
            title = "validation loss" if kind == "loss" else "validation score"
        panels.setdefault(title, []).append(name)
    scores = {
        name.partition("/")[2].partition("_")[0] for name in panels.get("validation score", [])
    }
    if scores:
        words = " and ".join("R²" if score == "r2" else score for score in sorted(scores))
        panels[f"validation {words}"] = panels.pop("validation score")
    return panels


def _draw(axes: Axes, curve: Mapping[float, float], metric: str, colour: object, name: str) -> None:
    averaged = metric.startswith("validation/") and "_" in metric
    axes.plot(
        list(curve),
        list(curve.values()),
        color=colour,
        linestyle="--" if averaged else "-",
        linewidth=1.5,
        alpha=0.6 if averaged else 1.0,
        marker="o" if len(curve) == 1 else None,
        drawstyle="default" if metric.startswith("validation/") else "steps-post",
        label=f"_{name}" if averaged else name,
    )


def _dress(axes: Axes, title: str, xlabel: str) -> None:
    values = np.concatenate([np.ravel(line.get_ydata()) for line in axes.lines] or [np.zeros(0)])
    positive = values[np.isfinite(values) & (values > 0)]
    if title.endswith("loss") and len(positive) and positive.max() > 3 * positive.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=xlabel != "epoch"))
    axes.set(title=title, xlabel=xlabel)
    axes.spines[["top", "right"]].set_visible(False)

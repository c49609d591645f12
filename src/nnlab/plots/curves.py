"""Curves over the reports of a journal: a training's metrics, a study's best value."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import add, sub
from pathlib import Path
from typing import IO, Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullLocator
from PIL import Image

_PARTS = {"train": "tab:blue", "validation": "tab:orange", "test": "tab:green"}
_FAST = 1
"""Pictures are compressed at this level."""
_KEPT = 8
"""Sheets that are kept to be drawn on again, each of 2 MB."""

Reports = Sequence[Mapping[str, Any]]
"""Records with a `step` and `metrics`; a metric may be a number or the text of one."""


class LearningCurves:
    """Loss, and accuracy or R^2, of every part of the data; averaged weights are dashed. The raw
    weights' mean over several trainings has a band: the interval over seeds, or folds' error.

    Every run has one, and nearly all of the time goes into figures, labels and legends. Runs whose
    lines have the same names are drawn on one sheet, of which those are kept.
    """

    def __init__(self) -> None:
        self._sheets: dict[Any, _Sheet] = {}

    def save(self, reports: Reports, to: Path | IO[bytes]) -> None:
        """Write the picture of these reports."""
        self._filled(reports).save(to)

    def figure(self, reports: Reports) -> Figure:
        """The same as a figure, which the next picture may change."""
        return self._filled(reports).figure

    def _filled(self, reports: Reports) -> "_Sheet":
        panels = _panels(reports)
        look = tuple(panel.look for panel in panels)
        if look not in self._sheets:
            if len(self._sheets) == _KEPT:
                self._sheets.clear()
            self._sheets[look] = _Sheet(panels)
        self._sheets[look].fill(panels)
        return self._sheets[look]


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


def save(figure: Figure, to: Path | IO[bytes]) -> None:
    """Write a picture; `Figure.savefig` would draw it twice."""
    figure.dpi = 100
    fast = {"compress_level": _FAST}
    FigureCanvasAgg(figure).print_png(to, pil_kwargs=fast)  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class _Curve:
    """A metric `PART/KIND` or `PART/KIND_AVERAGE` over the epochs."""

    part: str
    average: str
    epochs: Sequence[float]
    values: Sequence[float]
    halves: Sequence[float]
    """Of the band's width; empty where it has none."""

    @property
    def look(self) -> tuple[str, str, bool]:
        """What of it is the same whatever its numbers are; a single point is a dot."""
        return self.part, self.average, len(self.epochs) == 1


@dataclass(frozen=True)
class _Panel:
    """One of the two pictures of a sheet."""

    title: str
    curves: Sequence[_Curve]
    log: bool

    @property
    def look(self) -> tuple[Any, ...]:
        """What of it is the same whatever its numbers are."""
        return self.title, self.log, *(curve.look for curve in self.curves)


def _panels(reports: Reports) -> tuple[_Panel, _Panel]:
    score = "accuracy" if "train/accuracy" in reports[0]["metrics"] else "r2"
    losses, scores = list(_curves(reports, "loss")), list(_curves(reports, score))
    log = any(value > 0 for curve in losses for value in curve.values)
    return _Panel("loss", losses, log), _Panel("R²" if score == "r2" else score, scores, log=False)


def _curves(reports: Reports, kind: str) -> Iterator[_Curve]:
    for key in dict.fromkeys(key for report in reports for key in report["metrics"]):
        part, _, metric = key.partition("/")
        name, _, average = metric.partition("_")
        if part not in _PARTS or name != kind:
            continue
        seen = [r["metrics"] for r in reports if key in r["metrics"]]
        bands = [p + key for p in ("ci95/", "se/") if not average and p + key in seen[0]]
        yield _Curve(
            part,
            average,
            [metrics["epoch"] for metrics in seen],
            [float(metrics[key]) for metrics in seen],
            [float(metrics[bands[0]]) for metrics in seen] if bands else [],
        )


class _Sheet:
    """A figure to be filled with the curves of one run after another, all of the same look."""

    def __init__(self, panels: Sequence[_Panel]) -> None:
        self.figure = Figure(figsize=(10, 4), dpi=100)
        self._canvas = FigureCanvasAgg(self.figure)
        self._background: Any = None
        for axes, panel in zip(self.figure.subplots(1, 2), panels, strict=True):
            _prepare(axes, panel)
        self.figure.axes[1].legend(frameon=False, loc="lower right")
        edges = {"left": 0.07, "right": 0.98, "bottom": 0.12, "top": 0.92}
        self.figure.subplots_adjust(**edges, wspace=0.15)

    def fill(self, panels: Sequence[_Panel]) -> None:
        """Have it show these curves instead of those before."""
        for axes, panel in zip(self.figure.axes, panels, strict=True):
            for band in list(axes.collections):
                band.remove()
            for line, curve in zip(axes.lines, panel.curves, strict=True):
                line.set_data(curve.epochs, curve.values)
            if panel.curves:
                axes.relim()
                axes.autoscale_view()
            for curve in panel.curves:
                if curve.halves:
                    axes.add_collection(_band(curve), autolim=False)  # it may be wide

    def save(self, to: Path | IO[bytes]) -> None:
        """Write the picture: what is there whatever the numbers are is drawn the first time."""
        changing = [artist for axes in self.figure.axes for artist in _changing(axes)]
        for artist in changing:
            artist.set_animated(True)
        if self._background is None:
            self._canvas.draw()  # type: ignore[no-untyped-call]  # what is animated is left out
            self._background = self._canvas.copy_from_bbox(self.figure.bbox)  # type: ignore[no-untyped-call]
        self._canvas.restore_region(self._background)  # type: ignore[no-untyped-call]
        for artist in changing:
            self.figure.draw_artist(artist)
        size = self._canvas.get_width_height()
        pixels = self._canvas.buffer_rgba()  # type: ignore[no-untyped-call]
        picture = Image.frombuffer("RGBA", size, pixels, "raw", "RGBA", 0, 1)
        picture.convert("RGB").save(to, "PNG", compress_level=_FAST)


def _prepare(axes: Axes, panel: _Panel) -> None:
    """All but the numbers."""
    axes.set_title(panel.title, y=1.0)  # or its place is sought
    axes.set_xlabel("epoch")
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))  # ticks are what takes the time
    if panel.log:
        axes.set(yscale="log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    for curve in panel.curves:
        axes.plot(
            [],
            [],
            linestyle="--" if curve.average else "-",
            marker="o" if len(curve.epochs) == 1 else None,
            fillstyle="none" if curve.average else "full",
            color=_PARTS[curve.part],
            label=f"{curve.part} {curve.average}".strip(),
        )


def _band(curve: _Curve) -> PolyCollection:
    edges = list(zip(curve.epochs, map(sub, curve.values, curve.halves), strict=True))
    edges += reversed(list(zip(curve.epochs, map(add, curve.values, curve.halves), strict=True)))
    return PolyCollection([edges], color=_PARTS[curve.part], alpha=0.2, linewidth=0)


def _changing(axes: Axes) -> list[Artist]:
    """What depends on the numbers, from the bottom to the top."""
    legend = axes.get_legend()
    above = (*axes.spines.values(), axes.xaxis, axes.yaxis, *((legend,) if legend else ()))
    return [*axes.collections, *axes.lines, *above]

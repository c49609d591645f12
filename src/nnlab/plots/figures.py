"""The pictures of a study's report as plotly.js takes them, `{"data": ..., "layout": ...}`, or None
where there is nothing. (plotly's Python classes would check each of them, which takes a second.)"""

from collections.abc import Sequence
from html import escape
from math import isfinite, log10
from typing import Any, TypeAlias

import numpy as np

from nnlab.plots.study import Study, Trial

Figure: TypeAlias = dict[str, Any]
"""Data and layout, of what JSON has."""

COLORS = {"COMPLETE": "#2563a8", "PRUNED": "#a3a3a3", "FAILED": "#c0392b", "best": "#d9822b"}
_BLUES = "f7fbff deebf7 c6dbef 9ecae1 6baed6 4292c6 2171b5 08519c 08306b"
"""ColorBrewer's, from light to dark."""
_SCALE = [[k / 8, f"#{color}"] for k, color in enumerate(_BLUES.split())]
_CURVES = 300
"""So many learning curves are drawn at most: the best ones."""


def history(study: Study) -> Figure:
    data = []
    for state in ("COMPLETE", "PRUNED"):
        shown = [
            (trial, value)
            for trial in study.trials
            if trial.state == state and (value := _last(trial)) is not None
        ]
        data.append(
            {
                **_points([trial.number for trial, _ in shown], [value for _, value in shown]),
                "name": state.lower(),
                "marker": {"color": COLORS[state], "size": 7},
                "text": [_values(trial) for trial, _ in shown],
                "hovertemplate": "trial %{x}: %{y:.5g}<br>%{text}<extra></extra>",
            }
        )
    steps = study.best_so_far
    best = {
        **_line([number for number, _ in steps], [value for _, value in steps]),
        "name": "best so far",
        "line": {"shape": "hv", "color": COLORS["best"], "width": 2},
    }
    return _figure([*data, best], _axis("trial"), _axis(study.metrics[0], type=_scale(study)))


def front(study: Study) -> Figure:
    best = {trial.number for trial in study.best}
    data = []
    for name, chosen in (("beaten", False), ("front", True)):
        shown = [trial for trial in study.complete if (trial.number in best) == chosen]
        data.append(
            {
                **_points(*([trial.objectives[k] for trial in shown] for k in (0, 1))),
                "name": name,
                "marker": {"color": COLORS["best" if chosen else "COMPLETE"], "size": 8},
                "text": [f"trial {trial.number}<br>{_values(trial)}" for trial in shown],
                "hovertemplate": "%{text}<br>%{x:.5g}, %{y:.5g}<extra></extra>",
            }
        )
    return _figure(data, *map(_axis, study.metrics[:2]))


def importances(study: Study) -> Figure:
    keys = [key for key in reversed(study.varied) if key in study.importances]
    bars = {
        "type": "bar",
        "x": [study.importances[key] for key in keys],
        "y": keys,
        "orientation": "h",
        "marker": {"color": COLORS["COMPLETE"]},
        "texttemplate": "%{x:.0%}",
        "hoverinfo": "skip",
    }
    return _figure([bars], _axis("importance", tickformat=".0%", rangemode="tozero"), _axis())


def learning(study: Study) -> Figure:
    best = {trial.number for trial in study.best}
    drawn = [trial for trial in study.trials if len(trial.curve) > 1]
    sign = 1 if study.directions[0] == "minimize" else -1
    drawn.sort(key=lambda trial: (trial.state != "COMPLETE", sign * (_last(trial) or 0.0)))
    data = []
    for trial in reversed(drawn[:_CURVES]):
        points = [(step, value) for step, value in trial.curve if isfinite(value)]
        complete = trial.state == "COMPLETE"
        kind = "best" if trial.number in best else trial.state
        data.append(
            {
                **_line([step for step, _ in points], [value for _, value in points]),
                "name": f"trial {trial.number}, {trial.state.lower()}",
                "showlegend": False,
                "opacity": 1 if kind == "best" else 0.5,
                "line": {
                    "color": COLORS[kind],
                    "width": 2.5 if kind == "best" else 1,
                    "dash": "solid" if complete else "dot",
                },
                "hovertemplate": "step %{x}: %{y:.5g}",
            }
        )
    return _figure(data, _axis("step"), _axis(study.metrics[0], type=_scale(study)))


def slices(study: Study) -> Figure:
    keys = study.varied[:6]
    gap = 0.015
    width = (1 + gap) / len(keys)
    data, axes = [], {}
    for column, key in enumerate(keys):
        name = str(column + 1) if column else ""
        shown = [trial for trial in study.complete if key in trial.values]
        data.append(
            {
                **_points(
                    [_coordinate(study, key, trial) for trial in shown],
                    [trial.objectives[0] for trial in shown],
                ),
                "xaxis": f"x{name}",
                "yaxis": f"y{name}",
                "showlegend": False,
                "marker": {
                    "color": [trial.number for trial in shown],
                    "colorscale": _SCALE,
                    "size": 7,
                    "cmin": -len(study.trials) / 3,
                    "line": {"width": 0.5, "color": "#555"},
                },
                "text": [f"trial {trial.number}<br>{_values(trial)}" for trial in shown],
                "hovertemplate": "%{text}<br>%{y:.5g}<extra></extra>",
            }
        )
        domain = [column * width, (column + 1) * width - gap]
        kind = {"type": "log"} if study.logarithmic(key) else {}
        axes[f"xaxis{name}"] = _axis(key, anchor=f"y{name}", domain=domain, **kind)
        shared = {"matches": "y", "showticklabels": False} if column else {}
        title = "" if column else study.metrics[0]
        axes[f"yaxis{name}"] = _axis(title, anchor=f"x{name}", type=_scale(study), **shared)
    return {"data": data, "layout": axes}


def parallel(study: Study) -> Figure | None:
    keys = study.varied[:10]
    shown = [trial for trial in study.complete if all(key in trial.values for key in keys)]
    if len(shown) < 2:
        return None
    objective = [trial.objectives[0] for trial in shown]
    sizes = [_shown(value, _scale(study) == "log") for value in objective]
    dimensions = [_dimension(study.metrics[0], objective, _scale(study) == "log")]
    for key in keys:
        values = [trial.values[key] for trial in shown]
        if all(_is_number(value) for value in values):
            dimensions.append(_dimension(key, values, study.logarithmic(key)))
        else:
            names = sorted({str(value) for value in values})
            dimensions.append(
                {
                    "label": key,
                    "values": [names.index(str(v)) for v in values],
                    "tickvals": list(range(len(names))),
                    "ticktext": names,
                }
            )
    lines = {
        "type": "parcoords",
        "dimensions": dimensions,
        "domain": {"x": [0, 0.95], "y": [0, 0.82]},
        "labelangle": -12,
        "line": {
            "color": sizes,
            "colorscale": _SCALE,
            "reversescale": study.directions[0] == "minimize",
            "cauto": True,
        },
    }
    return {"data": [lines], "layout": {}}


def contour(study: Study) -> Figure | None:
    from scipy.interpolate import griddata

    first, second = [key for key in study.varied if numbers(study, key)][:2]
    shown = [trial for trial in study.complete if first in trial.values and second in trial.values]
    logs = study.logarithmic(first), study.logarithmic(second)
    x, y = (
        [_shown(trial.values[key], log) for trial in shown]
        for key, log in zip((first, second), logs, strict=True)
    )
    z = [_shown(trial.objectives[0], _scale(study) == "log") for trial in shown]
    if len(set(x)) < 3 or len(set(y)) < 3:
        return None
    columns, rows = (np.linspace(min(one), max(one), 60) for one in (x, y))
    unit = [(np.array(one) - min(one)) / (max(one) - min(one)) for one in (x, y)]
    grid = np.meshgrid(np.linspace(0, 1, 60), np.linspace(0, 1, 60))
    try:
        surface = griddata(np.column_stack(unit), z, tuple(grid), method="linear")
    except Exception:  # scipy's own error: all points on one line
        return None
    powers = [10**one if log else one for one, log in zip((columns, rows), logs, strict=True)]
    metric = study.metrics[0]
    title = {"text": f"log10 {metric}" if _scale(study) == "log" else metric, "side": "right"}
    data: list[dict[str, Any]] = [
        {
            "type": "contour",
            "x": powers[0].tolist(),
            "y": powers[1].tolist(),
            "z": surface.tolist(),
            "colorscale": _SCALE,
            "connectgaps": False,
            "reversescale": study.directions[0] == "minimize",
            "hoverinfo": "skip",
            "line": {"width": 0.5},
            "colorbar": {"title": title, "outlinewidth": 0},
        },
        {
            **_points(*([trial.values[key] for trial in shown] for key in (first, second))),
            "showlegend": False,
            "marker": {"color": "#222", "size": 4},
            "text": [f"trial {trial.number}: {short(trial.objectives[0])}" for trial in shown],
            "hovertemplate": "%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
        },
    ]
    data += [
        {
            **_points([best.values.get(first)], [best.values.get(second)]),
            "showlegend": False,
            "hoverinfo": "skip",
            "marker": {"color": COLORS["best"], "size": 13, "symbol": "star"},
        }
        for best in study.best[:1]
    ]
    axes = (
        _axis(key, **({"type": "log"} if log else {}))
        for key, log in zip((first, second), logs, strict=True)
    )
    return _figure(data, *axes)


def _figure(data: list[dict[str, Any]], x: dict[str, Any], y: dict[str, Any]) -> Figure:
    return {"data": data, "layout": {"xaxis": x, "yaxis": y}}


def _axis(title: str = "", **more: Any) -> dict[str, Any]:
    return {"title": {"text": escape(title, quote=False)}, **more}


def _points(x: Sequence[Any], y: Sequence[Any]) -> dict[str, Any]:
    return {"type": "scatter", "mode": "markers", "x": x, "y": y}


def _line(x: Sequence[Any], y: Sequence[Any]) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "x": x, "y": y}


def _dimension(label: str, values: list[float], log: bool) -> dict[str, Any]:
    """An axis of parallel coordinates; plotly has no logarithmic ones."""
    if not log:
        return {"label": label, "values": values}
    powers = [_shown(value, True) for value in values]
    ticks = np.linspace(min(powers), max(powers), 5)
    return {
        "label": label,
        "values": powers,
        "tickvals": ticks.tolist(),
        "ticktext": [f"{10**tick:.2g}" for tick in ticks],
    }


def _scale(study: Study) -> str:
    """The scale of the first objective: logarithmic where it goes over several powers of ten."""
    reached = [trial.objectives[0] for trial in study.complete]
    wide = bool(reached) and min(reached) > 0 and max(reached) > 20 * min(reached)
    return "log" if wide else "linear"


def _coordinate(study: Study, key: str, trial: Trial) -> Any:
    value = trial.values[key]
    return value if numbers(study, key) else str(value)


def numbers(study: Study, key: str) -> bool:
    """Is it a parameter whose values are numbers?"""
    return all(_is_number(trial.values[key]) for trial in study.trials if key in trial.values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: float, log: bool) -> float:
    return log10(value) if log else value


def _last(trial: Trial) -> float | None:
    """What a trial reached: its objective, or else the last value of its curve."""
    if trial.objectives:
        return trial.objectives[0]
    finite = [value for _, value in trial.curve if isfinite(value)]
    return finite[-1] if finite else None


def _values(trial: Trial) -> str:
    return "<br>".join(f"{escape(key)}={short(value)}" for key, value in trial.values.items())


def short(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else escape(str(value))

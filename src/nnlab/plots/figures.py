"""The pictures of a study's report, by plotly: each is a figure, or None where there is nothing."""

from html import escape
from math import isfinite, log10
from typing import Any

import numpy as np

from nnlab.plots.study import Study, Trial

COLORS = {"COMPLETE": "#2563a8", "PRUNED": "#a3a3a3", "FAILED": "#c0392b", "best": "#d9822b"}
_CURVES = 300
"""So many learning curves are drawn at most: the best ones."""


def history(study: Study) -> Any:
    from plotly import graph_objects as go

    figure = go.Figure()
    for state in ("COMPLETE", "PRUNED"):
        shown = [
            (trial, value)
            for trial in study.trials
            if trial.state == state and (value := _last(trial)) is not None
        ]
        figure.add_scatter(
            x=[trial.number for trial, _ in shown],
            y=[value for _, value in shown],
            mode="markers",
            name=state.lower(),
            marker={"color": COLORS[state], "size": 7},
            text=[_values(trial) for trial, _ in shown],
            hovertemplate="trial %{x}: %{y:.5g}<br>%{text}<extra></extra>",
        )
    steps = study.best_so_far
    figure.add_scatter(
        x=[number for number, _ in steps],
        y=[value for _, value in steps],
        mode="lines",
        name="best so far",
        line={"shape": "hv", "color": COLORS["best"], "width": 2},
    )
    figure.update_xaxes(title="trial")
    figure.update_yaxes(title=study.metrics[0], type=_scale(study))
    return figure


def front(study: Study) -> Any:
    from plotly import graph_objects as go

    best = {trial.number for trial in study.best}
    figure = go.Figure()
    for name, chosen in (("beaten", False), ("front", True)):
        shown = [trial for trial in study.complete if (trial.number in best) == chosen]
        figure.add_scatter(
            x=[trial.objectives[0] for trial in shown],
            y=[trial.objectives[1] for trial in shown],
            mode="markers",
            name=name,
            marker={"color": COLORS["best" if chosen else "COMPLETE"], "size": 8},
            text=[f"trial {trial.number}<br>{_values(trial)}" for trial in shown],
            hovertemplate="%{text}<br>%{x:.5g}, %{y:.5g}<extra></extra>",
        )
    figure.update_xaxes(title=study.metrics[0])
    figure.update_yaxes(title=study.metrics[1])
    return figure


def importances(study: Study) -> Any:
    from plotly import graph_objects as go

    keys = [key for key in reversed(study.varied) if key in study.importances]
    figure = go.Figure(
        go.Bar(
            x=[study.importances[key] for key in keys],
            y=keys,
            orientation="h",
            marker={"color": COLORS["COMPLETE"]},
            texttemplate="%{x:.0%}",
            hoverinfo="skip",
        )
    )
    figure.update_xaxes(title="importance", tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(automargin=True)
    return figure


def learning(study: Study) -> Any:
    from plotly import graph_objects as go

    best = {trial.number for trial in study.best}
    drawn = [trial for trial in study.trials if len(trial.curve) > 1]
    sign = 1 if study.directions[0] == "minimize" else -1
    drawn.sort(key=lambda trial: (trial.state != "COMPLETE", sign * (_last(trial) or 0.0)))
    figure = go.Figure()
    for trial in reversed(drawn[:_CURVES]):
        points = [(step, value) for step, value in trial.curve if isfinite(value)]
        complete = trial.state == "COMPLETE"
        kind = "best" if trial.number in best else trial.state
        figure.add_scatter(
            x=[step for step, _ in points],
            y=[value for _, value in points],
            mode="lines",
            name=f"trial {trial.number}, {trial.state.lower()}",
            showlegend=False,
            opacity=1 if kind == "best" else 0.5,
            line={
                "color": COLORS[kind],
                "width": 2.5 if kind == "best" else 1,
                "dash": "solid" if complete else "dot",
            },
            hovertemplate="step %{x}: %{y:.5g}",
        )
    figure.update_xaxes(title="step")
    figure.update_yaxes(title=study.metrics[0], type=_scale(study))
    return figure


def slices(study: Study) -> Any:
    from plotly.subplots import make_subplots

    keys = study.varied[:6]
    figure = make_subplots(1, len(keys), shared_yaxes=True, horizontal_spacing=0.015)
    for column, key in enumerate(keys, start=1):
        shown = [trial for trial in study.complete if key in trial.values]
        figure.add_scatter(
            x=[_axis(study, key, trial) for trial in shown],
            row=1,
            col=column,
            mode="markers",
            y=[trial.objectives[0] for trial in shown],
            showlegend=False,
            marker={
                "color": [trial.number for trial in shown],
                "colorscale": "Blues",
                "size": 7,
                "cmin": -len(study.trials) / 3,
                "line": {"width": 0.5, "color": "#555"},
            },
            text=[f"trial {trial.number}<br>{_values(trial)}" for trial in shown],
            hovertemplate="%{text}<br>%{y:.5g}<extra></extra>",
        )
        log = study.logarithmic(key)
        figure.update_xaxes(title=key, type="log" if log else None, row=1, col=column)
    figure.update_yaxes(title=study.metrics[0], type=_scale(study), col=1)
    figure.update_yaxes(type=_scale(study))
    return figure


def parallel(study: Study) -> Any:
    from plotly import graph_objects as go

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
    return go.Figure(
        go.Parcoords(
            dimensions=dimensions,
            domain={"x": [0, 0.95], "y": [0, 0.82]},
            labelangle=-12,
            line={
                "color": sizes,
                "colorscale": "Blues",
                "reversescale": study.directions[0] == "minimize",
                "cauto": True,
            },
        )
    )


def contour(study: Study) -> Any:
    from plotly import graph_objects as go
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
    figure = go.Figure(
        go.Contour(
            x=powers[0],
            y=powers[1],
            z=surface,
            colorscale="Blues",
            connectgaps=False,
            reversescale=study.directions[0] == "minimize",
            hoverinfo="skip",
            line={"width": 0.5},
            colorbar={
                "title": {
                    "text": f"log10 {study.metrics[0]}"
                    if _scale(study) == "log"
                    else study.metrics[0],
                    "side": "right",
                }
            },
        )
    )
    figure.add_scatter(
        x=[trial.values[first] for trial in shown],
        y=[trial.values[second] for trial in shown],
        mode="markers",
        showlegend=False,
        marker={"color": "#222", "size": 4},
        text=[f"trial {trial.number}: {short(trial.objectives[0])}" for trial in shown],
        hovertemplate="%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
    )
    for best in study.best[:1]:
        figure.add_scatter(
            x=[best.values.get(first)],
            y=[best.values.get(second)],
            mode="markers",
            showlegend=False,
            hoverinfo="skip",
            marker={"color": COLORS["best"], "size": 13, "symbol": "star"},
        )
    figure.update_xaxes(title=first, type="log" if logs[0] else None)
    figure.update_yaxes(title=second, type="log" if logs[1] else None)
    return figure


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


def _axis(study: Study, key: str, trial: Trial) -> Any:
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

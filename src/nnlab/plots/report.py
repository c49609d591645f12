"""The report of a study: one HTML file that needs no network, with plotly's own script in it."""

import json
from collections.abc import Callable, Iterator, Mapping
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any

from nnlab.plots import figures
from nnlab.plots.figures import Figure, short
from nnlab.plots.study import STATES, Study

_GRID = {"gridcolor": "#ebf0f8", "linecolor": "#ebf0f8", "zerolinecolor": "#ebf0f8"}
_AXIS = {**_GRID, "zerolinewidth": 2, "ticks": "", "automargin": True, "title": {"standoff": 15}}
_LAYOUT = {
    "template": {"layout": {"xaxis": _AXIS, "yaxis": _AXIS}},
    "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#2a3f5f"},
    "margin": {"l": 70, "r": 20, "t": 20, "b": 55},
    "height": 420,
    "hovermode": "closest",
    "hoverlabel": {"align": "left"},
    "autotypenumbers": "strict",
}
_CONFIG = {"displaylogo": False, "responsive": True}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1080px; margin: 2em auto;
  padding: 0 1em }
h1 { font-size: 1.6em; margin-bottom: .2em } h2 { font-size: 1.15em; margin: 2em 0 .3em }
p.note { color: #666; margin: .2em 0 .6em } code { background: #f3f3f3; padding: .1em .35em;
  border-radius: 3px } pre { background: #f3f3f3; padding: .7em 1em; border-radius: 4px;
  overflow-x: auto } .scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid #eee;
  white-space: nowrap }
th { border-bottom: 1px solid #999; cursor: pointer } td.text, th.text { text-align: left }
tr.PRUNED td { color: #777 } tr.FAILED td { color: #c0392b } tr.best td { font-weight: 600 }
.facts { display: flex; flex-wrap: wrap; gap: .5em 2.5em; margin: 1em 0 }
.facts div b { display: block; font-size: 1.35em; font-weight: 600 } .facts div { color: #666 }
.facts b { color: #222 }
"""
_SORT = """
document.querySelectorAll("th").forEach((head, k) => head.addEventListener("click", () => {
  const body = document.querySelector("tbody"), up = head.dataset.up = head.dataset.up ? "" : "1";
  const value = row => { const text = row.cells[k].textContent, number = parseFloat(text);
    return isNaN(number) ? text : number };
  [...body.rows].sort((a, b) => { const x = value(a), y = value(b);
    const order = typeof x === typeof y ? (x < y ? -1 : x > y ? 1 : 0)
      : typeof x === "number" ? -1 : 1;
    return up ? order : -order }).forEach(row => body.append(row));
}));
"""


def write(study: Study, path: Path, links: Mapping[str, str], reproduce: str) -> None:
    """Write the report. `links` says where each run can be seen; `reproduce` is the command that
    trains the best one again, or empty."""
    path.write_text(html(study, links, reproduce), encoding="utf-8")


def html(study: Study, links: Mapping[str, str], reproduce: str) -> str:
    """The report as a page."""
    from plotly.offline import get_plotlyjs

    sections = []
    for k, (title, note, draw) in enumerate(_figures(study)):
        figure = draw(study)
        if figure is None:
            continue
        layout = {**_LAYOUT, **figure["layout"]}
        parts = ", ".join(map(_script, (f"figure-{k}", figure["data"], layout, _CONFIG)))
        sections.append(
            f"<h2>{escape(title)}</h2><p class=note>{escape(note)}</p>"
            f'<div id="figure-{k}"></div><script>Plotly.newPlot({parts})</script>'
        )
    return (
        "<!DOCTYPE html><html lang=en><head><meta charset=utf-8>"
        f"<title>{escape(study.name)}: a study by nnlab</title><style>{_STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head><body>"
        f"{_head(study, reproduce)}{''.join(sections)}{_table(study, links)}"
        f"<script>{_SORT}</script></body></html>"
    )


def _script(value: Any) -> str:
    """A value as JavaScript in a page, where null is what no number is and nothing ends the
    script."""
    return json.dumps(_finite(value), allow_nan=False).replace("<", "\\u003c")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _figures(study: Study) -> Iterator[tuple[str, str, Callable[[Study], Figure | None]]]:
    """Every picture that this study has something for: title, what it shows, how it is drawn."""
    metric = study.metrics[0]
    if not study.trials:
        return
    if len(study.metrics) > 1:
        yield "The front", "Each point is a trial; no other beats the orange ones.", figures.front
    else:
        note = f"{metric} of each trial as it was asked for, and the best until then."
        yield "History", note, figures.history
    if study.importances:
        note = "How much each parameter tells the best tenth of trials from the rest (PED-ANOVA)."
        yield "What matters", note, figures.importances
    if any(len(trial.curve) > 1 for trial in study.trials):
        note = f"{metric} over training; trials that were stopped early are grey and dotted."
        yield "Learning curves", note, figures.learning
    if len(study.complete) > 1 and study.varied:
        yield "Slices", f"{metric} over each parameter, the most important first.", figures.slices
        note = "Each line is a trial. Drag along an axis to choose some of them."
        yield "Parallel coordinates", note, figures.parallel
    if (
        len([key for key in study.varied if figures.numbers(study, key)]) > 1
        and len(study.complete) > 5
    ):
        note = "Between trials it is interpolated, and beyond them unknown."
        yield "The two that matter most", note, figures.contour


def _head(study: Study, reproduce: str) -> str:
    seconds, epochs = (
        sum(getattr(trial, of) for trial in study.trials) for of in ("seconds", "epochs")
    )
    facts = [
        ("trials", f"{len(study.trials)}"),
        *((state.lower(), str(study.count(state))) for state in STATES),
        ("trials' time, added up", _duration(seconds)),
        ("epochs", f"{epochs:,.0f}"),
    ]
    if study.count("PRUNED"):
        facts.append(("epochs saved by pruning", f"{study.saved:,.0f}"))
    said = "".join(f"<div><b>{escape(value)}</b>{escape(name)}</div>" for name, value in facts)
    aims = " and ".join(f"{d} {m}" for d, m in zip(study.directions, study.metrics, strict=True))
    page = f"<h1>{escape(study.name)}</h1><p class=note>study {escape(study.run)}: {escape(aims)}"
    page += f"; {escape(study.ended)}" if study.ended else "; not ended"
    page += f"</p><div class=facts>{said}</div>"
    if len(study.metrics) == 1:
        for best in study.best:
            values = "".join(
                f"<br><code>{escape(k)}={short(v)}</code>" for k, v in best.values.items()
            )
            page += (
                f"<p>Best: trial {best.number} with {escape(study.metrics[0])} "
                f"<b>{short(best.objectives[0])}</b>{values}</p>"
            )
    return page + (
        f"<p>Train it again and compare bit for bit:</p><pre>{escape(reproduce)}</pre>"
        if reproduce
        else ""
    )


def _table(study: Study, links: Mapping[str, str]) -> str:
    keys, best = study.varied, {trial.number for trial in study.best}
    names = ["trial", "state", *study.metrics, *keys, "epochs", "seconds", "run", "why it ended"]
    texts = {"state", "run", "why it ended"}
    head = "".join(f"<th{' class=text' if n in texts else ''}>{escape(n)}</th>" for n in names)
    rows = []
    for trial in study.trials:
        reached = [short(value) for value in trial.objectives] or [""] * len(study.metrics)
        run = escape(trial.run)
        if trial.run in links:
            run = f'<a href="{escape(links[trial.run])}" target=_blank rel=noopener>{run}</a>'
        cells = [
            f"<td>{trial.number}</td><td class=text>{trial.state.lower()}</td>",
            *(f"<td>{value}</td>" for value in reached),
            *(f"<td>{short(trial.values.get(key))}</td>" for key in keys),
            f"<td>{trial.epochs:.4g}</td><td>{trial.seconds:.3g}</td>",
            f"<td class=text>{run}</td><td class=text>{escape(trial.reason)}</td>",
        ]
        mark = f"{trial.state}{' best' if trial.number in best else ''}"
        rows.append(f'<tr class="{mark}">{"".join(cells)}</tr>')
    return (
        "<h2>All trials</h2><p class=note>Click a heading to sort by it.</p><div class=scroll>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"

"""The report of a reproduction: one HTML file without scripts, its picture drawn as SVG."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 980px; margin: 2em auto;
  padding: 0 1em }
h1 { font-size: 1.5em; margin-bottom: .2em } h2 { font-size: 1.1em; margin: 2em 0 .3em }
p.note { color: #666; margin: .2em 0 .6em } .scroll { overflow-x: auto }
.verdict { padding: .6em 1em; border-radius: 4px; font-weight: 600; margin: 1em 0 }
.identical { background: #e3f4e4; color: #14591d }
.different { background: #fbe5e3; color: #8c1c13 }
.environment { background: #fdf1d8; color: #6b4a00 }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: .25em .8em .25em 0; text-align: left; border-bottom: 1px solid #eee;
  vertical-align: top; overflow-wrap: anywhere }
th { border-bottom: 1px solid #999 } td:first-child, td.no { white-space: nowrap }
td.no { color: #8c1c13; font-weight: 600 }
svg { width: 100%; height: auto } svg text { font: 12px system-ui, sans-serif; fill: #555 }
"""
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 900.0, 300.0, 70.0, 45.0, 30.0
_COLOURS = ("#1f5fa8", "#d9730d")
_MARKS = 60
"""Of more points only the line is drawn."""
_SHOWN = 200
"""So many parameters and facts are shown; reproduction.json has all, and whole hashes."""


def html(told: Mapping[str, Any]) -> str:
    """The page, from what reproduction.json holds."""
    original, new = told["original"], told["new"]
    kind = str(told["verdict"]).partition(" ")[0]
    title = f"{original['name']}, trained again"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class=note>run {escape(original['run'])} of MLflow {escape(original['mlflow'])}, "
        f"again as {escape(new['name'])} (run {escape(new['run'])})</p>",
        f'<div class="verdict {escape(kind)}">{escape(told["text"])}</div>',
        _list("Likely cause, the most specific first", told["cause"]),
        _list("To be known all the same", told["notes"]),
        "<h2>What was compared</h2>",
        _table(("", "then", "now", ""), _compared(told)),
        "<h2>The difference over time</h2>",
        _over_time(told),
        "<h2>Final weights</h2>",
        _parameters(told),
        "<h2>Environment then and now</h2>",
        _environment(told),
    ]
    return (
        "<!DOCTYPE html><html lang=en><head><meta charset=utf-8>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"{''.join(parts)}</body></html>"
    )


def _list(title: str, sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    items = "".join(f"<li>{escape(one)}</li>" for one in sentences)
    return f"<h2>{escape(title)}</h2><ul>{items}</ul>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<div class=scroll><table><tr>{head}</tr>{body}</table></div>"


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    text = text[:16] if re.fullmatch("[0-9a-f]{64}", text) else text
    return f"<td{' class=no' if text == 'different' else ''}>{escape(text)}</td>"


def _compared(told: Mapping[str, Any]) -> Iterator[Sequence[object]]:
    words = {True: "identical", False: "different", None: "not logged then"}
    equal = told["points"] - told["differing"]
    yield "metric points", told["points"], told["points"], f"{equal} identical"
    first = told["first"]
    if first:
        yield (
            f"first: {first['metric']} at step {first['step']}",
            "absent" if first["then"] is None else first["then"],
            "absent" if first["now"] is None else first["now"],
            "different",
        )
    stop = told["stop"]
    for key in ("step", "rule", "reason"):
        then, now = stop["then"][key], stop["now"][key]
        judged = stop["by_config"] or key == "step"
        answer = words[then == now] if judged else "the config did not end the original"
        yield f"ended, {key}", then, now, answer
    for tag, one in told["hashes"].items():
        yield tag.removeprefix("nnlab."), one["then"], one["now"], words[one["equal"]]


def _parameters(told: Mapping[str, Any]) -> str:
    every = told["parameters"]
    if not every:
        return f"<p class=note>not compared: {escape(told['weights'])}</p>"
    differing = [name for name, one in every.items() if not one["equal"]]
    note = (
        f"{len(every) - len(differing)} of {len(every)} arrays are identical (SHA-256)"
        + (f"; the first that differs is {told['first_parameter']}" if differing else "")
        + ". Relative differences are max |then - now| / max |then|."
    )
    rows = (
        (
            name,
            one["then"],
            one["now"],
            "identical" if one["equal"] else "different",
            "" if one["equal"] else _number(one["largest_relative"]),
        )
        for name, one in list(every.items())[:_SHOWN]
    )
    heads = ("array", "then", "now", "", "relative difference")
    return f"<p class=note>{escape(note)}</p>{_table(heads, rows)}"


def _environment(told: Mapping[str, Any]) -> str:
    words = {True: "can change bits", False: "cannot change bits", None: "unknown"}
    rows = [
        (row["key"], row["then"], row["now"], words[row["can_change_bits"]], row["why"])
        for row in told["environment"][:_SHOWN]
    ]
    differing = {row[0] for row in rows}
    same = [
        (key, value, value, "the same", "")
        for key, value in _flat(told["facts"]["now"])
        if key not in differing and not key.startswith("installed.")
    ]
    note = f"{len(told['environment'])} facts differ."
    heads = ("", "then", "now", "", "why")
    return f"<p class=note>{note}</p>{_table(heads, [*rows, *_of_both(told, same)])}"


def _of_both(
    told: Mapping[str, Any], rows: Iterable[tuple[str, str, str, str, str]]
) -> Iterator[tuple[str, str, str, str, str]]:
    """Of what does not differ, what both have."""
    then = dict(_flat(told["facts"]["then"]))
    return (row for row in rows if then.get(row[0]) == row[1])


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            for k, one in enumerate(value):
                yield from _flat(one, f"{prefix}{key}.{k}.")
        else:
            text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{prefix}{key}", text


def _over_time(told: Mapping[str, Any]) -> str:
    over, first = told["over_time"], told["first"]
    steps = over["steps"]
    if not first:
        return f"<p class=note>no difference at any of {len(steps)} evaluations</p>"
    series = {
        "the largest of all metrics": [_float(value) for value in over["largest"]],
        first["metric"]: [_float(value) for value in over["first_metric"]],
    }
    return (
        "<p class=note>Relative differences; at the bottom: equal to the last bit; at the top: one "
        f"is absent or not finite.</p>{_picture(steps, series)}"
    )


def _picture(steps: Sequence[int], series: Mapping[str, Sequence[float | None]]) -> str:
    """Lines over steps with a logarithmic axis; zero is its bottom and infinity its top."""
    values = [v for line in series.values() for v in line if v and math.isfinite(v)]
    low = math.floor(math.log10(min(values, default=1e-16))) - 1
    high = math.ceil(math.log10(max(values, default=1.0))) + 1
    span, last = max(high - low, 1), max(steps[-1] - steps[0], 1)

    def x(step: int) -> float:
        return _LEFT + (step - steps[0]) / last * (_WIDTH - _LEFT - 20)

    def y(value: float) -> float:
        at = low if value == 0 else high if math.isinf(value) else math.log10(value)
        return _HEIGHT - _BOTTOM - (at - low) / span * (_HEIGHT - _BOTTOM - _TOP)

    drawn = [f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="differences">']
    for power in range(low, high + 1, max(1, -(-span // 8))):
        at = y(10.0**power) if power > low else y(0.0)
        label = "equal" if power == low else f"1e{power}"
        drawn.append(
            f'<line x1="{_LEFT:g}" x2="{_WIDTH - 20:g}" y1="{at:.1f}" y2="{at:.1f}" '
            'stroke="#e5e5e5"/>'
            f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{label}</text>'
        )
    drawn += [
        f'<text x="{x(step):.1f}" y="{_HEIGHT - 22:g}" text-anchor="middle">{step}</text>'
        for step in dict.fromkeys((steps[0], steps[len(steps) // 2], steps[-1]))
    ]
    drawn.append(
        f'<text x="{(_LEFT + _WIDTH) / 2:g}" y="{_HEIGHT - 4:g}" text-anchor="middle">step</text>'
    )
    for k, (name, line) in enumerate(series.items()):
        marks = [(x(s), y(v)) for s, v in zip(steps, line, strict=True) if v is not None]
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in marks)
        dash = ' stroke-dasharray="5 4"' if k else ""
        stroke = f'stroke="{_COLOURS[k]}" stroke-width="2"{dash}'
        left = _LEFT + 330 * k
        drawn.append(f'<polyline points="{points}" fill="none" {stroke}/>')
        drawn += [
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{3 - k}" fill="{_COLOURS[k]}"/>'
            for a, b in marks[: _MARKS if len(marks) <= _MARKS else 0]
        ]
        drawn.append(
            f'<line x1="{left:g}" x2="{left + 26:g}" y1="10" y2="10" {stroke}/>'
            f'<text x="{left + 32:g}" y="14">{escape(name)}</text>'
        )
    return "".join((*drawn, "</svg>"))


def _float(value: float | str | None) -> float | None:
    """JSON has infinity as a text."""
    return None if value is None else float(value)


def _number(value: float | str) -> str:
    return f"{float(value):.2g}"

"""A run in words: a line for each thing that is known of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote
from string import ascii_letters, digits
from typing import Any

from nnlab.commands.console import console, results, say
from nnlab.commands.tracked import counted
from nnlab.data.leaks import leaks_of, told
from nnlab.escaping import escaped

_WIDTH = 13
_PLAIN = {*ascii_letters, *digits, *"_-+=.,:/%@"}
"""Characters that no shell takes for anything else."""
_CLASSES = 12
"""Of so many classes the counts are shown; of more, the smallest and the largest."""


def show(told: Mapping[str, Any]) -> None:
    """Print what is known of a run."""
    say(escaped(f"{told['name']}  run {told['run']}"), "bold")
    for label, text in _lines(told):
        say(f"{label:<{_WIDTH}}{escaped(text)}")
    metrics = told["metrics"]
    if any(key.startswith("train/") for key in metrics):
        console.print(results(metrics))
    elif metrics:
        say(f"{'metrics':<{_WIDTH}}{', '.join(f'{k} {v:.5g}' for k, v in metrics.items())}")


def _lines(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "kind", told["kind"] + (f", nested in run {told['parent']}" if told["parent"] else "")
    yield "state", f"{told['state']}: {told['reason']}"
    if told["began"]:
        again = f", went on {counted(told['resumed'], 'time')}" if told["resumed"] else ""
        yield "began", f"{told['began']}, {told['seconds']:.2f} s of training{again}"
    if told["kind"] == "study":
        trials = ", ".join(f"{number} {state}" for state, number in told["trials"].items())
        yield "trials", f"{trials or 'none has ended'}; best: {told['best'] or 'none yet'}"
    else:
        evaluations = counted(told["evaluations"], "evaluation")
        yield "step", f"{told['step']:,} (epoch {told['epoch']:g}), {evaluations}"
        yield "config", " ".join(map(_quoted, told["overrides"])) or "the default one"
    if told["members"]:
        yield "members", ", ".join(told["members"])
    if told["data"]:
        yield from _data(told["data"])
    if told["weights"]:
        yield "weights", f"SHA-256 {told['weights']}"
    if told["averaged"] and told["averaged"] != told["weights"]:
        yield "averaged", f"SHA-256 {told['averaged']}"
    if told["mlflow"]:
        yield "MLflow", f"run {told['mlflow']['run']} of {told['mlflow']['uri']}"
    if told["directory"]:
        yield "directory", told["directory"]
        yield "files", ", ".join(told["files"])


def _data(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    inputs, classes = data["inputs"], data["classes"]
    shape = "x".join(map(str, inputs["shape"]))
    targets = f"{classes['number']} classes" if classes["number"] else "numbers to predict"
    yield "data", f"{data['name']}: {data['examples']:,} of {shape} {inputs['dtype']}, {targets}"
    if data["origin"]:
        yield "", f"from {data['origin']}"
    yield "", f"SHA-256 {data['fingerprint']}"
    if inputs["names"]:
        yield "features", _listed(inputs["names"], inputs["named"])
    for part, found in data.get("parts", {}).items():
        yield part, f"{found['examples']:,}{_classes(classes, found['classes'])}"
    if "leaks" in data:
        yield "leaks", told(leaks_of(data))
    if data["preparation"]:
        yield "preparation", ", ".join(data["preparation"])
    trained, divided = data.get("trained"), data.get("parts", {}).get("train")
    if trained and divided and trained["examples"] != divided["examples"]:
        counts = _classes(classes, trained["classes"])
        yield "trained on", f"{trained['examples']:,}{counts}"


def _classes(classes: Mapping[str, Any], counts: list[int]) -> str:
    if not counts:
        return ""
    if classes["number"] > _CLASSES:
        return f" ({min(counts):,} to {max(counts):,} of each class)"
    each = (f"{name} {count:,}" for name, count in zip(classes["names"], counts, strict=True))
    return f" ({', '.join(each)})"


def _listed(names: list[str], number: int) -> str:
    shown = names[:_CLASSES]
    more = f" and {number - len(shown):,} more" if number > len(shown) else ""
    return f"{', '.join(shown)}{more}"


def _quoted(override: str) -> str:
    return quote(override) if set(override) - _PLAIN else override

"""The report of a reproduction as plain data, and as the files that become artifacts."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nnlab.plots.reproduction import html
from nnlab.reproduction.verdict import Reproduction
from nnlab.runs import atomic
from nnlab.runs.journal import in_json

JSON, HTML = "reproduction.json", "reproduction.html"


def told(result: Reproduction, name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """All of it. Infinities are the texts of a journal. `name` is the new run's, `facts` its
    environment.

    verdict            identical, environment differs, different
    cause              sentences, the most specific first; empty where identical
    notes              what was not compared of a run that ended, though all is equal
    first              the first point that differs: step, metric, then, now, relative
                       (then, now: null where it is absent)
    points, differing  how many points were compared, and how many of them differ
    largest_relative   of all points and parameters; `tolerance`; `within` it?
    over_time          step by step: `largest` of all metrics, `first_metric` of the first's
    parameters         by name: equal, then and now (SHA-256), largest_relative
    first_parameter    the first that differs in the layout's order
    weights            why parameters were not compared, or empty
    hashes             by tag: then, now, equal (null: one has none)
    stop               then and now (rule, reason, step), equal, by_config, beyond
    environment        what differs: key, then, now, can_change_bits (null: unknown), why
    facts              the environments, then and now, whole
    original, new      run, name; of the original also its id in MLflow
    """
    compared, weights, stopped = result.compared, result.weights, result.stopped
    first = compared.first
    content = {
        "verdict": result.verdict,
        "text": str(result),
        "cause": result.cause,
        "notes": result.notes,
        "first": None if first is None else {**asdict(first), "relative": first.relative},
        "points": compared.points,
        "differing": compared.differing,
        "largest_relative": result.largest_relative,
        "tolerance": result.tolerance,
        "within": result.within,
        "over_time": {
            "steps": list(compared.steps),
            "largest": list(compared.steps.values()),
            "first_metric": [compared.first_metric.get(step) for step in compared.steps],
        },
        "parameters": {
            name: {"equal": one.equal, **asdict(one)} for name, one in weights.parameters.items()
        },
        "first_parameter": weights.first,
        "weights": weights.damage,
        "hashes": {tag: {**asdict(one), "equal": one.equal} for tag, one in result.hashes.items()},
        "stop": {
            **asdict(stopped),
            "equal": stopped.equal,
            "beyond": stopped.beyond,
        },
        "environment": [asdict(row) for row in result.environment],
        "facts": {"then": result.logged.environment, "now": facts},
        "original": {
            "run": result.logged.run,
            "mlflow": result.logged.mlflow,
            "name": result.logged.name,
        },
        "new": {"run": result.new, "name": name},
    }
    plain: dict[str, Any] = in_json(content)
    return plain


def keep(folder: Path, content: Mapping[str, Any]) -> list[Path]:
    """Write both files; their paths, to be synced before the record that rests on them."""
    atomic.write_soon(folder / JSON, json.dumps(content, indent=1).encode())
    atomic.write_soon(folder / HTML, html(content).encode(errors="replace"))
    return [folder / JSON, folder / HTML]

"""Several runs side by side: what they were given, what they measured, how they differ."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnlab.runs.journal import read, same
from nnlab.runs.past import ENVIRONMENT, JOURNAL, Past
from nnlab.runs.plain import Config, flatten
from nnlab.runs.run import HASHES
from nnlab.runs.summary import summary
from nnlab.training.repeats import CI95, SE

Curve = Mapping[float, float]
"""A metric's values over the epochs; a study's over the number of trials."""

_NOT_COMPARED = (SE, CI95, "time/", "epoch")


@dataclass(frozen=True)
class Side:
    """A run as it is compared: from its directory, or from what a tracker has."""

    run: str
    name: str
    kind: str
    state: str
    reason: str
    step: int
    params: Mapping[str, str]
    """Its config by dotted keys; a study's with those of its sweep."""
    curves: Mapping[str, Curve]
    """Of each metric."""
    hashes: Mapping[str, str]
    """The tags of HASHES that it has."""
    environment: Mapping[str, Any] | None
    """None where it was not kept."""

    @property
    def final(self) -> dict[str, float]:
        """The last value of each metric."""
        return {name: curve[max(curve)] for name, curve in self.curves.items() if curve}


def of_directory(path: Path) -> Side:
    """The run in that directory; raises `UserError` where it cannot be read."""
    told = summary(path)
    past = Past(read(path / JOURNAL))
    points = (
        (report.step if told["kind"] == "study" else report.epoch, name, value)
        for report in past.reports
        for name, value in report.metrics.items()
    )
    environment = path / ENVIRONMENT
    return Side(
        told["run"],
        told["name"],
        told["kind"],
        told["state"],
        told["reason"],
        told["step"],
        past.start["params"],
        _curves(points),
        _hashes(past.tags),
        json.loads(environment.read_text(encoding="utf-8")) if environment.exists() else None,
    )


def of_tracker(
    told: Mapping[str, Any],
    config: Config,
    points: Mapping[tuple[int, str], float],
    environment: Mapping[str, Any],
) -> Side:
    """The run of which a tracker has these points by (step, name) and, in `told`, the rest."""
    epochs = {step: value for (step, name), value in points.items() if name == "epoch"}
    return Side(
        told["run"],
        told["name"],
        told["kind"],
        told["state"],
        told["reason"],
        told["step"],
        dict(flatten(config)),
        _curves((epochs.get(step, step), name, value) for (step, name), value in points.items()),
        _hashes(told["tags"]),
        environment,
    )


def _curves(points: Iterator[tuple[float, str, float]]) -> dict[str, dict[float, float]]:
    curves: dict[str, dict[float, float]] = {}
    for at, name, value in points:
        if not name.startswith(_NOT_COMPARED):
            curves.setdefault(name, {})[at] = value
    return {name: dict(sorted(curve.items())) for name, curve in curves.items()}


def _hashes(tags: Mapping[str, str]) -> dict[str, str]:
    return {tag: tags[tag] for tag in HASHES if tag in tags}


@dataclass(frozen=True)
class Comparison:
    """Two or more sides. The first is what differences are taken from."""

    sides: Sequence[Side]

    @property
    def studies(self) -> bool:
        """Are they studies? (Then all of them are.)"""
        return self.sides[0].kind == "study"

    def config(self) -> dict[str, list[str | None]]:
        """Of each key of which not all have the same value: the values, None where it is absent."""
        every = dict.fromkeys(key for side in self.sides for key in side.params)
        values = {key: [side.params.get(key) for side in self.sides] for key in every}
        return {key: row for key, row in values.items() if len(set(row)) > 1}

    def final(self) -> dict[str, list[float | None]]:
        """The last value of every metric that any of them has."""
        every = dict.fromkeys(key for side in self.sides for key in side.final)
        return {key: [side.final.get(key) for side in self.sides] for key in every}

    def points(self) -> list[tuple[int, int]]:
        """For each side but the first: how many points both have or one has, and how many of them
        are equal to the last bit."""
        first = _points(self.sides[0])
        counts = []
        for side in self.sides[1:]:
            other = _points(side)
            every = first.keys() | other.keys()
            counts.append((len(every), sum(same(first.get(k), other.get(k)) for k in every)))
        return counts

    def hashes(self) -> dict[str, list[bool | None]]:
        """Of each hash, is each other side's that of the first? None where one has none."""
        first, *others = (side.hashes for side in self.sides)
        return {
            tag: [first[tag] == one[tag] if tag in first and tag in one else None for one in others]
            for tag in HASHES
            if any(tag in side.hashes for side in self.sides)
        }

    def shown(self) -> list[str]:
        """The metrics whose curves are shown: loss and score of validation, or a study's best."""
        names = dict.fromkeys(name for side in self.sides for name in side.curves)
        if self.studies:
            return list(names)
        kinds = ("validation/loss", "validation/accuracy", "validation/r2")
        return [name for kind in kinds for name in names if name.startswith(kind)]

    def common(self) -> list[float]:
        """The epochs (of studies: the numbers of trials) at which all of them were evaluated."""
        at = [{at for curve in side.curves.values() for at in curve} for side in self.sides]
        return sorted(set.intersection(*at))

    def curves(self) -> dict[str, list[list[float | None]]]:
        """Of each metric that is shown: each side's values at the common evaluations."""
        common = self.common()
        return {
            name: [[side.curves.get(name, {}).get(at) for at in common] for side in self.sides]
            for name in self.shown()
        }


def _points(side: Side) -> dict[tuple[str, float], float]:
    return {(name, at): value for name, curve in side.curves.items() for at, value in curve.items()}

"""What of a journal's records goes into MLflow, as plain values: params, tags, metric points.

MLflow makes infinity 1.8e308, and a metric whose last value is NaN has no chart. So a value that
is not finite goes into no curve: the tag `non_finite/<metric>` says "step:value" of each, and the
metric `non_finite` how many metrics were not finite at a step.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nnlab.data.leaks import leaks_of, told
from nnlab.runs.journal import Record, number
from nnlab.runs.owner import Owner
from nnlab.tracking import inputs
from nnlab.tracking.inputs import Input

NON_FINITE, LEAKS = "non_finite", "nnlab.leaks"
CUT = "... (cut; whole in the artifact "
"""How a value continues that is longer than MLflow's limit."""
_PARAM_LENGTH, _TAG_LENGTH = 6000, 8000  # MLflow cuts longer values without a word
LAST_WORDS = ("stop_reason", "nnlab.stop_rule", "nnlab.evidence")
"""The tags that say why a run ended, as long as it does not go on."""


@dataclass(frozen=True)
class Point:
    """A metric's value at a step, and when it was measured in milliseconds since 1970."""

    key: str
    value: float
    time: int
    step: int


@dataclass
class Entries:
    """What some records make; `revived` says that the run goes on after an end."""

    params: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    inputs: list[Input] = field(default_factory=list)
    others: dict[str, dict[str, str]] = field(default_factory=dict)
    """Tags of other runs, by their MLflow ids."""
    revived: bool = False


class Translation:
    """Translates a journal's records, in their order, a part at a time; any part also again."""

    def __init__(self) -> None:
        self._non_finite: dict[str, dict[int, str]] = {}

    def __call__(self, records: Sequence[Record]) -> Entries:
        """The entries of the records that come next."""
        entries = Entries()
        touched: set[str] = set()
        for record in records:
            match record["type"]:
                case "start":
                    entries.params |= {k: fitting_param(v) for k, v in record["params"].items()}
                case "report":
                    touched |= self._report(record, entries.points)
                case "data":
                    entries.inputs.append(inputs.of(record))
                    if "leaks" in record:
                        entries.tags[LEAKS] = told(leaks_of(record))
                case "tags":
                    entries.tags |= record["tags"]
                case "reproduced":
                    tags = {key: fitting_tag(value) for key, value in record["tags"].items()}
                    entries.others.setdefault(record["of"], {}).update(tags)
                case "resumed":
                    entries.tags |= Owner.of(record["owner"]).tags
                    entries.revived = True
        for key in sorted(touched):
            entries.tags[f"{NON_FINITE}/{key}"] = ",".join(
                f"{step}:{value}" for step, value in self._non_finite[key].items()
            )
        entries.tags = {key: fitting_tag(value) for key, value in entries.tags.items()}
        return entries

    def _report(self, record: Record, points: list[Point]) -> set[str]:
        """Add a report's finite values to `points`; the metrics that are not finite."""
        time, step = record["time"], record["step"]
        wrong = set()
        for key, value in {**record["metrics"], "time/seconds": record["seconds"]}.items():
            if math.isfinite(number(value)):
                points.append(Point(key, number(value), time, step))
            else:
                wrong.add(key)
                self._non_finite.setdefault(key, {})[step] = value
        if wrong:
            points.append(Point(NON_FINITE, len(wrong), time, step))
        return wrong


def last_words(end: Record) -> dict[str, str]:
    """The tags of a run that ended so."""
    values = (end["reason"], end["rule"], end.get("evidence"))
    words = zip(LAST_WORDS, values, strict=True)
    said = {key: fitting_tag(value) for key, value in words if value is not None}
    return {**said, "nnlab.status": end["status"]}


def non_finite(tag: str) -> list[tuple[int, float]]:
    """The points that a tag `non_finite/<metric>` says."""
    pairs = (pair.split(":") for pair in tag.split(","))
    return [(int(step), number(value)) for step, value in pairs]


def fitting_param(value: str) -> str:
    """A param's value, cut visibly to MLflow's limit."""
    return _fitting(value, _PARAM_LENGTH, "config.yaml")


def fitting_tag(value: str) -> str:
    """A tag's value, cut visibly to MLflow's limit."""
    return _fitting(value, _TAG_LENGTH, "journal.jsonl")


def batches(values: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The values in groups that fit a request of MLflow's: 100, and (in JSON) 1 MB with others."""
    group: dict[str, str] = {}
    length = 0
    for key, value in values.items():
        if group and (len(group) == 100 or length + len(value) > 50_000):
            yield group
            group, length = {}, 0
        group[key] = value
        length += len(value)
    if group:
        yield group


def _fitting(value: str, limit: int, artifact: str) -> str:
    return value if len(value) <= limit else f"{value[: limit - 100]}{CUT}{artifact})"

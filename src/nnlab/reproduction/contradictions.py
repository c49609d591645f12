"""Where what a tracker has of a run contradicts itself: somebody changed it, or lost a part.

The run's own record, journal.jsonl, is the reference: each of its lines has a checksum, and all
that MLflow shows was made from it. Each function makes a sentence of what says otherwise.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from math import isfinite
from typing import Any

from nnlab.reproduction.comparison import CALLED
from nnlab.reproduction.logged import Logged
from nnlab.reproduction.parameters import Weights
from nnlab.runs.journal import in_json, same
from nnlab.runs.plain import flatten
from nnlab.runs.run import PLUGINS
from nnlab.tracking.entries import NON_FINITE, fitting_param, fitting_tag

_SHOWN = 8
"""So many keys of one kind are named."""


def contradictions(logged: Logged, weights: Weights) -> Iterator[str]:
    """All of them; `weights` are the original's beside new ones."""
    yield from _config(logged)
    yield from _metrics(logged)
    yield from _several(logged)
    yield from _latest(logged)
    yield from _end(logged)
    yield from _tags(logged)
    yield from _weights(logged, weights)
    yield from _environment(logged)
    yield from _data(logged)
    if logged.damage:
        yield f"the run's own record in the tracker was changed or cut: {logged.damage}"


def _config(logged: Logged) -> Iterator[str]:
    """Does config.yaml say what the parameters and the journal say?"""
    file = dict(flatten(logged.config))
    start = logged.journal[0]["params"] if logged.journal else {}
    said = 0
    for key in sorted({*file, *logged.params, *start}):
        mine, shown, journal = file.get(key), logged.params.get(key), start.get(key)
        whole = fitting_param(mine) if mine is not None else None
        others = []
        if logged.params and shown != whole:
            others.append(f"MLflow's parameters say {_value(shown)}")
        if start and journal != mine:
            others.append(f"the run's own journal says {_value(journal)}")
        if others:
            said += 1
            if said <= _SHOWN:
                yield f"config.yaml says {key}={_value(mine)}, but {' and '.join(others)}"
    if said > _SHOWN:
        yield f"config.yaml says something else of {said - _SHOWN} more keys"


def _metrics(logged: Logged) -> Iterator[str]:
    """Has MLflow the metrics that the run's own journal has?"""
    mine = logged.journaled
    if not mine:
        return
    last = max(step for step, _ in mine)
    known = {key for key in logged.points if key[0] <= last or not logged.went_on}
    wrong = [
        key for key in sorted({*mine, *known}) if not same(logged.points.get(key), mine.get(key))
    ]
    if wrong:
        step, name = wrong[0]
        more = f", and {len(wrong) - 1} more points differ" if len(wrong) > 1 else ""
        yield (
            f"the tracker was changed: of {name} at step {step} MLflow says "
            f"{_value(logged.points.get(wrong[0]))} and the run's own journal "
            f"{_value(mine.get(wrong[0]))}{more}"
        )


def _several(logged: Logged) -> Iterator[str]:
    """Has MLflow several values of one metric at one step, of which it shows the latest?"""
    for (step, name), values in islice(logged.several.items(), _SHOWN):
        yield (
            f"the tracker was changed: of {name} at step {step} MLflow says "
            f"{' and '.join(map(_value, values))}"
        )


def _latest(logged: Logged) -> Iterator[str]:
    """Does MLflow's list of runs show the last finite value of each metric's history?"""
    if logged.latest is None:
        return
    history: dict[str, float] = {}
    wrong: dict[int, int] = {}
    for (step, name), value in sorted(logged.points.items()):
        if isfinite(value):
            history[name] = value
        else:
            wrong[step] = wrong.get(step, 0) + 1
    if wrong:
        history[NON_FINITE] = wrong[max(wrong)]
    for name in sorted({*history, *(n for n in logged.latest if not n.startswith("time/"))}):
        shown, last = logged.latest.get(name), history.get(name)
        if not same(shown, last):
            yield (
                f"the tracker was changed: as the last {name} MLflow shows {_value(shown)}, and "
                f"its history says {_value(last)}"
            )


def _end(logged: Logged) -> Iterator[str]:
    """Has MLflow the status that the journal has, and has that an end?"""
    if logged.journal and not logged.went_on and logged.end is None:
        yield "the run's own record in the tracker was cut: it does not say how the run ended"
    elif logged.end is not None and logged.status != logged.end["status"]:
        yield (
            f"the tracker was changed: as the run's status MLflow says {logged.status} and the "
            f"run's own journal {logged.end['status']}"
        )


def _tags(logged: Logged) -> Iterator[str]:
    """Has MLflow the tags that the journal has?"""
    for tag, mine in logged.journaled_tags.items():
        told = logged.tags.get(tag)
        if told != fitting_tag(mine):
            what = f"of the {CALLED[tag]} " if tag in CALLED else ""
            yield (
                f"the tracker was changed: {what}MLflow says {tag}={_value(told)} and the "
                f"run's own journal {_value(mine)}"
            )


def _weights(logged: Logged, weights: Weights) -> Iterator[str]:
    """Are the hashes that MLflow and the journal have those of the weights that it has?"""
    for tag in CALLED:
        told, file = logged.tags.get(tag), weights.original.get(tag)
        agreed = logged.journaled_tags.get(tag) in (None, told)
        if agreed and told is not None and file is not None and told != file:
            yield (
                f"the tracker was changed: its weights.npz is not that of the run, whose tag {tag} "
                f"is {told}; the file's is {file}"
            )
    if logged.tags.get("nnlab.weights_sha256") and weights.damage and logged.weights:
        yield f"the tracker's weights.npz was changed or damaged: {weights.damage}"


def _environment(logged: Logged) -> Iterator[str]:
    """Does environment.json say what the tags of the run's beginning say?"""
    facts = logged.environment
    git, plugins = (_map(facts.get(key)) for key in ("git", "plugins"))
    file = {
        "nnlab.version": facts.get("nnlab"),
        "nnlab.git_commit": git.get("commit"),
        "nnlab.git_dirty": git.get("dirty"),
        PLUGINS: ", ".join(plugins),
    }
    tags = logged.journal[0]["tags"] if logged.journal else logged.tags
    for tag, value in file.items():
        said = tags.get(tag, "" if tag == PLUGINS else None)
        if said is not None and fitting_tag(str(value)) != fitting_tag(said):
            yield f"environment.json says {tag[6:]}={_value(value)}, but the run's tags say {said}"


def _data(logged: Logged) -> Iterator[str]:
    """Does data.json say what the journal says of the data?"""
    if not logged.journal:
        return
    found = [record for record in logged.journal if record["type"] == "data"]
    head = ("crc", "n", "time", "type")
    said = {key: value for key, value in found[-1].items() if key not in head} if found else {}
    for key, mine, other in islice(_differing(in_json(logged.data or {}), said), _SHOWN):
        yield (
            f"data.json says {key}={_value(mine)}, but the run's own journal says {_value(other)}"
        )


def _differing(
    one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Each dotted key whose value is another one, with both."""
    for key in sorted({*one, *other}):
        mine, theirs = one.get(key), other.get(key)
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            yield from _differing(mine, theirs, f"{prefix}{key}.")
        elif mine != theirs:
            yield f"{prefix}{key}", mine, theirs


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _value(value: object) -> str:
    return "nothing" if value is None else str(value)[:200]

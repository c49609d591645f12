"""Why a reproduction differs: each function makes sentences of facts, and none of no reason."""

from collections.abc import Iterator, Mapping, Sequence

from nnlab.reproduction.comparison import Compared, Hash, Stopped
from nnlab.reproduction.environment import ABSENT, Row
from nnlab.reproduction.locating import difference
from nnlab.reproduction.logged import Logged

_CODE = ("code", "plugins.", "git.")
_SHOWN = 8
"""So many files or keys are named."""


def data(logged: Logged, hashes: Mapping[str, Hash]) -> Iterator[str]:
    """Are the data others?"""
    found = hashes.get("nnlab.data_sha256")
    if found is not None and found.now is not None:
        said = difference(logged.data, found.then, found.now)
        if said is not None:
            yield f"the data are others: {said}"


def code(environment: Sequence[Row], files: Sequence[str] | None) -> Iterator[str]:
    """Is the program another one?"""
    rows = {row.key: row for row in environment if row.can_change_bits}
    if "code" in rows or any(key.startswith("git.") for key in rows):
        if files:
            more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
            which = f"what differs: {', '.join(files[:_SHOWN])}{more}"
        else:
            which = "git cannot tell which files"
        sure = "is" if "code" in rows else "may be"
        yield f"the code {sure} another ({which})"
    for key in dict.fromkeys(k.split(".")[1] for k in rows if k.startswith("plugins.")):
        yield f"the plugin {key} is another, or is there on one side alone"


def environment(rows: Sequence[Row]) -> Iterator[str]:
    """What differs around the program that can change bits."""
    for row in rows:
        if not row.can_change_bits or row.key.startswith(_CODE):
            continue
        key = row.key.rpartition(".")[2]
        if row.key.startswith("blas.") and ABSENT in (row.then, row.now):
            yield f"BLAS: {key} was {row.then} then and is {row.now} now"
        elif row.key.startswith("blas.") and key == "num_threads":
            yield f"BLAS had {row.then} threads then and has {row.now} now (runtime.threads)"
        elif row.key.startswith("blas.") and key == "architecture":
            yield (
                f"BLAS had the kernel {row.then} then and has {row.now} now "
                "(runtime.kernel=portable has the same on every processor with AVX2)"
            )
        elif row.key.startswith("blas."):
            yield f"BLAS: {key} was {row.then} then and is {row.now} now"
        else:
            yield f"{key} was {row.then} then and is {row.now} now ({row.why})"


def batches(hashes: Mapping[str, Hash], *, known: bool) -> Iterator[str]:
    """Is the order of batches another one, and does nothing that is known explain it?"""
    found = hashes.get("nnlab.batches_sha256")
    if found is not None and found.equal is False:
        yield "the order of batches is another one" + (
            "" if known else ", though seeds, data and code are the same"
        )


def beyond(stopped: Stopped) -> Iterator[str]:
    """Did the new run not end where and as the original did?"""
    then, now = stopped.then, stopped.now
    if stopped.beyond:
        yield (
            f"it went on beyond step {then.step}, where the original was ended by {then.rule}, "
            "and was stopped"
        )
    elif then.step > now.step:
        yield f"it ended at step {now.step} by {now.rule}, and the original at step {then.step}"
    elif not stopped.equal and then.step == now.step:
        yield (
            f"it ended by {now.rule} ({now.reason}), and the original by {then.rule} "
            f"({then.reason})"
        )


def unknown(logged: Logged, compared: Compared, rows: Sequence[Row]) -> Iterator[str]:
    """What can be said where nothing that was recorded differs."""
    where = ""
    if compared.first is not None:
        first = compared.first.step
        where = (
            "; it differs from the first evaluation on: look at the initial weights and the data"
            if first == min(step for step, _ in logged.points)
            else f"; the evaluations before step {first} are equal, so that the data and the "
            "initial weights are the same"
        )
    if logged.journal is None:
        why = logged.not_compared or "the tracker has no journal.jsonl"
        where += f"; {why}, to compare its metrics with"
    unknown_rows = [row.key for row in rows if row.can_change_bits is None]
    if unknown_rows:
        where += f"; not known is {', '.join(unknown_rows[:_SHOWN])}"
    yield (
        "nothing that was recorded differs: the tracker may have been changed in all places, or "
        f"something that is not recorded, or not deterministic, is another{where}"
    )

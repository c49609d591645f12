"""Checkpoints: the whole state of a training on disk, to go on from to the same bits.

A folder holds the last two, each an `.npz` file of named arrays. The name says the step and begins
the SHA-256 of the content, so a file that is not what was written is known by its name. Batches,
masks and searches are functions of (seed, step): there is no generator's state to keep.
"""

import io
import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from nnlab.core.arrays import Array, State
from nnlab.core.laws import LawError, shortened
from nnlab.core.layout import Layout
from nnlab.errors import UserError, first_line
from nnlab.runs import atomic
from nnlab.runs.past import first_difference
from nnlab.training.pause import Pause
from nnlab.training.state import TrainingState
from nnlab.training.trainer import Training

KEPT = 2
PARTS = ("config", "weights", "statistics", "data")
"""What a state belongs to."""
_NAME = re.compile(r"step-(\d{12})-([0-9a-f]{16})\.npz")
_INTERVAL = re.compile(r"(?P<number>\d+(\.\d+)?) *(?P<unit>seconds?|minutes?|epochs?|steps?)")


@dataclass(frozen=True)
class Interval:
    """How often a checkpoint is made: after that many steps, epochs or seconds, or never."""

    steps: float = math.inf
    epochs: float = math.inf
    seconds: float = math.inf

    @classmethod
    def parse(cls, text: str, field: str) -> "Interval":
        """The interval that `text` says; raises `LawError` about `field`."""
        if text.strip() == "never":
            return cls()
        match = _INTERVAL.fullmatch(text.strip())
        if match is None or not 0 < float(match["number"]) < 1e12:
            raise LawError(
                f'{field} must be an interval above zero such as "30 seconds", "5 epochs" or '
                f'"1000 steps", or "never", but got {field}={shortened(repr(text))}',
                field,
            )
        number, unit = float(match["number"]), match["unit"].rstrip("s")
        return cls(seconds=60 * number) if unit == "minute" else cls(**{f"{unit}s": number})

    def schedule(self, pause: Pause, now: float, step: int, steps_per_epoch: int) -> None:
        """Set the pause at which the next checkpoint is due."""
        pause.at = now + self.seconds
        wanted = min(self.steps, self.epochs * steps_per_epoch)
        pause.step = step + max(1, round(wanted)) if math.isfinite(wanted) else math.inf


def save(folder: Path, training: Training, state: TrainingState, config: Mapping[str, str]) -> Path:
    """Write a checkpoint: aside, synced, renamed, the folder synced. The last two stay."""
    about = {**_about(training, config), "step": state.step}
    about |= {"reports": state.reports, "seconds": state.seconds}
    buffer = io.BytesIO()
    np.savez(buffer, about=np.array(json.dumps(about)), **dict(_arrays(state)))  # type: ignore[arg-type]
    content = buffer.getbuffer()
    folder.mkdir(exist_ok=True)
    path = folder / f"step-{state.step:012}-{sha256(content).hexdigest()[:16]}.npz"
    atomic.write(path, content)
    files = _files(folder)
    for other in {*folder.iterdir()} - {*files[files.index(path) :][:KEPT]}:
        other.unlink()  # an older one, a newer one that could not be read, what a crash left
    return path


def restore(
    folder: Path,
    training: Training,
    state: TrainingState,
    config: Mapping[str, str],
    reported: int,
) -> list[str]:
    """Put the newest checkpoint that can be read into `state`, a fresh one, which stays as it is if
    there is none. Returns what is wrong with newer ones. The journal has `reported` reports.

    Raises `UserError`, with the first difference, if it is of another config or another network,
    or if there are checkpoints and none can be read.
    """
    damaged: list[str] = []
    for path in _files(folder):
        try:
            about, arrays = _read(path)
            if about["reports"] > reported:
                raise ValueError(f"it follows {about['reports']} reports of {reported}")
        except (ValueError, OSError) as error:
            damaged.append(f"checkpoint {path.name} cannot be used: {error}")
            continue
        _check(path, about, _about(training, config))
        _fill(path, state, arrays)
        state.step, state.reports, state.seconds = (
            about[key] for key in ("step", "reports", "seconds")
        )
        return damaged
    if damaged:
        raise UserError(f"{'; '.join(damaged)}; without {folder} the run begins again")
    return damaged


def _files(folder: Path) -> list[Path]:
    """The checkpoints, the newest first."""
    return sorted((path for path in folder.glob("*") if _NAME.fullmatch(path.name)), reverse=True)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """What a checkpoint holds; raises `ValueError` if it is not what was written."""
    content = path.read_bytes()
    match = _NAME.fullmatch(path.name)
    if match is None or sha256(content).hexdigest()[:16] != match[2]:
        raise ValueError(f"its {len(content):,} bytes are not those that were written")
    try:
        _check_stored(content)
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays.pop("about")))
        _check_about(about)
    except Exception as error:  # of somebody who knows how it is named; NumPy raises what it likes
        raise ValueError(f"it is no checkpoint: {first_line(error)}") from error
    return about, arrays


def _check_stored(content: bytes) -> None:
    """Raise unless its arrays are there as they are: what is compressed may need any memory."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > len(content):
                raise ValueError(f"{info.filename!r:.80} is compressed")


def _check_about(about: Any) -> None:
    """Raise unless it says how far the training had come, and what it belongs to."""
    counts = all(type(about[key]) is int and about[key] >= 0 for key in ("step", "reports"))
    seconds = about["seconds"]
    if not (counts and isinstance(seconds, int | float) and 0 <= seconds < math.inf):
        raise ValueError("step and reports must be counts, and seconds a time")
    if not all(isinstance(about[part], dict) for part in PARTS):
        raise ValueError(f"it must say mappings of {', '.join(PARTS)}")


def _about(training: Training, config: Mapping[str, str]) -> dict[str, Any]:
    """What a state belongs to, by `PARTS`."""
    network = training.network
    where = ("store", "tracking.")
    return {
        "config": {key: value for key, value in config.items() if not key.startswith(where)},
        "weights": _shapes(network.layout),
        "statistics": _shapes(network.buffers),
        "data": {"fingerprint": training.splits.fingerprint},
    }


def _shapes(layout: Layout) -> dict[str, str]:
    """Every array of a layout, in its order: where it stands and its shape."""
    return {name: f"{slot.start}:{slot.stop} {slot.shape}" for name, slot in layout.slots.items()}


def _check(path: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for part in now:
        difference = first_difference(then[part], now[part])
        if difference:
            raise UserError(f"checkpoint {path.name} is of another training: {part} {difference}")


def _parts(state: TrainingState) -> Iterator[tuple[str, State]]:
    """The states in a training's state, by name."""
    yield "optimizer", state.optimizer
    yield "averaging", state.averaging
    yield "averaging_buffers", state.averaging_buffers
    yield "schedule", state.schedule
    for k, memory in enumerate(state.rules):
        yield f"rules/{k}", memory


def _arrays(state: TrainingState) -> Iterator[tuple[str, Array]]:
    yield "theta", state.theta
    yield "buffers", state.buffers
    yield "batches", state.batches
    for name, part in _parts(state):
        for key, array in part.items():
            yield f"{name}/{key}", np.asarray(array)


def _fill(path: Path, state: TrainingState, arrays: Mapping[str, Array]) -> None:
    """Put the arrays where those of `state` are, each of the same name, dtype and shape."""
    then, now = (
        {name: f"{array.dtype} {array.shape}" for name, array in side}
        for side in (arrays.items(), _arrays(state))
    )
    difference = first_difference(then, now)
    if difference:
        raise UserError(f"checkpoint {path.name} is of another training: {difference}")
    state.theta, state.buffers, state.batches = (
        arrays[name] for name in ("theta", "buffers", "batches")
    )
    for name, part in _parts(state):
        for key in part:
            part[key] = arrays[f"{name}/{key}"]

"""Files are read once: the trainings of a process that are on the same data share what was read.

Folds, repetitions with other seeds and the checks before a training each ask their source anew.
"""

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from nnlab.data.dataset import Dataset
from nnlab.data.fingerprint import File, look
from nnlab.data.own import Own
from nnlab.data.sources.source import Source

PREPARING: dict[str, Any] = {
    "scale": "none",
    "test": 0.0,
    "split_seed": 0,
    "standardize_target": False,
}
"""Fields of sources that are of what becomes of the data, not of what is read."""
_last: dict[tuple[Source, tuple[File, ...]], Dataset] = {}
"""The data set that was read last."""


def once(source: Source, paths: Iterable[Path], read: Callable[[], Dataset]) -> Dataset:
    """What `read` reads from the files for `source`, read-only, or what it read there before.

    That is kept where the files are as they were, and had not just been changed: then they may be
    changed again without another time. It has the files and how they were read.
    """
    try:
        files = look(*paths)
    except (OSError, ValueError):
        return read()  # which says what is wrong with them
    key = _plain(source), files
    if (known := _last.get(key)) is not None:
        return known
    _last.clear()  # before memory is taken for another
    own = {key: Own.of(path, files) for key, path in source.own.items()}
    dataset = replace(read(), files=files, reading=repr(key[0]), own=own)
    for array in (dataset.x, dataset.y, dataset.weights, dataset.parts):
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    if not any(file.racy for file in files):
        _last[key] = dataset
    return dataset


def _plain(source: Source) -> Source:
    """The same source, for all that is read."""
    has = {field.name for field in fields(source)}
    return replace(source, **{name: one for name, one in PREPARING.items() if name in has})

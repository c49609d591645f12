"""What a run says of its data: a record of its journal, and the files that tell the same.

`data.json` is that record for people and programs; `preparation.npz` holds what the steps of the
preparation learnt from the training part, as arrays by name.
"""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnlab.core.arrays import Array
from nnlab.data.about import counted
from nnlab.data.dataset import Splits
from nnlab.runs import atomic
from nnlab.runs.plain import Config

DATA, PREPARATION = "data.json", "preparation.npz"
NAMED = 100
"""So many names of features, and of classes with their counts, are told; the rest is counted."""


def described(config: Config, splits: Splits) -> dict[str, Any]:
    """What is told of the data of one training, as plain data."""
    about, trained = splits.about, len(splits.train.y)
    path = config["data"].get("path")
    return {
        "name": Path(path).name if isinstance(path, str) and path else config["data"]["name"],
        "origin": about.origin,
        "files": about.files,
        "read_from": {key: own.plain for key, own in about.own.items()},
        "fingerprint": splits.fingerprint,
        "examples": about.inputs[0],
        "inputs": {
            "shape": list(about.inputs[1:]),
            "dtype": about.dtype,
            "named": len(about.names),
            "names": list(about.names[:NAMED]),
            "kinds": list(about.kinds[:NAMED]),
        },
        "targets": {"shape": list(about.targets[1:]), "dtype": about.target_dtype},
        "classes": {"number": len(splits.classes), "names": list(splits.classes[:NAMED])},
        "parts": {
            part: {"examples": size, "classes": list(about.counts[part][:NAMED])}
            for part, size in about.sizes.items()
        },
        "leaks": None
        if about.leaks is None
        else {
            part: {"same_target": found.same, "another_target": found.another}
            for part, found in about.leaks.items()
        },
        "preparation": list(about.steps),
        "trained": {
            "examples": trained,
            "classes": list(counted(splits.train.y, len(splits.classes))[:NAMED]),
            "features": splits.train.x.shape[1],
        },
    }


def shared(descriptions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is told of the data of several trainings: all that is the same of each."""
    first, *others = descriptions
    return {key: value for key, value in first.items() if all(one[key] == value for one in others)}


def keep(folder: Path, description: Mapping[str, Any], fitted: Mapping[str, Array]) -> list[Path]:
    """Write the files to a run's folder, each whole or not at all; those that are to be synced
    before the record that says so (`data.json` tells the same as that record)."""
    lines = (
        f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
        for key, value in description.items()
    )
    atomic.write_soon(folder / DATA, "{{\n{}\n}}\n".format(",\n".join(lines)).encode())
    if not fitted:
        return []
    content = io.BytesIO()
    np.savez(content, **fitted)  # type: ignore[arg-type]
    atomic.write_soon(folder / PREPARATION, content.getbuffer())
    return [folder / PREPARATION]

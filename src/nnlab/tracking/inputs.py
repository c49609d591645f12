"""A run's data as MLflow keeps an input of a run, in plain values: name, digest, source, schema.

Schema and profile are what `mlflow.data.from_pandas` makes of features that have names, and
`mlflow.data.from_numpy` of others. Imports no NumPy.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from nnlab.runs.journal import Record

DIGEST = 12
"""So many characters of the fingerprint are shown beside the name: MLflow has room for 36, its
tables for fewer."""
CONTEXT = "mlflow.data.context"
_TYPES = {"float64": "double", "float32": "float", "int64": "long", "uint8": "integer"}
_SOURCE_LENGTH = 2000


@dataclass(frozen=True)
class Input:
    """A data set as MLflow keeps it, and what the run does with it."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str
    profile: str
    tags: Mapping[str, str]


def of(data: Record) -> Input:
    """The input that a record `data` of a journal tells.

    The data set is the same for every run that reads the same content, so the sizes of the parts,
    which are the run's, are tags of the input.
    """
    origin = data["origin"][:_SOURCE_LENGTH]
    source = {"uri": origin} if origin else {"tags": {"mlflow.source.name": "nnlab"}}
    schema, profile = _columns(data) or _tensors(data)
    parts = {part: found["examples"] for part, found in data.get("parts", {}).items()}
    sizes = ", ".join(f"{part} {size}" for part, size in parts.items())
    tags = {CONTEXT: sizes or "training"} | {part: str(size) for part, size in parts.items()}
    return Input(
        data["name"],
        data["fingerprint"][:DIGEST],
        "local" if origin else "code",
        json.dumps(source),
        json.dumps(schema),
        json.dumps(profile),
        tags,
    )


def _columns(data: Record) -> tuple[Any, Any] | None:
    """Schema and profile of a table; None where not every column is known by name."""
    inputs, targets = data["inputs"], data["targets"]
    names = inputs["names"]
    if not names or len(names) < inputs["named"] or inputs["dtype"] not in _TYPES:
        return None
    kind, of_target = _TYPES[inputs["dtype"]], _TYPES[targets["dtype"]]
    several = prod(targets["shape"])
    wanted = ["target"] if several == 1 else [f"target_{k}" for k in range(several)]
    columns = [(kind, name) for name in names] + [(of_target, name) for name in wanted]
    schema = [{"type": kind, "name": name, "required": True} for kind, name in columns]
    rows = data["examples"]
    return {"mlflow_colspec": schema}, {"num_rows": rows, "num_elements": rows * len(columns)}


def _tensors(data: Record) -> tuple[Any, Any]:
    """Schema and profile of arrays."""
    import numpy as np

    schema, profile = {}, {}
    for name, part in (("features", data["inputs"]), ("targets", data["targets"])):
        tensor = {"dtype": part["dtype"], "shape": [-1, *part["shape"]]}
        schema[name] = json.dumps([{"type": "tensor", "tensor-spec": tensor}])
        shape = [data["examples"], *part["shape"]]
        profile[f"{name}_shape"] = shape
        profile[f"{name}_size"] = prod(shape)
        profile[f"{name}_nbytes"] = prod(shape) * np.dtype(part["dtype"]).itemsize
    return {"mlflow_tensorspec": schema}, profile

"""A trained model as a function of inputs: loaded from a run's directory, to predict.

    model = load(Path("mlruns/runs/1a2b3c4d5e6f"))
    model.predict(x)

It is made of `config.yaml`, `data.json`, `preparation.npz` and `weights.npz` alone: the config can
only name what the registry holds, arrays are read without pickle, and the data are not needed. A
model that is registered in MLflow is these files, and `mlflow.pyfunc.load_model` loads it here.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnlab.core.arrays import Array, Workspace
from nnlab.core.laws import LawError, law
from nnlab.core.layout import Layout
from nnlab.core.losses import BinaryCrossEntropy, CrossEntropy, Loss
from nnlab.core.model import Network
from nnlab.data.preparation import fitted
from nnlab.data.preparation.scaling import Affine
from nnlab.data.view import Transform, View
from nnlab.errors import UserError
from nnlab.runs.about import DATA, PREPARATION
from nnlab.runs.config import build
from nnlab.runs.past import CONFIG
from nnlab.runs.plain import Config
from nnlab.runs.plain import load as load_config
from nnlab.runs.run import WEIGHTS
from nnlab.runs.strict import load_json

FILES = (CONFIG, DATA, PREPARATION, WEIGHTS)
"""What a model is made of; there is no PREPARATION where nothing was learnt for it."""
LABEL, PROBABILITY, SCORE, VALUE = "label", "probability", "score", "value"
AVERAGED = "averaged/"
_LARGEST = 10_000_000
_ROWS = 1024


@dataclass(frozen=True)
class Predictor:
    """A network with its evaluation weights (the averaged ones), and all that is around it."""

    network: Network
    theta: Array
    buffers: Array
    loss: Loss
    shape: tuple[int, ...]
    """Of one input, as the data source gives it: `(features,)`, `(height, width)` or
    `(height, width, channels)`."""
    stored: np.dtype[Any]
    """The dtype of the inputs as the data source gives them."""
    features: tuple[Transform, ...]
    transforms: tuple[Transform, ...]
    arithmetic: np.dtype[Any]
    """That inputs are prepared in."""
    classes: tuple[str, ...]
    """The names of the labels; empty for regression."""
    target: Affine | None
    """How the targets of a regression were scaled."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what is predicted: label and probability (or score), or value."""
        if not self.classes:
            return (VALUE,)
        known = isinstance(self.loss, CrossEntropy | BinaryCrossEntropy)
        return LABEL, PROBABILITY if known else SCORE

    @property
    def width(self) -> int:
        """Columns of the probabilities, scores or values."""
        return len(self.classes) or int(self.network.layout.slots["output.bias"].shape[0])

    def predict(self, x: Any) -> dict[str, Array]:
        """What the model says of inputs `(m, *shape)` as the data source gives them: bytes of
        images, numbers that are not scaled yet.

        Of classes: `label`, their names `(m,)`, and `probability` `(m, classes)`: the softmax, or
        of binary cross-entropy the sigmoid of each class; for other losses the network's `score`.
        Of a regression: `value` `(m, targets)` in the units of the data. Raises `LawError` where
        x has another shape, or no row.
        """
        z = self._scores(self._prepared(np.asarray(x)))
        if not self.classes:
            values = z.astype(np.float64)
            if self.target:
                values = values * self.target.scale + self.target.shift
            return {VALUE: values}
        names = np.array(self.classes)
        label, how = self.outputs
        return {label: names[self.loss.decide(z)], how: self._of_classes(z.astype(np.float64))}

    def _prepared(self, x: Array) -> View:
        law("x has a row", x.ndim > 0 and len(x) > 0, x=x.shape)
        fits = x.shape[1:] == self.shape
        law(f"the shape of an input = {self.shape}", fits, x=x.shape[1:])
        of, rows = x, np.arange(len(x))
        if self.features:
            columns = [View(x, rows, (one,), np.float32)[:] for one in self.features]
            of = np.concatenate(columns, axis=1)
        return View(of, rows, self.transforms, self.arithmetic, self.theta.dtype)

    def _scores(self, x: View) -> Array:
        mode, work = self.network.mode(self.buffers), Workspace()
        starts = range(0, len(x), _ROWS)
        with np.errstate(all="ignore"):
            forward = (
                self.network.forward(self.theta, x[start : start + _ROWS], work, mode)
                for start in starts
            )
            return np.concatenate([trace[-1].copy() for trace in forward])  # it is a work array

    def _of_classes(self, z: Array) -> Array:
        """Probabilities or scores `(m, classes)`, one score of two classes being that of 1."""
        if isinstance(self.loss, CrossEntropy):
            exp = np.exp(z - z.max(axis=1, keepdims=True))
            return np.asarray(exp / exp.sum(axis=1, keepdims=True))
        if isinstance(self.loss, BinaryCrossEntropy):
            p = (1 + np.tanh(z / 2)) / 2
            return np.concatenate([1 - p, p], axis=1) if p.shape[1] == 1 else p
        return np.concatenate([np.zeros_like(z), z], axis=1) if z.shape[1] == 1 else z


def load(folder: Path) -> Predictor:
    """The model of the run in that directory.

    Raises `UserError` where a file is missing, damaged or says what nnlab does not know, and for
    more classes than `data.json` names.
    """
    config = load_config(folder / CONFIG)
    data = load_json(folder / DATA, _LARGEST)
    arrays = _arrays(folder / WEIGHTS)
    learnt = _arrays(folder / PREPARATION) if (folder / PREPARATION).exists() else {}
    try:
        return _predictor(config, data, arrays, learnt)
    except LawError as error:
        raise UserError(f"{folder.name} is no model: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder.name} is no model: {CONFIG} or {DATA} is not what nnlab writes ({error!r})"
        ) from error


def _load_pyfunc(path: str) -> Predictor:
    """What MLflow calls, by the name that it wants, to load a model of ours."""
    return load(Path(path))


def _predictor(
    config: Config, data: Config, arrays: Mapping[str, Array], learnt: Mapping[str, Array]
) -> Predictor:
    averaged = {
        key.removeprefix(AVERAGED): array
        for key, array in arrays.items()
        if key.startswith(AVERAGED)
    }
    classes = data["classes"]
    number, names = int(classes["number"]), tuple(map(str, classes["names"]))
    law(f"at most {len(names)} classes, so many are named", number == len(names), classes=number)
    law("weights.npz has output.bias", "output.bias" in averaged, weights=", ".join(averaged))
    inputs, outputs = int(data["trained"]["features"]), averaged["output.bias"].shape[-1]
    network: Network = build("model", config["model"]).build(inputs, outputs)
    dtype, stored = np.dtype(str(config["dtype"])), np.dtype(str(data["inputs"]["dtype"]))
    shape = tuple(map(int, data["inputs"]["shape"]))
    features = [
        build("features", {"name": name, **given}, f"features.{name}")
        for name, given in config["features"].items()
    ]
    steps: Sequence[str] = data["preparation"][len(features) :]
    on_disk = bool(config["data"].get("window"))
    floats = bool(features) or (stored != np.uint8 and not on_disk)
    return Predictor(
        network,
        _vector(network.layout, averaged, dtype),
        _vector(network.buffers, averaged, dtype),
        build("loss", config["loss"]),
        shape,
        stored,
        tuple(fitted.feature(one, learnt, shape) for one in features),
        tuple(fitted.transforms(steps, learnt)),
        np.dtype(np.float64) if floats else dtype,
        names,
        fitted.target_scale(learnt),
    )


def _vector(layout: Layout, arrays: Mapping[str, Array], dtype: np.dtype[Any]) -> Array:
    """The named arrays as one vector."""
    vector = np.zeros(layout.size, dtype)
    for name, view in layout.views(vector).items():
        law(f"weights.npz has {name}", name in arrays, weights=", ".join(arrays))
        array = arrays[name]
        fits = array.shape == view.shape and array.dtype == dtype
        law(f"{name} is {view.shape} of {dtype}", fits, weights=f"{array.shape} of {array.dtype}")
        view[...] = array
    return vector


def _arrays(path: Path) -> dict[str, Array]:
    """The arrays of an `.npz` file; raises `UserError` where it is none, or of objects."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path.name} cannot be read: {error}") from error

"""The registering process: a run's model becomes a version of a model in MLflow's registry.

    python -m nnlab.tracking.registration URI

A line of JSON, a `Wanted`, comes on standard input; one with the version, and whether it is new,
goes to standard output. A line that says what is wrong goes to standard error, with exit code 2.

The model's files are artifacts of its run, `MLmodel` the last of them; then the version is created
with its tags, in one call. So whatever ends this process, it can be done again: files that are
there whole are left alone, and a run that is a version already is not made another one.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import numpy as np
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import Schema, TensorSpec

from nnlab import serving
from nnlab.errors import UserError, first_line
from nnlab.tracking.sent import claim, complete, sent
from nnlab.tracking.store import Store

FOLDER, LAST = "model", "MLmodel"
"""Where the model is among the run's artifacts, and the file of it that comes last."""
RUN = "nnlab.run"
"""The tag that says which run a version is of."""
_EXISTS = "RESOURCE_ALREADY_EXISTS"


@dataclass(frozen=True)
class Wanted:
    """What is to be registered: the run in a directory, under a name."""

    path: Path
    name: str
    tags: Mapping[str, str]
    description: str


@dataclass(frozen=True)
class Registered:
    """The version that a run is; `new` if it was made now."""

    version: int
    new: bool


def register(store: Store, wanted: Wanted) -> Registered:
    """Make the run a version of the model, unless it is one.

    Raises `UserError` where MLflow has not all of the run, or another process sends it.
    """
    claimed = claim(wanted.path)
    if claimed is None:
        raise UserError(f"run {wanted.path.name} is being sent to MLflow; try again")
    with claimed:
        run = sent(wanted.path, store.uri).run
        if not store.reachable():
            raise UserError(f"{store.uri} does not answer")
        if not complete(wanted.path, store.uri) or not store.has(run):
            raise UserError(
                f"run {wanted.path.name} is not completely in {store.uri}: `nnlab sync` sends it"
            )
        client = MlflowClient(store.uri, store.uri)  # its own registry, whatever the environment
        found = _version_of(client, wanted)
        if found is not None:
            return Registered(int(found.version), new=False)
        _upload(client, run, wanted.path)
        _name(client, wanted.name)
        made = client.create_model_version(
            wanted.name,
            f"runs:/{run}/{FOLDER}",  # so it is found also when the store was moved
            run,
            {RUN: wanted.path.name, **wanted.tags},
            description=wanted.description,
        )
        return Registered(int(made.version), new=True)


def _name(client: MlflowClient, name: str) -> None:
    """Make the registered model, unless it is there."""
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != _EXISTS:
            raise


def _version_of(client: MlflowClient, wanted: Wanted) -> ModelVersion | None:
    condition = f"name = '{wanted.name}' AND tags.`{RUN}` = '{wanted.path.name}'"
    return next(iter(client.search_model_versions(condition)), None)


def _upload(client: MlflowClient, run: str, path: Path) -> None:
    """Have the model among the run's artifacts, whole."""
    if any(one.path == f"{FOLDER}/{LAST}" for one in client.list_artifacts(run, FOLDER)):
        return
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / FOLDER
        write(folder, path, run)
        last = (folder / LAST).rename(Path(temporary) / LAST)
        client.log_artifacts(run, str(folder), FOLDER)
        client.log_artifact(run, str(last), FOLDER)


def write(folder: Path, path: Path, run: str) -> None:
    """Write the model of the run in `path` as MLflow's, to a folder that is not there yet.

    Its example is one input of zeros: nobody's data go with a model.
    """
    from mlflow.pyfunc import save_model  # to import it warns, of MLflow's own affairs

    model = serving.load(path)
    example = np.zeros((1, *model.shape), model.stored)
    with TemporaryDirectory() as temporary:
        data = Path(temporary) / "run"
        data.mkdir()
        for name in serving.FILES:
            if (path / name).exists():
                shutil.copy(path / name, data)
        save_model(
            folder,
            loader_module=serving.__name__,
            data_path=str(data),
            mlflow_model=Model(run_id=run),
            signature=_signature(model),
            input_example=example,
            pip_requirements=[
                f"nnlab{'[features]' * bool(model.features)}=={version('nnlab')}",
                *(f"{name}=={version(name)}" for name in ("numpy", "mlflow")),
            ],
        )


def _signature(model: serving.Predictor) -> ModelSignature:
    numbers = np.dtype(np.float64)
    kinds = {serving.LABEL: TensorSpec(np.dtype(str), (-1,), serving.LABEL)}
    outputs = [
        kinds.get(name) or TensorSpec(numbers, (-1, model.width), name) for name in model.outputs
    ]
    return ModelSignature(
        Schema([TensorSpec(model.stored, (-1, *model.shape))]), Schema([*outputs])
    )


def main() -> None:
    """The process."""
    os.environ["MLFLOW_UV_AUTO_DETECT"] = "false"  # or MLflow copies a uv.lock that lies about
    said = json.loads(sys.stdin.readline())
    out, sys.stdout = sys.stdout, sys.stderr  # MLflow prints there too
    try:
        wanted = Wanted(**{**said, "path": Path(said["path"])})
        done = register(Store(sys.argv[1], wanted.path.parents[1] / "artifacts"), wanted)
    except UserError as error:
        _fail(str(error))
    except Exception as error:  # whatever MLflow, its registry or its server raises
        _fail(f"{sys.argv[1]} did not register it: {first_line(error)}")
    print(json.dumps(vars(done)), file=out)


def _fail(what: str) -> NoReturn:
    print(what, file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()

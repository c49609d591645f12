import json
import subprocess
import sys

import numpy as np
import pytest

from nnlab.data.sources.bundled import BreastCancer, Diabetes, Digits, Iris
from nnlab.runs.about import described
from nnlab.tracking.inputs import CONTEXT, DIGEST, of

IMAGES = np.arange(6 * 3 * 5, dtype=np.uint8).reshape(6, 3, 5)
FROM_MLFLOW = """
import json, sys
import mlflow.data, numpy, pandas
with numpy.load(sys.argv[1]) as file:
    x, y = file["x"], file["y"]
names = json.loads(sys.argv[2])
if names:
    table = pandas.DataFrame(x, columns=names)
    table["target"] = y[:, 0] if y.ndim == 2 else y
    made = mlflow.data.from_pandas(table)
else:
    made = mlflow.data.from_numpy(x, targets=y)
print(json.dumps(made.to_dict()))
"""


def told(source):
    return described({"data": {"name": source.name}}, source.split())


def of_mlflow(x, y, names, folder):
    """What MLflow's own classes make of the data."""
    np.savez(folder / "data.npz", x=x, y=y)
    command = [sys.executable, "-W", "ignore", "-c", FROM_MLFLOW, str(folder / "data.npz")]
    done = subprocess.run([*command, json.dumps(names)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("source", [Iris(), Digits(), Diabetes()], ids=lambda one: one.name)
def test_schema_and_profile_are_mlflow_s_own(source, tmp_path):
    dataset, made = source.load(), of(told(source))
    expected = of_mlflow(dataset.x, dataset.y, list(dataset.names), tmp_path)
    assert json.loads(made.schema) == json.loads(expected["schema"])
    assert json.loads(made.profile) == json.loads(expected["profile"])


def test_images_are_tensors(tmp_path):
    data = told(Iris()) | {
        "examples": 6,
        "inputs": {"shape": [3, 5], "dtype": "uint8", "named": 0, "names": [], "kinds": []},
    }
    expected = of_mlflow(IMAGES, np.zeros(6, np.int64), [], tmp_path)
    assert json.loads(of(data).schema) == json.loads(expected["schema"])
    assert json.loads(of(data).profile) == json.loads(expected["profile"])


def test_columns_that_are_not_all_named_are_a_tensor():
    data = told(BreastCancer())
    assert "mlflow_colspec" in json.loads(of(data).schema)
    data["inputs"]["named"] = 300
    assert "mlflow_tensorspec" in json.loads(of(data).schema)


def test_what_the_run_does_with_the_data_are_tags_of_the_input():
    made = of(told(Iris()))
    assert made.tags == {
        CONTEXT: "train 102, validation 24, test 24",
        "train": "102",
        "validation": "24",
        "test": "24",
    }
    assert (made.name, made.digest) == ("iris", told(Iris())["fingerprint"][:DIGEST])


def test_a_run_of_several_trainings_has_no_sizes():
    data = told(Iris())
    del data["parts"]
    assert of(data).tags == {CONTEXT: "training"}


def test_data_of_files_have_them_as_their_source():
    data = told(Iris())
    assert of(data).source_type == "code"
    made = of({**data, "origin": "/data/mnist"})
    assert (made.source_type, json.loads(made.source)) == ("local", {"uri": "/data/mnist"})
    assert len(of({**data, "origin": "x" * 10**6}).source) < 65_535

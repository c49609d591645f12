"""Bad input: exit code 2, one line that says what is wrong and where, and nothing left behind."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

NNLAB = Path(sys.executable).with_name("nnlab")
SHOW = "`nnlab train --cfg job` shows the keys"
MLFLOW = "tracking=mlflow"  # where nothing is to be tracked before the input is checked
TABLE = {
    "an unknown key": (
        ["optimizer.lrr=1"],
        f"optimizer.lrr is not a key of the config (did you mean optimizer.lr?); {SHOW}",
    ),
    "an unknown group": (
        ["optimzer=sgd"],
        f"optimzer is not a key of the config (did you mean optimizer?); {SHOW}",
    ),
    "an unknown choice": (
        ["model=mpl"],
        "model has no choice mpl (did you mean mlp?); the choices are linear, mlp",
    ),
    "out of range": (["optimizer.lr=-1"], "`lr > 0` must hold, but got lr=-1.0 (optimizer.lr)"),
    "not a number": (
        ["optimizer.lr=abc"],
        "optimizer.lr must be a number, but got optimizer.lr='abc'",
    ),
    "out of a closed range": (
        ["averaging.decay=1.5"],
        "`0 <= decay < 1` must hold, but got decay=1.5 (averaging.decay)",
    ),
    "parts that do not fit": (
        ["data=diabetes", "loss=hinge"],
        "the loss needs class labels, but the data have regression targets; "
        "choose loss=mse or other data (loss=hinge, data=diabetes)",
    ),
    "a bad number in a list": (
        ["model.hidden=[0]"],
        "`every width in hidden >= 1` must hold, but got hidden=[0] (model.hidden)",
    ),
    "zero": (["batch_size=0"], "`batch_size >= 1` must hold, but got batch_size=0"),
    "a name that is not registered": (
        ["optimizer.name=os.system"],
        "optimizer.name must be one of adadelta, adagrad, adam, adamw, lbfgs, lion, momentum, "
        "nadam, nag, random_local_search, random_search, rmsprop, sgd, "
        "but got optimizer.name='os.system'",
    ),
    "no choice of a group": (
        ["optimizer=null"],
        "Config group override must be a string or a list. Got NoneType (",
    ),
    "no rule ends it": (["stopping=[]"], "the config has no stopping"),
    "no such config": (["--config-name=nothere"], "Cannot find primary config 'nothere'"),
    "no such experiment": (["+experiment=nothere"], "experiment has no choice nothere; "),
    "a store that cannot be": (
        ["store=/dev/null/x"],
        "store must be a folder that can be written, but /dev/null/x/runs cannot be: "
        "Not a directory (store)",
    ),
    "a tracking server that cannot be": (
        [MLFLOW, "tracking.uri=foo://bar"],
        "uri must be a database (sqlite:///mlruns/mlflow.db) or a server (http://127.0.0.1:5000), "
        "but got uri='foo://bar' (tracking.uri)",
    ),
    "an experiment's name that leaves the store": (
        [MLFLOW, "tracking.experiment=../x"],
        "experiment must be letters, digits and - _ . or spaces, beginning with a letter or digit, "
        "but got experiment='../x' (tracking.experiment)",
    ),
    "no override": (["seed=["], "'seed=[' is not an override: "),
    "a formula without quotes": (
        ["data=formula", "data.formula=log(x1)"],
        "'data.formula=log(x1)' is not an override: Error parsing override 'data.formula=log(x1)'; "
        "a text with parentheses has quotes of its own: 'data.formula=\"log(x1)\"'",
    ),
    "bytes that are no text": (
        ["data=images", b'data.path="\xff"'],
        "'data.path=\"\\udcff\"' is not",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("errors")


def answers(folder, *more):
    """What each row of the table says, two processes at a time."""

    def ask(arguments):
        tracking = [] if MLFLOW in arguments else ["tracking=none"]
        command = [NNLAB, "train", *more, *tracking, *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(2) as threads:
        return dict(zip(TABLE, threads.map(ask, [row[0] for row in TABLE.values()]), strict=True))


@pytest.fixture(scope="module")
def said(folder):
    return answers(folder)


@pytest.fixture(scope="module")
def said_with_debug(folder):
    return answers(folder, "--debug")


@pytest.mark.parametrize(("name", "message"), {k: v[1] for k, v in TABLE.items()}.items())
def test_bad_input_is_refused_in_one_line(said, name, message):
    done = said[name]
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"nnlab: {message}")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_bad_input_leaves_nothing_behind(said, folder):
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_debug_shows_the_traceback_of_bad_input(said_with_debug, name):
    done = said_with_debug[name]
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert re.search(r"^nnlab\.[a-z.]+\.\w+Error: ", done.stderr, re.MULTILINE)

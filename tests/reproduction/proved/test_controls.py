"""Negative controls: one thing is another one, and the reproduction says so and names it.

Each has a run of its own, all of the same experiment, and beside them is one that nobody touched:
it is identical.
"""

import json
import math
import os
import platform
import re
import shutil
from contextlib import closing
from hashlib import sha256
from sqlite3 import connect

import numpy as np
import pytest
import yaml

pytestmark = pytest.mark.slow

SHORT = ("seed=7", "model.hidden=[16]", "stopping.max_epochs.epochs=2")
OWN = ("data=table", "data.target=kind", "data.test=0.2", "stopping.max_epochs.epochs=2")
EDITS = {  # one line of one file
    "untouched sources": ("core/optimizers.py", "", ""),
    "a line of the arithmetic": (
        "core/optimizers.py",
        "        velocity -= grad\n        theta += velocity\n",
        "        velocity -= np.float32(1.0000001) * grad\n        theta += velocity\n",
    ),
    "a line that computes nothing": ("core/optimizers.py", "", "# another line\n"),
    "the order of batches": ("data/batches.py", "ORDER = 1\n", "ORDER = 2\n"),
}
OTHER_KERNEL = """
import os
os.environ["OPENBLAS_CORETYPE"] = "Nehalem"
from nnlab.cli import main
from nnlab.runs import runtime
runtime.pin_kernel = lambda kernel: None
main()
"""


def replaced(file, pattern, by):
    """Change what the pattern finds in a file; it must be there."""
    text, found = re.subn(pattern, by, file.read_text(), flags=re.MULTILINE)
    assert found, f"{pattern} is not in {file.name}"
    file.write_text(text)


def one_ulp(lab, logged):
    file = logged.artifacts / "config.yaml"
    lr = yaml.safe_load(file.read_text())["optimizer"]["lr"]
    replaced(file, rf"\blr: {lr}$", f"lr: {math.nextafter(lr, math.inf)!r}")


def another_seed(lab, logged):
    replaced(logged.artifacts / "config.yaml", "^seed: 7$", "seed: 8")


def one_thread(lab, logged):
    replaced(logged.artifacts / "config.yaml", r"\bthreads: 2$", "threads: 1")


def recorded(key, value):
    """Edits what the environment was."""

    def edit(lab, logged):
        replaced(logged.artifacts / "environment.json", rf'"{key}": [^,\n]+', f'"{key}": {value}')

    return edit


def one_metric(lab, logged):
    where = "run_uuid = ? AND key = 'validation/loss' AND step = 40"
    ((value,),) = lab.rows(f"SELECT value FROM metrics WHERE {where}", logged.mlflow)
    with closing(connect(lab.database, timeout=20)) as connection:
        changed = math.nextafter(value, math.inf)
        query = f"UPDATE metrics SET value = ? WHERE {where}"
        assert connection.execute(query, (changed, logged.mlflow)).rowcount == 1
        connection.commit()


def untouched(lab, logged):
    pass


def older(lab, logged):
    """As a run that did not record the content of its files."""
    file = logged.artifacts / "data.json"
    told = json.loads(file.read_text())
    del told["read_from"]
    file.write_text(json.dumps(told))
    (logged.artifacts / "journal.jsonl").unlink()  # or it would say what data.json does not


CONTROLS = {  # what is done to the run, the verdict, whether bits differ, how a cause begins
    "untouched": (untouched, "identical", False, None),
    "the learning rate, by one ulp": (
        one_ulp,
        "different",
        True,
        "config.yaml says optimizer.lr=0.05000000000000001, but MLflow's parameters say 0.05",
    ),
    "another seed": (
        another_seed,
        "different",
        True,
        "config.yaml says seed=8, but MLflow's parameters say 7",
    ),
    "another numpy": (
        recorded("numpy", '"1.0.0"'),
        "environment differs",
        False,
        "numpy was 1.0.0 then and is ",
    ),
    "recorded threads": (
        recorded("num_threads", "5"),
        "environment differs",
        False,
        "BLAS had 5 threads then and has 1 now (runtime.threads)",
    ),
    "a recorded kernel": (
        recorded("architecture", '"Nehalem"'),
        "environment differs",
        False,
        "BLAS had the kernel Nehalem then and has ",
    ),
    "one metric in the tracker": (
        one_metric,
        "different",
        True,
        "the tracker was changed: of validation/loss at step 40 MLflow says ",
    ),
    "untouched sources": (untouched, "identical", False, None),
    "a line of the arithmetic": (untouched, "different", True, "the code is another ("),
    "a line that computes nothing": (
        untouched,
        "environment differs",
        False,
        "the code is another (",
    ),
    "the order of batches": (
        untouched,
        "different",
        True,
        "the order of batches is another one",
    ),
    "two threads": (untouched, "identical", False, None),
    "one thread instead of two": (
        one_thread,
        None,  # as it happens: one thread may give the same bits
        None,
        "BLAS had 2 threads then and has 1 now (runtime.threads)",
    ),
    "another kernel": (
        untouched,
        "environment differs",
        True,
        "BLAS had the kernel Nehalem then and has ",
    ),
    "a table": (untouched, "identical", False, None),
    "one byte of a table": (untouched, "", True, None),
    "one byte of an array, of an older run": (
        older,
        "different",
        None,  # it is the last bit of a float64, of which float32 may see nothing
        "the data are others: ",
    ),
    "images": (untouched, "identical", False, None),
    "one byte of images": (untouched, "different", True, "the data are others: "),
}


def tables(folder):
    """The user's data: a table, an array, and tables of images in a data home."""
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(size=(60, 3)).round(3), np.arange(60) % 2])
    np.savetxt(folder / "t.csv", rows, "%g", ",", header="a,b,c,kind", comments="")
    np.save(folder / "t.npy", rows)
    home = folder / "home" / "mnist_100"
    home.mkdir(parents=True)
    for name, number in (("mnist_train_100.csv", 100), ("mnist_test_10.csv", 10)):
        labels = np.arange(number) % 10
        pixels = rng.integers(0, 256, (number, 784))
        np.savetxt(home / name, np.column_stack([labels, pixels]), "%d", ",")


@pytest.fixture(scope="module")
def runs(lab, train_each, tmp_path_factory):
    """The run of each control, tampered with."""
    tables(lab.folder)
    special = {
        "a table": (*OWN, "data.path=t.csv"),
        "one byte of a table": (*OWN, "data.path=t.csv"),
        "one byte of an array, of an older run": (*OWN, "data.path=t.npy", "data.target=''"),
    }
    apart = ("two threads", "one thread instead of two", "another kernel")
    images = ("images", "one byte of images")
    found = train_each(
        {name: special.get(name, SHORT) for name in CONTROLS if name not in (*apart, *images)}
    )
    large = ("model.hidden=[256]", "batch_size=1000000000", "stopping.max_epochs.epochs=2")
    two = lab("train", "--multirun", *large, "runtime.threads=2", "seed=7,7")  # two runs
    found |= zip(apart[:2], two.runs, strict=True)
    (lab.folder / "other_kernel.py").write_text(OTHER_KERNEL)
    script = str(lab.folder / "other_kernel.py")
    (found["another kernel"],) = lab("train", *SHORT, script=script).runs
    home = str(lab.folder / "home")
    two = lab("train", "--multirun", "data=mnist_100", *SHORT[1:], "seed=1,1", NNLAB_DATA=home)
    found |= zip(images, two.runs, strict=True)
    lab.wait_until_none_runs()
    for name, run in found.items():
        CONTROLS[name][0](lab, lab.logged(run))
    return found


@pytest.fixture(scope="module")
def reproduced(lab, runs, reproduce, wanted, tmp_path_factory):
    """What will be said of each."""
    every = {}
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(lab.folder / "home", other / "home")
    for name in ("t.csv", "t.npy"):
        shutil.copy(lab.folder / name, other / name)
    flip(other / "t.csv", -2)  # another class of the last row
    flip(other / "t.npy", -16)  # the last bit of a float64
    flip(other / "home" / "mnist_100" / "mnist_train_100.csv", -2)  # another shade of one pixel
    given = {
        "a table": ("--data", str(lab.folder / "t.csv")),
        "one byte of a table": ("--data", str(other / "t.csv")),
        "one byte of an array, of an older run": ("--data", str(other / "t.npy")),
    }
    for name, run in runs.items():
        environment = {}
        if name in EDITS:
            environment["PYTHONPATH"] = str(
                edited(lab.sources, tmp_path_factory.mktemp("src"), *EDITS[name])
            )
        if "images" in name:
            environment["NNLAB_DATA"] = str((lab.folder if name == "images" else other) / "home")
        every[name] = wanted(run, given.get(name, ()), environment)
    return reproduce(every)


def flip(file, place):
    """Change one bit of a file."""
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def edited(sources, folder, name, line, by):
    """A folder with nnlab's sources, of which one line is another."""
    compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(sources, folder, ignore=compiled, dirs_exist_ok=True)
    file = folder / "nnlab" / name
    text = file.read_text()
    if line:
        assert text.count(line) == 1
        file.write_text(text.replace(line, by))
    else:
        file.write_text(text + by)
    return folder


SAID = {name: what for name, what in CONTROLS.items() if name != "one byte of a table"}


@pytest.mark.parametrize("name", SAID)
def test_what_is_another_one_is_named(lab, runs, reproduced, shown, name):
    if "two" in name and len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two processors")
    if name == "another kernel" and platform.machine() != "x86_64":
        pytest.skip("needs an x86-64 processor")
    _, verdict, bits, cause = SAID[name]
    told = reproduced[name].result()
    report = told.report
    assert report, told.shown
    if verdict is None:
        assert report["verdict"] in ("different", "environment differs")
    else:
        assert report["verdict"] == verdict, report["cause"]
    codes = {"identical": 0, "different": 1, "environment differs": 3}
    assert told.code == codes[report["verdict"]]
    if bits is not None:
        assert (report["differing"] > 0) == bits
    if cause is None:
        assert report["cause"] == []
    else:
        (said,) = [one for one in report["cause"] if one.startswith(cause)]
        assert re.sub(r"\s+", " ", said) in told.shown
    artifact = lab.logged(report["new"]["run"]).artifacts / "reproduction.json"
    assert json.loads(artifact.read_text()) == report
    what = f"{report['differing']} of {report['points']} points differ"
    shown(name, f"{report['verdict']}: {what}{f'; {cause.strip()}...' if cause else ''}")


def test_the_cause_comes_first(reproduced):
    """Where several things are said, the one that was changed is the likely cause."""
    for name in ("the learning rate, by one ulp", "another seed", "one metric in the tracker"):
        assert reproduced[name].result().report["cause"][0].startswith(CONTROLS[name][3])
    order = reproduced["the order of batches"].result().report
    assert order["cause"][0].startswith("the code is another")
    assert order["hashes"]["nnlab.batches_sha256"]["equal"] is False
    assert order["hashes"]["nnlab.data_sha256"]["equal"] is True


def test_one_byte_of_a_table_is_refused_with_both_fingerprints(lab, reproduced, shown):
    told = reproduced["one byte of a table"].result()
    assert (told.code, told.report) == (2, {})
    assert sha256((lab.folder / "t.csv").read_bytes()).hexdigest() in told.shown
    assert "t.csv has" in told.shown
    shown("one byte of a table", "refused: both fingerprints are named")


def test_both_fingerprints_of_data_that_differ_are_named(lab, runs, reproduced):
    for name in ("one byte of an array, of an older run", "one byte of images"):
        report = reproduced[name].result().report
        hashes = report["hashes"]["nnlab.data_sha256"]
        assert hashes["then"] == lab.logged(runs[name]).tags["nnlab.data_sha256"]
        assert hashes["then"] in report["cause"][0] and hashes["now"] in report["cause"][0]


def test_another_kernel_is_within_the_tolerance(reproduced):
    if platform.machine() != "x86_64":
        pytest.skip("needs an x86-64 processor")
    report = reproduced["another kernel"].result().report
    assert 0 < report["largest_relative"] < 1e-4
    assert report["within"]


def test_they_were_the_same_run_before(lab, runs):
    """Else a difference could be that of their experiments."""
    apart = ("two threads", "one thread instead of two", "another kernel")
    same = [name for name in runs if name not in apart and "table" not in name]
    same = [name for name in same if "array" not in name and "images" not in name]
    assert len(same) >= 10
    assert len({lab.logged(runs[name]).tags["nnlab.weights_sha256"] for name in same}) == 1

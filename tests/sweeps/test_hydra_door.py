"""Hydra's own door: `nnlab train -m hydra/sweeper=nnlab`, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hydra_plugins.nnlab_sweeper import _SETTINGS
from nnlab.runs.journal import read
from nnlab.sweeps.reading import KEYS

NNLAB = str(Path(sys.executable).with_name("nnlab"))
QUICK = ["tracking=none", "data=iris", "stopping.max_epochs.epochs=2"]


@pytest.fixture
def train(tmp_path):
    """Runs `nnlab train -m hydra/sweeper=nnlab`."""

    def run(*arguments):
        command = [NNLAB, "train", "-m", "hydra/sweeper=nnlab", *QUICK, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def records(folder):
    """The journals of the studies in a folder's store."""
    journals = (read(path) for path in folder.glob("mlruns/runs/*/journal.jsonl"))
    return [journal for journal in journals if journal[0]["kind"] == "study"]


@pytest.mark.slow
def test_a_sweep_is_run_and_gone_on_with(train, tmp_path):
    arguments = [
        "optimizer.lr=tag(log,interval(1e-3,1))",
        "model.hidden=[8],[16]",
        "hydra.sweeper.sampler={name: tpe, startup: 2}",
        "hydra.sweeper.workers=1",
    ]
    done = train(*arguments, "hydra.sweeper.trials=3")
    assert done.returncode == 0, done.stderr
    (study,) = records(tmp_path)
    assert [record["trial"] for record in study if record["type"] == "told"] == [0, 1, 2]
    for record in study:
        if record["type"] == "asked":
            assert 1e-3 <= record["values"]["optimizer.lr"] <= 1
            assert record["values"]["model.hidden"] in ([8], [16])

    done = train(*arguments, "hydra.sweeper.trials=5")
    assert done.returncode == 0, done.stderr
    (study,) = records(tmp_path)
    assert [record["trial"] for record in study if record["type"] == "told"] == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_what_is_searched_may_be_in_the_config_of_the_sweeper(train, tmp_path):
    done = train(
        "hydra.sweeper.params={optimizer.lr: 'interval(0.1,0.2)'}",
        "hydra.sweeper.trials=1",
        "hydra.sweeper.name=mine",
    )
    assert done.returncode == 0, done.stderr
    (study,) = records(tmp_path)
    assert study[0]["name"].startswith("mine")
    (asked,) = [record for record in study if record["type"] == "asked"]
    assert list(asked["values"]) == ["optimizer.lr"]


@pytest.mark.parametrize(
    ("argument", "message"),
    {
        "optimizer.lr=interval(1,0)": "`low < high` must hold, but got low=1.0, high=0.0",
        "optimizer.lr=0.5": "parameters must name at least one key",
        "optimizer.lrr=1,2": "optimizer.lrr is not a key of the config",
    }.items(),
)
def test_errors_are_those_of_a_sweep(train, tmp_path, argument, message):
    done = train(argument)
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "mlruns").exists()


def test_every_setting_of_a_sweep_is_one_of_the_sweeper():
    assert {*_SETTINGS} == {*KEYS, "name", "params"} - {"experiment", "parameters"}


def test_the_plugin_is_found_without_loading_what_a_sweep_needs():
    code = (
        "import json, sys\n"
        "from hydra.core.plugins import Plugins\n"
        "from hydra.plugins.sweeper import Sweeper\n"
        "names = [kind.__name__ for kind in Plugins.instance().discover(Sweeper)]\n"
        "print(json.dumps([names, sorted(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, modules = json.loads(done.stdout)
    assert "NnlabSweeper" in names
    assert not {"numpy", "optuna", "nnlab.sweeps", "nnlab.commands"} & set(modules)

"""`--plugin MODULE`: an optimizer, a loss and a data set of one's own, by command."""

import json
import re
from pathlib import Path

import pytest

PACKAGE = {
    "__init__.py": """
from homemade import data, losses, optimizers

__version__ = "3.2"
""",
    "optimizers.py": """
from dataclasses import dataclass

import numpy as np

from nnlab.core.arrays import Hyper, as_coefficient
from nnlab.core.optimizers import GradientStep
from nnlab.plugins import register


@register("optimizer", "sign_sgd")
@dataclass(frozen=True)
class SignSGD(GradientStep):
    lr: Hyper = 0.01

    def init(self, theta):
        return {}

    def step(self, theta, state, oracle, scale):
        value, grad = oracle(theta)
        np.sign(grad, out=grad)
        grad *= as_coefficient(self.lr * scale, theta)
        theta -= grad
        return value
""",
    "losses.py": """
from dataclasses import dataclass

import numpy as np

from nnlab.core.losses import OnNumbers
from nnlab.plugins import register


@register("loss", "log_cosh")
@dataclass(frozen=True)
class LogCosh(OnNumbers):
    def each(self, z, y, work):
        dz = np.subtract(z, y, out=work.get("dz", z.shape, z.dtype))
        losses = (np.logaddexp(dz, -dz) - np.log(2).astype(z.dtype)).sum(axis=-1)
        return losses, np.tanh(dz, out=dz)

    def at_zero(self, y, outputs):
        return float((np.logaddexp(y, -y) - np.log(2)).sum(axis=-1).mean())
""",
    "data.py": """
from dataclasses import dataclass

import numpy as np

from nnlab.data.dataset import Dataset
from nnlab.data.sources.source import Source
from nnlab.plugins import register


@register("data", "rings")
@dataclass(frozen=True)
class Rings(Source):
    each: int = 60

    def load(self):
        rng = np.random.default_rng(0)
        label = np.repeat([0, 1], self.each)
        angle = rng.uniform(0, 2 * np.pi, len(label))
        radius = 1 + label + rng.normal(0, 0.1, len(label))
        x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        return Dataset(x, label, ("inner", "outer"))
""",
}
PLUGIN = ["--plugin", "homemade"]
OWN = ["data=rings", "loss=log_cosh", "optimizer=sign_sgd", "stopping.max_epochs.epochs=3"]
ALONE = ["tracking=none", *OWN]


def plant(folder, package=PACKAGE):
    for name, text in package.items():
        file = Path(folder, "homemade", name)
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)


def edit(folder, old="np.sign(grad, out=grad)", new="np.tanh(grad, out=grad)"):
    file = Path(folder, "homemade", "optimizers.py")
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.fixture
def own(bench):
    """A folder with the plugin in it."""
    plant(bench.folder)
    return bench


def recorded(lab, run):
    return json.loads((lab.store / "runs" / run / "environment.json").read_text())["plugins"]


def ended(lab, run):
    return [one for one in lab.records(run) if one["type"] == "end"][-1]


def tags(lab, run):
    found = {}
    for record in lab.records(run):
        if record["type"] in ("start", "tags"):
            found |= record["tags"]
    return found


def test_a_training_with_a_plugin_says_so(own):
    (run,) = own("train", *PLUGIN, *ALONE, "optimizer.lr=0.03").runs
    assert ended(own, run)["status"] == "FINISHED"
    start = own.records(run)[0]
    assert start["name"].startswith("rings-mlp-sign_sgd-")
    assert start["params"]["optimizer.lr"] == "0.03"
    assert start["params"]["data.each"] == "60"
    assert start["tags"]["nnlab.plugins"] == "homemade"
    (facts,) = recorded(own, run).values()
    assert facts["version"] == "3.2" and re.fullmatch("[0-9a-f]{64}", facts["sha256"])
    assert not list(own.folder.rglob("*.pyc"))
    config = (own.store / "runs" / run / "config.yaml").read_text()
    assert "homemade" not in config


def test_several_plugins_and_a_module_within_one(own):
    (own.folder / "more.py").write_text(
        "from dataclasses import dataclass\n"
        "from nnlab.core.penalties import L2\n"
        "from nnlab.plugins import register\n\n\n"
        '@register("penalty", "ridge")\n'
        "@dataclass(frozen=True)\n"
        "class Ridge(L2):\n"
        "    l2: float = 0.25\n"
    )
    given = ["--plugin", "more", "--plugin=homemade.optimizers", "--plugin", "more"]
    (run,) = own("train", *given, *ALONE, "penalty=ridge").runs
    assert set(recorded(own, run)) == {"more", "homemade.optimizers"}
    assert tags(own, run)["nnlab.plugins"] == "more, homemade.optimizers"
    assert own.records(run)[0]["params"]["penalty.l2"] == "0.25"


@pytest.mark.slow
def test_the_numbers_are_those_without_a_plugin(own):
    """NumPy is loaded earlier where there is a plugin; what is pinned must be the same."""
    given = ["tracking=none", "data=iris", "stopping.max_epochs.epochs=2"]
    for more in (["runtime.threads=2"], ["runtime=portable"], []):
        hostile = {"OPENBLAS_NUM_THREADS": "3", "OPENBLAS_CORETYPE": "Prescott"}
        (plain,) = own("train", *given, *more).runs
        (plugged,) = own("train", *PLUGIN, *given, *more, **hostile).runs
        assert (
            tags(own, plain)["nnlab.weights_sha256"] == tags(own, plugged)["nnlab.weights_sha256"]
        )
        facts = [
            json.loads((own.store / "runs" / run / "environment.json").read_text())
            for run in (plain, plugged)
        ]
        assert facts[0]["blas"] == facts[1]["blas"]
        assert facts[0]["plugins"] == {} and "nnlab.plugins" not in tags(own, plain)


@pytest.mark.slow
def test_other_commands_take_it_as_well(own):
    assert "sign_sgd" in own("train", *PLUGIN, "optimizer=sign_sgd", "--cfg", "job").out
    assert "checks are green" in own("check", *PLUGIN, *OWN[:3]).out
    assert "fingerprint" in own("data", "info", *PLUGIN, "rings", "data.each=40").out
    assert "rings" in own("data", "list", *PLUGIN).out
    assert "rings" not in own("data", "list").out
    assert "--plugin MODULE adds components" in own("reproduce", "--help").out
    assert "--plugin" in own("train", "--help").out
    error = own("info", "abc", *PLUGIN, code=2).err
    assert "unrecognized arguments: --plugin homemade" in error


BAD = {
    "raises": (["--plugin", "broken"], "ZeroDivisionError: division by zero (broken.py, line 2)"),
    "code": (["--plugin", "os;"], "--plugin takes the name of a module"),
    "not given": ([], "optimizer has no choice sign_sgd; the choices are "),
    "a field's type": ([*PLUGIN, "optimizer.lr=fast"], "optimizer.lr must be a number"),
}


@pytest.mark.parametrize("why", BAD)
def test_bad_input_is_one_message_and_no_run(own, why):
    given, message = BAD[why]
    (own.folder / "broken.py").write_text("x = 1\n1 / 0\n")
    said = own("train", "tracking=none", "optimizer=sign_sgd", *given, code=2)
    assert message in said.err and len(said.err.splitlines()) == 1
    assert not own.store.exists()


@pytest.mark.slow
def test_neither_a_variable_nor_a_config_imports_it(own):
    environment = {"NNLAB_PLUGIN": "homemade", "NNLAB_PLUGINS": "homemade"}
    said = own("train", *ALONE, code=2, **environment)
    assert "components of your own need --plugin MODULE" in said.err
    conf = own.folder / "conf" / "optimizer"
    conf.mkdir(parents=True)
    (conf / "sign_sgd.yaml").write_text("name: sign_sgd\nlr: 0.5\nplugin: homemade\n")
    assert "components of your own" in own("train", *ALONE[:1], *OWN[2:], code=2).err
    (conf / "sign_sgd.yaml").write_text("name: sign_sgd\nlr: 0.5\n")
    (run,) = own("train", *PLUGIN, *ALONE).runs
    assert own.records(run)[0]["params"]["optimizer.lr"] == "0.5"


@pytest.mark.slow
def test_a_grid_has_it_too(own):
    given = [*ALONE[:3], ALONE[4], "optimizer=sgd,sign_sgd"]
    runs = own("train", *PLUGIN, "--multirun", *given).runs
    assert [own.records(run)[0]["params"]["optimizer.name"] for run in runs] == ["sgd", "sign_sgd"]


def interrupted(lab, *arguments):
    """A run that was ended in the middle by a signal."""
    with lab.start("train", *arguments) as process:
        (run,) = lab.wait_for_runs(process, set())
        process.terminate()
        process.wait(timeout=60)
    return run


@pytest.mark.slow
def test_a_run_is_resumed_with_its_plugin_alone(own):
    long = [*ALONE[:4], "stopping.max_epochs.epochs=1500", "checkpoint_every=20 epochs"]
    run = interrupted(own, *PLUGIN, *long)
    said = own("train", "--resume", run, code=2).err
    assert "data.name must be one of " in said or "name must be one of" in said
    assert "the run was made with --plugin homemade: give it again" in said
    assert own("train", "--resume", run, *PLUGIN).out.count("going on at step") == 1
    assert ended(own, run)["status"] == "FINISHED"
    (again,) = own("train", *PLUGIN, *long).runs
    for name in ("nnlab.weights_sha256", "nnlab.averaged_sha256"):
        assert tags(own, run)[name] == tags(own, again)[name]


@pytest.mark.slow
def test_an_edited_plugin_is_said_when_a_run_goes_on(own):
    long = [*ALONE[:4], "stopping.max_epochs.epochs=100000", "checkpoint_every=20 epochs"]
    run = interrupted(own, *PLUGIN, *long)
    edit(own.folder, "lr: Hyper = 0.01", "lr: Hyper = 0.02")
    with own.start("train", "--resume", run, *PLUGIN) as process:
        said = ""
        while "going on" not in said:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            said += line
        process.terminate()
    assert "plugins.homemade.sha256: " in said


SWEEP = [
    "trials=4",
    "workers=2",
    "sampler=random",
    "pruner=none",
    "optimizer.lr=interval(0.001,0.1)",
]


def studies(lab):
    found = {}
    for run in lab.runs():
        records = lab.records(run)
        if records[0]["kind"] == "study":
            found[run] = records
    return found


def write_sweep(folder):
    file = Path(folder, "sweeps", "mine.yaml")
    file.parent.mkdir(exist_ok=True)
    file.write_text("metric: validation/loss\nparameters: {batch_size: {choice: [16, 32]}}\n")


@pytest.mark.slow
def test_a_sweep_has_it_in_every_trial(own):
    write_sweep(own.folder)
    own("sweep", "mine", *PLUGIN, *SWEEP, *ALONE)
    (study,) = studies(own).values()
    told = [one for one in study if one["type"] == "told"]
    assert [one["state"] for one in told] == ["COMPLETE"] * 4
    (facts,) = {json.dumps(recorded(own, one["run"])) for one in told}
    identity = study[0]["identity"]["parts"]
    assert identity["plugin homemade"] == json.loads(facts)["homemade"]["sha256"]
    assert {tags(own, one["run"])["nnlab.plugins"] for one in told} == {"homemade"}
    edit(own.folder)
    again = own("sweep", "mine", *PLUGIN, *SWEEP, *ALONE).out
    assert "is finished, and was another search" in again
    assert len(studies(own)) == 2


@pytest.mark.slow
def test_an_edit_while_a_sweep_runs_ends_it(own):
    write_sweep(own.folder)
    more = ["trials=300", "workers=2", *SWEEP[2:], *ALONE]
    with own.start("sweep", "mine", *PLUGIN, *more) as process:
        while "value" not in (line := process.stdout.readline()):
            assert line, process.stderr.read()
        edit(own.folder)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 2, out + err
    assert "must stay what they are while it is used, but homemade was edited" in err
    ((study, records),) = studies(own).items()
    states = {one["state"] for one in records if one["type"] == "told"}
    assert states == {"COMPLETE"}
    assert "plugin homemade: " in own("sweep", "mine", *PLUGIN, *more, code=2).err
    edit(own.folder, "np.tanh(grad, out=grad)", "np.sign(grad, out=grad)")
    done = sum(one["type"] == "told" for one in records)
    fewer = [f"trials={done + 3}", *more[1:]]
    assert f"goes on with study {study}" in own("sweep", "mine", *PLUGIN, *fewer).out
    states = [one["state"] for one in own.records(study) if one["type"] == "told"]
    assert len(states) >= done + 3 and set(states) == {"COMPLETE"}


@pytest.mark.slow
def test_hydras_own_door_has_it_too(own):
    searched = ["optimizer.lr=interval(0.001,0.1)", "optimizer=glob(sign*)"]
    own(
        "train",
        *PLUGIN,
        "-m",
        "hydra/sweeper=nnlab",
        "hydra.sweeper.trials=2",
        "hydra.sweeper.workers=2",
        *[*ALONE[:3], ALONE[4]],
        *searched,
    )
    (study,) = studies(own).values()
    assert [one["state"] for one in study if one["type"] == "told"] == ["COMPLETE"] * 2


@pytest.fixture(scope="module")
def tracked(lab, trained):
    """A run with the plugin, in MLflow."""
    plant(lab.folder)
    (run,) = lab("train", *PLUGIN, *OWN).runs
    return run


@pytest.mark.slow
def test_a_run_is_reproduced_with_its_plugin(lab, tracked):
    logged = lab.logged(tracked)
    assert logged.tags["nnlab.plugins"] == "homemade"
    assert "identical" in lab("reproduce", tracked, *PLUGIN).out


@pytest.mark.slow
def test_a_run_is_not_reproduced_without_it(lab, tracked):
    before = lab.runs()
    said = lab("reproduce", tracked, code=2).err
    assert "the run was made with --plugin homemade: give it again" in said
    assert lab.runs() == before


@pytest.mark.slow
def test_an_edited_plugin_is_another_environment(lab, tracked):
    edit(lab.folder, "lr: Hyper = 0.01", "lr: Hyper = 0.02")  # the run says 0.01 anyway
    try:
        said = lab("reproduce", tracked, *PLUGIN, code=3).out
    finally:
        plant(lab.folder)
    assert "plugins.homemade.sha256" in said and "environment differs" in said

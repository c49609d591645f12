import pytest
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from nnlab.errors import UserError
from nnlab.runs.compose import compose, folders, packaged, run_app
from nnlab.runs.config import KEYS, parse

BASE = ["data=iris", "model=linear", "tracking=none"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working directory, in which files can be put."""
    folder = tmp_path / "ä folder"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def put(path, text):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    return put


def test_the_default_config_is_complete_plain_data_without_hydra():
    config = compose([])
    assert set(config) == set(KEYS)
    assert type(config["model"]["hidden"]) is list
    assert type(config["model"]) is dict
    assert config["tracking"]["uri"] == "sqlite:///mlruns/mlflow.db"  # ${store} is filled in


def test_overrides_choose_and_change():
    config = compose([*BASE, "optimizer=adam", "optimizer.lr=2e-3", "store=elsewhere"])
    assert config["optimizer"] == {
        "name": "adam",
        "lr": 0.002,
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-8,
    }
    assert config["store"] == "elsewhere"
    assert config["tracking"]["experiment"] == "iris"  # ${data.name}
    several = compose(
        [*BASE, "stopping=[patience,max_steps]", "initialiser=normal", "initialiser.std=1"]
    )
    assert list(several["stopping"]) == ["patience", "max_steps"]
    assert several["initialiser"] == {"name": "normal", "std": 1}


def test_the_working_directory_s_choices_come_first(home):
    home("conf/optimizer/mine.yaml", "name: sgd\nlr: 1e-3\n")
    home("conf/optimizer/adam.yaml", "name: adam\nlr: 0.5\n")
    mine = compose([*BASE, "optimizer=mine"])
    assert mine["optimizer"] == {"name": "sgd", "lr": 0.001}
    assert parse(mine).experiment.optimizer.lr == 0.001
    assert compose([*BASE, "optimizer=adam"])["optimizer"] == {"name": "adam", "lr": 0.5}
    assert compose([*BASE, "optimizer=nag"])["optimizer"]["momentum"] == 0.9  # ours still are
    with pytest.raises(UserError, match=r"optimizer has no choice mien.*did you mean mine\?"):
        compose([*BASE, "optimizer=mien"])


def test_a_working_directory_is_forgotten_with_it(home, monkeypatch, tmp_path):
    home("conf/optimizer/mine.yaml", "name: sgd\nlr: 0.1\n")
    compose([*BASE, "optimizer=mine"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="optimizer has no choice mine"):
        compose([*BASE, "optimizer=mine"])


def test_composing_often_does_not_pile_up():
    def found():
        return list(Plugins.instance().discover(SearchPathPlugin))

    compose(BASE)
    before = found()
    compose(BASE)
    assert found() == before


def test_where_files_are_looked_for(home, tmp_path):
    ours = packaged("conf")
    assert (ours / "train.yaml").is_file()
    assert folders("conf") == [ours]
    own = home("conf/optimizer/mine.yaml", "name: sgd\n").parents[1]
    assert folders("conf") == [own, ours]


def test_our_own_conf_is_not_looked_through_twice(monkeypatch):
    monkeypatch.chdir(packaged("conf").parent)
    assert folders("conf") == [packaged("conf")]


ERRORS = [  # (override, what the message must say)
    ("optimiser=adam", ["optimiser is not a key", "did you mean optimizer?"]),
    (
        "optimizer=adma",
        ["optimizer has no choice adma", "did you mean adam?", "momentum, nadam, nag"],
    ),
    ("optimizer.lrr=1", ["optimizer.lrr is not a key", "did you mean optimizer.lr?"]),
    ("batchsize=1", ["batchsize is not a key", "did you mean batch_size?"]),
    ("stopping=[max_epoch]", ["stopping has no choice max_epoch", "did you mean max_epochs?"]),
    ("optimizer.lr", ["'optimizer.lr' is not an override"]),
    ("optimizer.lr=[1", ["'optimizer.lr=[1' is not an override"]),
    ("optimizer.lr=???", ["lr"]),
    ("batch_size=${nothing}", ["nothing"]),
    ("model=mlp,linear", ["model=mlp,linear"]),
]


@pytest.mark.parametrize(("override", "words"), ERRORS, ids=[row[0] for row in ERRORS])
def test_a_bad_override_is_refused_with_what_was_meant(override, words):
    with pytest.raises(UserError) as error:
        compose([*BASE, override])
    for word in words:
        assert word in str(error.value)
    assert "Traceback" not in str(error.value)


def test_a_broken_file_is_refused(home):
    home("conf/optimizer/mine.yaml", "name: [sgd\n")
    with pytest.raises(UserError, match=r"mine\.yaml"):
        compose([*BASE, "optimizer=mine"])


def test_an_unfilled_value_is_refused(home):
    home("conf/optimizer/mine.yaml", "name: sgd\nlr: ???\n")
    with pytest.raises(UserError, match="lr"):
        compose([*BASE, "optimizer=mine"])
    compose([*BASE, "optimizer=mine", "optimizer.lr=0.1"])


# as an application


@pytest.fixture
def app(home, monkeypatch):
    """Run the application in a fresh working directory; the configs that its task was given."""
    monkeypatch.setattr("sys.argv", ["pytest"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def run(*arguments, task=lambda config: None):
        configs = []

        def job(config):
            configs.append(config)
            task(config)

        run_app(arguments, job)
        return configs

    return run


def test_the_application_gives_what_compose_gives(app, tmp_path):
    assert app(*BASE, "seed=3") == [compose([*BASE, "seed=3"])]
    assert list((tmp_path / "ä folder").iterdir()) == []  # no log, no outputs/


def test_a_grid_gives_every_combination(app):
    configs = app("--multirun", *BASE, "seed=1,2", "optimizer.lr=0.3")
    combinations = {(config["seed"], config["optimizer"]["lr"]) for config in configs}
    assert combinations == {(1, 0.3), (2, 0.3)}


def test_what_a_task_raises_reaches_the_caller_and_ends_a_grid(app):
    seen = []

    def fail(config):
        seen.append(config["seed"])
        raise ZeroDivisionError("in the task")

    with pytest.raises(ZeroDivisionError, match="in the task"):
        app("--multirun", *BASE, "seed=1,2", task=fail)
    assert seen == [1]


def test_an_interrupt_reaches_the_caller(app):
    def interrupt(config):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        app(*BASE, task=interrupt)


SEARCHES = {
    "a range in a grid": (["-m", "optimizer.lr=interval(0.1,1)"], "add hydra/sweeper=nnlab"),
    "a tagged range in a grid": (["-m", "optimizer.lr=tag(log,interval(0.1,1))"], "interval"),
    "a setting of the sweeper": (["-m", "hydra.sweeper.trials=3"], "need hydra/sweeper=nnlab"),
    "several, not told so": (["optimizer.lr=0.1,1"], "`nnlab train -m` runs them one after an"),
    "a range of one training": (["optimizer.lr=interval(0.1,1)"], "`nnlab sweep` searches for"),
}


@pytest.mark.parametrize(("overrides", "cure"), SEARCHES.values(), ids=SEARCHES)
def test_a_search_that_is_asked_of_what_does_not_search_says_what_does(app, overrides, cure):
    with pytest.raises(UserError) as error:
        app(*BASE, *overrides)
    assert cure in str(error.value)


def test_a_bad_override_of_the_application_is_refused(app):
    with pytest.raises(UserError, match=r"no choice adma.*did you mean adam\?"):
        app(*BASE, "optimizer=adma")
    with pytest.raises(UserError, match=r"did you mean optimizer\.lr\?"):
        app(*BASE, "optimizer.lrr=1")

import pytest

from nnlab.core.laws import LawError
from nnlab.errors import UserError
from nnlab.sweeps.definition import (
    KEYS,
    PRUNERS,
    SAMPLERS,
    Candidates,
    Definition,
    available,
    define,
)
from nnlab.sweeps.space import Choices, Range

MINE = """
experiment: [data=iris, model=linear]
metric: validation/loss
trials: 7
parameters:
  optimizer.lr: {low: 1e-3, high: 1, log: true}
"""
SPACE = {"optimizer.lr": Range(1e-3, 1, log=True)}


@pytest.fixture
def mine(sweep_file):
    sweep_file("mine", MINE)


def refused(function, *arguments):
    with pytest.raises(UserError) as error:
        function(*arguments)
    return str(error.value)


def test_a_file_and_the_defaults_make_a_definition(mine):
    assert define("mine", []) == Definition(
        "mine",
        SPACE,
        "validation/loss",
        direction="minimize",
        overrides=("data=iris", "model=linear"),
        sampler="tpe",
        pruner="median",
        trials=7,
        workers=0,
        seed=0,
    )


def test_settings_are_told_from_overrides(mine):
    definition = define(
        "mine",
        [
            "trials=3",
            "sweep.workers=2",
            "sampler=random",
            "pruner=none",
            "metric=train/loss",
            "direction=maximize",
            "seed=4",  # of the experiment
            "sweep.seed=5",
            "batch_size=8",
            "+tag=x=y",
        ],
    )
    assert definition == Definition(
        "mine",
        SPACE,
        "train/loss",
        direction="maximize",
        overrides=("data=iris", "model=linear", "seed=4", "batch_size=8", "+tag=x=y"),
        sampler="random",
        pruner="none",
        trials=3,
        workers=2,
        seed=5,
    )


def test_a_sweep_of_the_working_directory_is_found_beside_ours_and_before_it(sweep_file):
    assert "digits" in available()
    assert "mine" not in available()
    sweep_file("mine", MINE)
    sweep_file("digits", MINE)
    assert {"digits", "mine"} <= set(available())
    assert define("digits", []).trials == 7


BAD_FILES = {
    "an unknown key": (
        MINE + "trails: 3\n",
        "trails is not a key of a sweep (did you mean trials?) (bad.yaml); known here: "
        + ", ".join(KEYS),
    ),
    "no metric": ("parameters: {seed: [1]}", "metric is missing (bad.yaml)"),
    "no parameters": (
        "metric: x",
        "parameters must name at least one key, but got parameters=None",
    ),
    "an experiment of text": (
        MINE.replace("[data=iris, model=linear]", "data=iris"),
        "experiment must be a list of overrides, but got 'data=iris'",
    ),
    "an experiment of numbers": (
        MINE.replace("[data=iris, model=linear]", "[1]"),
        "experiment must be a list of overrides, but got [1]",
    ),
    "a list": ("[1, 2]", "bad.yaml must hold a mapping, but holds list"),
    "nothing": ("", "bad.yaml must hold a mapping, but holds NoneType"),
}


@pytest.mark.parametrize(("text", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused_by_name(sweep_file, text, message):
    sweep_file("bad", text)
    assert refused(define, "bad", []) == message


def test_a_file_that_is_no_yaml_is_refused_by_name(sweep_file):
    sweep_file("bad", "metric: [")
    assert refused(define, "bad", []).startswith("bad.yaml cannot be read as a config: ")


BAD_ARGUMENTS = {
    "trials=many": "trials must be a whole number, but got trials='many'",
    "trials=2.5": "trials must be a whole number, but got trials=2.5",
    "trials=true": "trials must be a whole number, but got trials=True",
    "trials=": "trials must be a whole number, but got trials=None",
    "trials=0": "`trials >= 1` must hold, but got trials=0 (of the sweep)",
    "workers=-1": "`workers >= 0` must hold, but got workers=-1 (of the sweep)",
    "sweep.seed=-1": "`seed >= 0` must hold, but got seed=-1 (of the sweep)",
    "metric=3": "metric must be a text, but got metric=3",
    "direction=down": (
        "direction must be one of maximize, minimize, but got direction=down (of the sweep)"
    ),
    "sampler=tpee": (
        "sampler must be one of random, tpe, but got sampler=tpee (did you mean tpe?) "
        "(of the sweep)"
    ),
    "pruner=meadian": (
        "pruner must be one of median, none, but got pruner=meadian (did you mean median?) "
        "(of the sweep)"
    ),
    "sweep.trails=3": (
        "trails is not a key of a sweep (did you mean trials?) (mine.yaml); known here: "
        + ", ".join(KEYS)
    ),
    "trials": "'trials' is not an override; write key=value",
    "trials=[": "'trials=[' has no value that YAML could read",
    "trials=a: b: c": "'trials=a: b: c' has no value that YAML could read",
    "trails=3": (
        "trails is neither a setting of the sweep nor a key of the experiment "
        "(did you mean trials?)"
    ),
}


@pytest.mark.parametrize(("argument", "message"), BAD_ARGUMENTS.items(), ids=BAD_ARGUMENTS)
def test_a_bad_setting_is_refused_with_its_law(mine, argument, message):
    assert refused(define, "mine", [argument]) == message


def test_an_unknown_sweep_lists_the_known_ones_and_the_nearest(mine):
    message = refused(define, "mime", [])
    assert message.startswith("there is no sweep mime (did you mean mine?); the sweeps are ")
    assert "digits" in message and "mine" in message


def test_a_definition_checks_its_laws_by_itself():
    for sampler in SAMPLERS:
        for pruner in PRUNERS:
            Definition("x", SPACE, "loss", sampler=sampler, pruner=pruner)
    with pytest.raises(LawError):
        Definition("x", SPACE, "loss", sampler="grid")


def test_no_more_slots_than_trials(definition):
    assert definition(trials=3, workers=8).slots == 3
    assert definition(trials=30, workers=8).slots == 8
    assert 1 <= definition(trials=1000, workers=0).slots <= 1000


def test_a_definition_as_plain_data_says_everything(definition):
    space = {"a": Range(0, 1), "b": Choices(("x", "y"))}
    assert definition(space=space, overrides=("seed=1",), trials=9).plain == {
        "name": "unit",
        "space": {"a": {"low": 0, "high": 1, "log": False}, "b": ["x", "y"]},
        "metric": "loss",
        "direction": "minimize",
        "overrides": ["seed=1"],
        "sampler": "tpe",
        "pruner": "median",
        "trials": 9,
        "workers": 0,
        "seed": 0,
    }


@pytest.fixture
def candidates(definition, tmp_path, monkeypatch):
    """Makes candidates of a space over `data=iris`."""
    monkeypatch.chdir(tmp_path)

    def make(space, metric="validation/loss", **settings):
        settings = {"overrides": ("data=iris", "tracking=none")} | settings
        return Candidates(definition(space=space, metric=metric, **settings))

    return make


def test_a_candidate_is_the_composed_config_with_the_trial_s_values(candidates):
    made = candidates({"optimizer.lr": Range(0.1, 1.0), "model": Choices(("mlp", "linear"))})
    base = made.config({})
    assert base["data"]["name"] == "iris"
    linear = made.config({"optimizer.lr": 0.25, "model": "linear"})
    assert linear["optimizer"] == base["optimizer"] | {"lr": 0.25}
    assert linear["model"]["name"] == "linear"
    mlp = made.config({"optimizer.lr": 0.5, "model": "mlp"})
    assert (mlp["model"]["name"], mlp["optimizer"]["lr"]) == ("mlp", 0.5)
    assert linear["optimizer"]["lr"] == 0.25


def test_check_gives_the_experiment_at_the_first_ends(candidates):
    checked = candidates(
        {"optimizer.lr": Range(0.125, 1.0), "optimizer": Choices(("nag", "momentum"))}
    ).check()
    assert checked.plain["optimizer"]["name"] == "nag"
    assert checked.experiment.optimizer.lr == 0.125
    assert checked.plain["data"]["name"] == "iris"


BAD_SPACES = {
    "an unknown key": (
        {"optimizer.lrr": Range(0.1, 1.0)},
        "parameters.optimizer.lrr is not a key of the config (did you mean optimizer.lr?); "
        "`nnlab train --cfg job` shows the keys",
    ),
    "an illegal low end": (
        {"optimizer.lr": Range(0.0, 1.0)},
        "`lr > 0` must hold, but got lr=0.0 (optimizer.lr)",
    ),
    "an illegal high end": (
        {"optimizer.momentum": Range(0.5, 1.5)},
        "`0 <= momentum < 1` must hold, but got momentum=1.5 (optimizer.momentum)",
    ),
    "an illegal end of the second parameter": (
        {"optimizer.lr": Range(0.1, 1.0), "batch_size": Range(-8, 8)},
        "`batch_size >= 1` must hold, but got batch_size=-8",
    ),
    "no number at all": (
        {"batch_size": Range(8.0, 64.0)},
        "batch_size must be a whole number, but got batch_size=8.0",
    ),
    "an infinite end": (
        {"optimizer.lr": Range(0.1, float("inf"))},
        "optimizer.lr must be finite, but got optimizer.lr=inf",
    ),
    "an unknown choice of a group": (
        {"optimizer": Choices(("momentum", "adamm"))},
        "optimizer has no choice adamm (did you mean adam?); "
        "the choices are adadelta, adagrad, adam, adamw, lbfgs, lion, momentum, nadam, nag, "
        "random_local_search, random_search, rmsprop, sgd",
    ),
    "a choice of a group without another parameter": (
        {"optimizer.momentum": Range(0.5, 0.9), "optimizer": Choices(("momentum", "sgd"))},
        "parameters.optimizer.momentum is not a key of the config (did you mean optimizer.name?); "
        "`nnlab train --cfg job` shows the keys",
    ),
    "a choice of the wrong kind": (
        {"model.hidden": Choices(([8], "wide"))},
        "model.hidden must be a list, but got model.hidden='wide'",
    ),
}


@pytest.mark.parametrize(("space", "message"), BAD_SPACES.values(), ids=BAD_SPACES)
def test_what_a_trial_would_fail_on_is_refused_before_the_first(candidates, space, message):
    assert refused(candidates(space).check) == message


def test_parts_that_do_not_fit_each_other_are_refused(candidates):
    made = candidates({"optimizer.lr": Range(0.1, 1.0)}, overrides=("data=diabetes", "loss=hinge"))
    assert "needs class labels" in refused(made.check)


CHOICES_THAT_DO_NOT_FIT = {
    "a metric that needs the average": (
        {"averaging": Choices(("ema", "none"))},
        "validation/loss_ema",
        ("data=iris",),
        "but got metric=validation/loss_ema",
    ),
    "a metric of regression": (
        {"data": Choices(("diabetes", "iris"))},
        "validation/r2",
        ("loss=mse",),
        "but got metric=validation/r2",
    ),
    "a loss that needs labels": (
        {"loss": Choices(("mse", "hinge"))},
        "validation/loss",
        ("data=diabetes",),
        "needs class labels",
    ),
}


@pytest.mark.parametrize(
    ("space", "metric", "overrides", "message"),
    CHOICES_THAT_DO_NOT_FIT.values(),
    ids=CHOICES_THAT_DO_NOT_FIT,
)
def test_every_choice_of_a_group_is_tried_before_the_first_trial(
    candidates, space, metric, overrides, message
):
    assert message in refused(candidates(space, metric, overrides=overrides).check)


def test_trials_are_shown_where_their_study_is(candidates):
    made = candidates({"data": Choices(("iris", "digits"))}, overrides=())
    experiment = made.check().tracking.experiment
    for name in ("iris", "digits"):
        config = made.config({"data": name})
        assert config["data"]["name"] == name
        assert config["tracking"]["experiment"] == experiment


@pytest.mark.parametrize("metric", ["validation/los", "test/loss", "lr", "validation/r2"])
def test_a_metric_that_reports_do_not_have_is_refused(candidates, metric):
    made = candidates({"optimizer.lr": Range(0.1, 1.0)}, metric)
    message = refused(made.check)
    assert message.startswith("metric must be one of ") and "validation/loss_ema" in message
    assert f"but got metric={metric}" in message and message.endswith("(of the sweep)")


def test_the_metric_of_an_average_needs_the_average(candidates):
    overrides = ("data=iris", "tracking=none", "averaging=none")
    made = candidates({"optimizer.lr": Range(0.1, 1.0)}, "validation/loss_ema", overrides=overrides)
    assert "but got metric=validation/loss_ema" in refused(made.check)

"""A sweep's file and arguments become a definition, or are refused with their place."""

import pytest

from nnlab.core.laws import LawError
from nnlab.errors import UserError
from nnlab.sweeps.candidates import Candidates
from nnlab.sweeps.constraints import Constraint
from nnlab.sweeps.definition import Definition
from nnlab.sweeps.parameters import parse_space
from nnlab.sweeps.pruners import Halving, Median, NoPruning, Patient
from nnlab.sweeps.reading import KEYS, available, define, define_unnamed
from nnlab.sweeps.samplers import CMAES, NSGA2, TPE, Grid, Random
from nnlab.sweeps.space import Choices, Range

MINE = """# a sweep of my own
experiment: [data=iris, model=linear, tracking=none]
metric: validation/loss
trials: 7
parameters:
  optimizer.lr: {low: 1e-3, high: 1, log: true}
"""
SPACE = {"optimizer.lr": Range(1e-3, 1, log=True)}
OVERRIDES = ("data=iris", "model=linear", "tracking=none")


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
        ("validation/loss",),
        directions=("minimize",),
        overrides=OVERRIDES,
        sampler=TPE(),
        pruner=Median(),
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
            "pruner={name: patient, patience: 2, pruner: {name: halving, factor: 3}}",
            "metric=train/loss",
            "direction=maximize",
            "seed=4",  # of the experiment
            "sweep.seed=5",
            "batch_size=8",
            "+tag=x",
            "constraints={parameters: 100, validation/accuracy: {min: 0.5}}",
            "time=2 minutes",
            "deterministic=true",
            "lag=3",
            "timeout=1.5",
        ],
    )
    assert definition == Definition(
        "mine",
        SPACE,
        ("train/loss",),
        directions=("maximize",),
        overrides=(*OVERRIDES, "seed=4", "batch_size=8", "+tag=x"),
        sampler=Random(),
        pruner=Patient(patience=2, pruner=Halving(factor=3)),
        constraints=(
            Constraint("parameters", high=100),
            Constraint("validation/accuracy", low=0.5),
        ),
        trials=3,
        workers=2,
        seed=5,
        time="2 minutes",
        deterministic=True,
        lag=3,
        timeout=1.5,
    )
    assert (definition.seconds, definition.delay) == (120, 3)


def test_parameters_come_from_arguments_too(mine):
    space = define("mine", ["optimizer.lr=interval(0.1,1)", "batch_size=8,16"]).space
    assert space == {"optimizer.lr": Range(0.1, 1.0), "batch_size": Choices((8, 16))}


def test_an_override_of_a_parameter_fixes_it(mine):
    definition = define("mine", ["optimizer.lr=0.5"])
    assert definition.space == {"optimizer.lr": Choices((0.5,))}
    assert definition.overrides == OVERRIDES


CONDITIONAL = """
experiment: [data=iris, tracking=none]
metric: validation/loss
parameters:
  optimizer: [sgd, momentum, adam]
  optimizer.momentum: {low: 0.5, high: 0.9, when: {optimizer: momentum}}
  optimizer.beta1: {low: 0.5, high: 0.9, when: {optimizer: adam}}
"""


def test_a_fixed_choice_leaves_what_exists_under_it(sweep_file):
    sweep_file("mine", CONDITIONAL)
    assert list(define("mine", []).space) == ["optimizer", "optimizer.momentum", "optimizer.beta1"]
    fixed = define("mine", ["optimizer=momentum"]).space
    assert fixed == {
        "optimizer": Choices(("momentum",)),
        "optimizer.momentum": Range(0.5, 0.9, when={"optimizer": ("momentum",)}),
    }
    assert list(define("mine", ["optimizer=sgd"]).space) == ["optimizer"]
    other = define("mine", ["optimizer.momentum=interval(0.1,0.2)"]).space
    assert other["optimizer.momentum"] == Range(0.1, 0.2, when={"optimizer": ("momentum",)})


def test_a_grid_has_as_many_trials_as_points_unless_they_are_given(sweep_file):
    sweep_file("mine", MINE.replace("trials: 7\n", "sampler: grid\n"))
    lr = "optimizer.lr=0.1,0.2,0.3"
    assert define("mine", [lr]).trials == 3
    assert define("mine", [lr, "trials=2"]).trials == 2
    assert define("mine", [lr, "batch_size=range(8,33,8)"]).trials == 12


def test_several_objectives_are_not_pruned_by_default(mine):
    definition = define("mine", ["metric=[validation/loss,parameters]"])
    assert definition.metrics == ("validation/loss", "parameters")
    assert definition.directions == ("minimize", "minimize")
    assert definition.pruner == NoPruning()


def test_a_sweep_of_the_working_directory_is_found_beside_ours_and_before_it(sweep_file):
    assert "digits" in available()
    assert "mine" not in available()
    sweep_file("mine", MINE)
    sweep_file("digits", MINE)
    assert {"digits", "mine"} <= set(available())
    assert define("digits", []).trials == 7


@pytest.mark.parametrize("name", ["digits", "optimizers", "widths", "small_and_good", "repeated"])
def test_our_own_sweeps_compose(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Candidates(define(name, ["tracking=none"])).check()


def test_an_unnamed_sweep_is_named_by_what_it_searches():
    def name(*arguments, **settings):
        return define_unnamed(None, {"metric": "x", **settings}, arguments).name

    lr = "optimizer.lr=interval(0,1)"
    assert name(lr) == name(lr, trials=9) != name("optimizer.lr=interval(0,2)")
    assert name(lr) != name(lr, "seed=1")
    assert name(lr).startswith("multirun-")
    assert define_unnamed("own", {"metric": "x"}, [lr]).name == "own"


BAD_FILES = {  # what is appended to MINE, or replaces it; the message; the line
    "an unknown key": (
        MINE + "trails: 3\n",
        "trails is not a key of a sweep (did you mean trials?); known here: " + ", ".join(KEYS),
        7,
    ),
    "no metric": ("parameters: {seed: [1]}", "metric is missing", None),
    "no parameters": (
        "metric: x",
        "parameters must name at least one key, but got parameters={}",
        None,
    ),
    "parameters of text": (
        "metric: x\nparameters: abc",
        "parameters must name at least one key, but got parameters='abc'",
        2,
    ),
    "an experiment of text": (
        MINE.replace("[data=iris, model=linear, tracking=none]", "data=iris"),
        "experiment must be a list of overrides, but got 'data=iris'",
        2,
    ),
    "an experiment of numbers": (
        MINE.replace("[data=iris, model=linear, tracking=none]", "[1]"),
        "experiment must be a list of overrides, but got [1]",
        2,
    ),
    "a bad setting": (
        MINE.replace("7", "many"),
        "trials must be a whole number, but got trials='many'",
        4,
    ),
    "a setting against its law": (
        MINE.replace("7", "0"),
        "`trials >= 1` must hold, but got trials=0 (of the sweep)",
        4,
    ),
    "an unknown sampler": (
        MINE + "sampler: tpee\n",
        "sampler must be one of cmaes, grid, nsga2, qmc, random, tpe, but got sampler=tpee "
        "(did you mean tpe?)",
        7,
    ),
    "an unknown option of a sampler": (
        MINE + "sampler:\n  name: tpe\n  startp: 3\n",
        "sampler.startp is not an option of tpe (did you mean startup?); its options are startup, "
        "candidates",
        9,
    ),
    "an option against its law": (
        MINE + "sampler:\n  name: qmc\n  sequence: sobal\n",
        "sequence must be one of halton, sobol, but got sequence=sobal (did you mean sobol?) "
        "(sampler.sequence)",
        9,
    ),
    "an option of another kind": (
        MINE + "pruner:\n  name: median\n  warmup: 2.5\n",
        "pruner.warmup must be a whole number, but got pruner.warmup=2.5",
        9,
    ),
    "a pruner in a pruner": (
        MINE + "pruner:\n  name: patient\n  pruner:\n    name: medium\n",
        "pruner must be one of halving, hyperband, median, none, patient, threshold, wilcoxon, "
        "but got pruner=medium (did you mean median?)",
        10,
    ),
    "a sampler without a name": (
        MINE + "sampler: {startup: 3}\n",
        "sampler must be a name, or a mapping with a name as in {name: tpe}, but got "
        "sampler={'startup': 3}",
        7,
    ),
    "a grid without a step": (
        MINE + "sampler: grid\n",
        "`a grid has at most 1,000,000 points: give its ranges a step` must hold, but got "
        "sampler=grid (of the sweep)",
        7,
    ),
    "an evolution of one number": (
        MINE + "sampler: cmaes\n",
        "cmaes varies two or more numbers, but got optimizer.lr: use sampler: tpe (of the sweep)",
        7,
    ),
    "an evolution of choices": (
        MINE + "  batch_size: [8, 16]\nsampler: cmaes\n",
        "cmaes varies numbers, but batch_size is a choice: use sampler: tpe (of the sweep)",
        8,
    ),
    "constraints that are a list": (
        MINE + "constraints: [1]\n",
        "constraints must map quantities to limits, as in {parameters: 50000}, but got "
        "constraints=[1]",
        7,
    ),
    "a constraint of no limit": (
        MINE + "constraints:\n  seconds: 3\n  parameters: {most: 3}\n",
        "constraints.parameters must be the most (a number) or {min: ..., max: ...}, but got "
        "{'most': 3}",
        9,
    ),
    "a constraint that nothing keeps": (
        MINE + "constraints: {seconds: {min: 3, max: 2}}\n",
        "`min <= max` must hold, but got min=3, max=2 (constraints.seconds)",
        7,
    ),
    "several objectives and a pruner": (
        MINE.replace("validation/loss", "[validation/loss, parameters]") + "pruner: median\n",
        "trials of several objectives are not pruned: a value cannot be worse than a front; write "
        "pruner: none, but got pruner=median (of the sweep)",
        7,
    ),
    "several objectives and an evolution": (
        MINE.replace("validation/loss", "[validation/loss, parameters]")
        + "  optimizer.momentum: {low: 0.5, high: 0.9}\nsampler: cmaes\n",
        "several objectives are searched by tpe, random, grid, qmc, nsga2, but got sampler=cmaes "
        "(of the sweep)",
        8,
    ),
    "more directions than metrics": (
        MINE + "direction: [minimize, maximize]\n",
        "`one direction for each metric` must hold, but got direction=['minimize', 'maximize'] "
        "(of the sweep)",
        7,
    ),
    "a metric twice": (
        MINE.replace("validation/loss", "[validation/loss, validation/loss]"),
        "`no metric twice` must hold, but got metric=('validation/loss', 'validation/loss') "
        "(of the sweep)",
        3,
    ),
    "a time in epochs": (
        MINE + "time: 5 epochs\n",
        "`time is in seconds or minutes, or never` must hold, but got time=5 epochs (of the sweep)",
        7,
    ),
    "a lag without determinism": (
        MINE + "lag: 2\n",
        "`lag needs deterministic: true` must hold, but got lag=2 (of the sweep)",
        7,
    ),
    "an engine that there is not": (
        MINE + "engine: cluster\n",
        "engine must be one of local, vectorized, but got engine=cluster (of the sweep)",
        7,
    ),
    "no trials per worker": (
        MINE + "engine: vectorized\ntrials_per_worker: 0\n",
        "`trials_per_worker >= 1` must hold, but got trials_per_worker=0 (of the sweep)",
        8,
    ),
    "trials per worker of the local engine": (
        MINE + "trials_per_worker: 16\n",
        "`trials_per_worker needs engine: vectorized` must hold, but got trials_per_worker=16 "
        "(of the sweep)",
        7,
    ),
    "an engine with options": (
        MINE + "engine: {name: vectorized}\n",
        "engine must be a text, but got engine={'name': 'vectorized'}",
        7,
    ),
    "an option of the engine": (
        MINE + "engine.trials_per_worker: 16\n",
        "engine.trials_per_worker is not a key of a sweep (did you mean trials_per_worker?); "
        f"known here: {', '.join(KEYS)}",
        7,
    ),
    "an empty range": (
        MINE.replace("1e-3, high: 1", "1, high: 1"),
        "`low < high` must hold, but got low=1, high=1 (parameters.optimizer.lr)",
        6,
    ),
    "a log range from zero": (
        MINE.replace("1e-3", "0"),
        "`low > 0` must hold where log is true, but got low=0 (parameters.optimizer.lr)",
        6,
    ),
    "a block of parameters": (
        MINE + "  batch_size:\n    low: 8\n    hihg: 64\n",
        "parameters.batch_size.hihg is not known (did you mean high?); a range has low, high, log, "
        "step and when, a choice has choice and when",
        9,
    ),
    "a condition on nothing": (
        MINE + "  batch_size:\n    choice: [8]\n    when:\n      optimizer: sgd\n",
        "parameters.batch_size.when looks at optimizer, which is not a parameter (did you mean "
        "optimizer.lr?); the parameters are optimizer.lr, batch_size",
        10,
    ),
    # what only the composed config can tell
    "an unknown parameter": (
        MINE + "  optimizer.lrr: [1]\n",
        "parameters.optimizer.lrr is not a key of the config (did you mean optimizer.lr?); "
        "`nnlab train --cfg job` shows the keys",
        7,
    ),
    "an unknown choice of a group": (
        MINE + "  loss:\n    - cross_entropy\n    - msee\n",
        "loss has no choice msee (did you mean mse?); the choices are binary_cross_entropy, "
        "binary_hinge, cross_entropy, half_mse, hinge, huber, mse, sigmoid_squared_error, "
        "squared_hinge",
        9,
    ),
    "a key that only one choice has": (
        MINE + "  optimizer: [momentum, sgd]\n  optimizer.momentum: {low: 0.5, high: 0.9}\n",
        "parameters.optimizer.momentum is not there with optimizer=sgd; give it "
        "`when: {optimizer: momentum}`",
        8,
    ),
    "a key that the first choice does not have": (
        MINE + "  optimizer: [sgd, momentum, nag]\n  optimizer.momentum: {low: 0.5, high: 0.9}\n",
        "parameters.optimizer.momentum is not there with optimizer=sgd; give it "
        "`when: {optimizer: [momentum, nag]}`",
        8,
    ),
    "an illegal high end": (
        MINE + "  optimizer.momentum:\n    low: 0.5\n    high: 1.5\n",
        "`0 <= momentum < 1` must hold, but got momentum=1.5 (optimizer.momentum)",
        9,
    ),
    "an illegal low end": (
        MINE + "  batch_size:\n    low: -8\n    high: 8\n",
        "`batch_size >= 1` must hold, but got batch_size=-8",
        8,
    ),
    "an illegal end under a condition": (
        MINE
        + "  optimizer: [momentum, adam]\n"
        + "  optimizer.beta1: {low: 0.5, high: 1.5, when: {optimizer: adam}}\n",
        "`0 <= beta1 < 1` must hold, but got beta1=1.5 (optimizer.beta1)",
        8,
    ),
    "choices that do not fit": (
        MINE.replace("iris", "diabetes, loss=mse").replace("linear", "linear")
        + "  loss: [mse, hinge]\n",
        "the loss needs class labels",
        7,
    ),
    "an unknown metric": (
        MINE.replace("validation/loss", "validation/los"),
        "metric must be one of parameters, seconds, train/accuracy, train/accuracy_ema, "
        "train/loss, train/loss_ema, validation/accuracy, validation/accuracy_ema, "
        "validation/loss, validation/loss_ema, but got metric=validation/los "
        "(did you mean validation/loss?) (of the sweep)",
        3,
    ),
    "a constraint on nothing": (
        MINE + "constraints:\n  parameter: 3\n",
        "constraints must be one of parameters, seconds, train/accuracy, train/accuracy_ema, "
        "train/loss, train/loss_ema, validation/accuracy, validation/accuracy_ema, "
        "validation/loss, validation/loss_ema, but got constraints=parameter "
        "(did you mean parameters?)",
        8,
    ),
    "signed ranks of one training": (
        MINE + "pruner: wilcoxon\n",
        "the wilcoxon pruner needs 4 seeds and folds to reach p < 0.1, but the experiment has 1: "
        "add seeds=4 or validation=kfold to it",
        7,
    ),
    "signed ranks of too few": (
        MINE.replace("model=linear", "model=linear, seeds=4") + "pruner: {name: wilcoxon, p: 0.01}",
        "the wilcoxon pruner needs 7 seeds and folds to reach p < 0.01, but the experiment has 4: "
        "add seeds=7 or validation=kfold to it",
        7,
    ),
}


@pytest.mark.parametrize(("text", "message", "line"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused_by_name_and_line(sweep_file, text, message, line):
    sweep_file("bad", text)
    place = f"(bad.yaml, line {line})" if line else "(bad.yaml)"
    found = refused(lambda: Candidates(define("bad", [])).check())
    if "needs class labels" in message:
        assert message in found and found.endswith(f" {place}")
    else:
        assert found == f"{message} {place}"


NO_MAPPINGS = {
    "[1, 2]": "bad.yaml must hold a mapping, but holds list",
    "": "bad.yaml must hold a mapping, but holds NoneType",
}


@pytest.mark.parametrize(("text", "message"), NO_MAPPINGS.items())
def test_a_file_that_is_no_mapping_is_refused_by_name(sweep_file, text, message):
    sweep_file("bad", text)
    assert refused(define, "bad", []) == message


def test_a_file_that_is_no_yaml_is_refused_by_name(sweep_file):
    sweep_file("bad", "metric: [")
    assert refused(define, "bad", []).startswith("bad.yaml cannot be read as a config: ")


BAD_ARGUMENTS = {  # the message, before the argument itself
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
        "sampler must be one of cmaes, grid, nsga2, qmc, random, tpe, but got sampler=tpee "
        "(did you mean tpe?)"
    ),
    "sweep.trails=3": (
        "trails is not a key of a sweep (did you mean trials?); known here: " + ", ".join(KEYS)
    ),
    "retries=-1": "`retries >= 0` must hold, but got retries=-1 (of the sweep)",
    "engine=vectorised": (
        "engine must be one of local, vectorized, but got engine=vectorised "
        "(did you mean vectorized?) (of the sweep)"
    ),
    "trials_per_worker=many": (
        "trials_per_worker must be a whole number, but got trials_per_worker='many'"
    ),
    "trials_per_worker=-1": (
        "`trials_per_worker >= 1` must hold, but got trials_per_worker=-1 (of the sweep)"
    ),
    "trials_per_worker=4": (
        "`trials_per_worker needs engine: vectorized` must hold, but got trials_per_worker=4 "
        "(of the sweep)"
    ),
    "deterministic=1": "deterministic must be true or false, but got deterministic=1",
    "time=soon": (
        'time must be an interval above zero such as "30 seconds", "5 epochs" or "1000 steps", or '
        "\"never\", but got time='soon' (of the sweep)"
    ),
    "optimizer.lrr=interval(0,1)": (
        "parameters.optimizer.lrr is not a key of the config (did you mean optimizer.lr?); "
        "`nnlab train --cfg job` shows the keys"
    ),
    "batch_size=interval(8,16)": "batch_size must be a whole number, but got batch_size=8.0",
    "optimizer=sgd,adamm": (
        "optimizer has no choice adamm (did you mean adam?); the choices are adadelta, adagrad, "
        "adam, adamw, lbfgs, lion, momentum, nadam, nag, random_local_search, random_search, "
        "rmsprop, sgd"
    ),
    "optimizer.lr=-1": "`lr > 0` must hold, but got lr=-1.0 (optimizer.lr)",
}


@pytest.mark.parametrize(("argument", "message"), BAD_ARGUMENTS.items(), ids=BAD_ARGUMENTS)
def test_a_bad_argument_is_refused_with_its_law_and_itself(mine, argument, message):
    found = refused(lambda: Candidates(define("mine", [argument])).check())
    assert found == f"{message} (argument {argument})"


NO_ARGUMENTS = {
    "trials": "'trials' is not an override; write key=value",
    "trials=[": "'trials=[' has no value that YAML could read",
    "trials=a: b: c": "'trials=a: b: c' has no value that YAML could read",
    "trails=3": (
        "trails is neither a setting of the sweep nor a key of the experiment "
        "(did you mean trials?)"
    ),
    "engine.trials_per_worker=16": (
        "engine.trials_per_worker is not a setting of the sweep (did you mean trials_per_worker?)"
    ),
    "sampler.startup=20": "sampler.startup is not a setting of the sweep (did you mean sampler?)",
}


@pytest.mark.parametrize(("argument", "message"), NO_ARGUMENTS.items(), ids=NO_ARGUMENTS)
def test_what_is_no_argument_is_refused(mine, argument, message):
    assert refused(define, "mine", [argument]) == message


def test_another_engine_leaves_out_what_the_file_says_of_its_own(sweep_file):
    sweep_file("stacks", MINE + "engine: vectorized\ntrials_per_worker: 4\n")
    assert define("stacks", ["engine=vectorized"]).each == 4
    assert define("stacks", ["trials_per_worker=8"]).each == 8
    assert define("stacks", ["engine=local"]).each == 1
    message = refused(define, "stacks", ["engine=local", "trials_per_worker=8"])
    assert "needs engine: vectorized" in message


def test_an_unknown_sweep_lists_the_known_ones_and_the_nearest(mine):
    message = refused(define, "mime", [])
    assert message.startswith("there is no sweep mime (did you mean mine?); the sweeps are ")
    assert "digits" in message and "mine" in message


LAWS = {
    "grid": {"sampler": Grid()},
    "cmaes": {"sampler": CMAES()},
    "several": {"metrics": ("a", "b"), "directions": ("minimize",) * 2},
    "no metric": {"metrics": ()},
    "a name": {"register": "a:b"},
    "register several": {
        "metrics": ("a", "b"),
        "directions": ("minimize",) * 2,
        "sampler": NSGA2(),
        "pruner": NoPruning(),
        "register": "x",
    },
    "where it runs": {"space": parse_space({"runtime.threads": [1, 2]})},
}


@pytest.mark.parametrize("settings", LAWS.values(), ids=LAWS)
def test_a_definition_checks_its_laws_by_itself(settings):
    with pytest.raises(LawError):
        Definition(**{"name": "x", "space": SPACE, "metrics": ("loss",)} | settings)


@pytest.mark.parametrize("key", ["store", "tracking.uri", "runtime", "checkpoint_every"])
def test_where_and_how_trials_run_is_not_searched(sweep_file, key):
    text = "metric: validation/loss\nparameters:\n  optimizer.lr: [1, 2]\n"
    sweep_file("mine", f"{text}  {key}: [a, b]\n")
    with pytest.raises(UserError) as error:
        define("mine", [])
    said = f"{key} is the same for all trials of a sweep: give it one value, but got {key}="
    assert str(error.value) == f"{said}['a', 'b'] (of the sweep) (mine.yaml, line 4)"


def test_no_more_slots_than_trials(definition):
    assert definition(trials=3, workers=8).slots == 3
    assert definition(trials=30, workers=8).slots == 8
    assert 1 <= definition(trials=1000, workers=0).slots <= 1000


def test_the_lag_is_that_of_the_workers_unless_it_is_given(definition):
    assert definition(workers=3).delay == 0
    assert definition(workers=3, deterministic=True).delay == 3
    assert definition(workers=3, trials=1, deterministic=True).delay == 3
    assert definition(workers=3, deterministic=True, lag=5).delay == 5
    vectorized = {"workers": 3, "engine": "vectorized", "trials_per_worker": 4}
    assert definition(**vectorized, deterministic=True).delay == 12
    assert definition(**vectorized, trials=40).slots == 12


def test_an_engine_that_there_is_not(definition):
    with pytest.raises(LawError, match="engine must be one of local, vectorized"):
        definition(engine="cluster")
    with pytest.raises(LawError, match="trials_per_worker >= 1"):
        definition(engine="vectorized", trials_per_worker=0)
    with pytest.raises(LawError, match="`trials_per_worker needs engine: vectorized` must hold"):
        definition(trials_per_worker=16)


@pytest.mark.parametrize(
    ("workers", "each", "trials", "processes", "together"),
    [(2, 16, 40, 2, 16), (2, 16, 20, 2, 10), (2, 16, 3, 2, 2), (4, 16, 3, 3, 1), (1, 1, 9, 1, 1)],
)
def test_what_the_workers_have_at_once(definition, workers, each, trials, processes, together):
    settings = {"workers": workers, "trials": trials}
    made = definition(engine="vectorized", trials_per_worker=each, **settings)
    assert (made.processes, made.together) == (processes, together)
    assert made.plain["trials_per_worker"] == each
    local = definition(**settings)
    assert (local.processes, local.together) == (local.slots, 1)


def test_a_definition_as_plain_data_says_everything(definition):
    space = parse_space(
        {
            "a": {"low": 0, "high": 1},
            "b": ["x", "y"],
            "c": {"low": 0.0, "high": 1.0, "step": 0.5, "when": {"b": "x"}},
            "d": {"choice": [1], "when": {"b": ["x", "y"]}},
        }
    )
    settings = {
        "space": space,
        "overrides": ("seed=1",),
        "trials": 9,
        "pruner": Patient(pruner=NoPruning()),
        "constraints": (Constraint("seconds", high=3.0),),
    }
    assert definition(**settings).plain == {
        "name": "unit",
        "space": {
            "a": {"low": 0, "high": 1, "log": False},
            "b": ["x", "y"],
            "c": {"low": 0.0, "high": 1.0, "log": False, "step": 0.5, "when": {"b": ["x"]}},
            "d": {"choice": [1], "when": {"b": ["x", "y"]}},
        },
        "metric": "loss",
        "direction": "minimize",
        "overrides": ["seed=1"],
        "sampler": {"name": "tpe", "startup": 10, "candidates": 24},
        "pruner": {"name": "patient", "patience": 5, "delta": 0.0, "pruner": {"name": "none"}},
        "constraints": {"seconds": {"max": 3.0}},
        "seed": 0,
        "trials": 9,
        "time": "never",
        "epochs": 0,
        "workers": 0,
        "engine": "local",
        "trials_per_worker": 1,
        "deterministic": False,
        "lag": 0,
        "retries": 0,
        "timeout": 0.0,
        "max_failures": 0,
        "fail_fast": False,
        "register": "",
    }
    both = definition(metric=["a", "b"], direction=["minimize"] * 2, sampler=NSGA2(), pruner="none")
    assert both.plain["metric"] == ["a", "b"]


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
        "parameters.optimizer.momentum is not there with optimizer=sgd; give it "
        "`when: {optimizer: momentum}`",
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

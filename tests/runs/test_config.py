import math
import re
from dataclasses import fields
from pathlib import Path

import pytest

from nnlab.core.adaptive import Adam
from nnlab.core.averaging import EMA
from nnlab.core.clipping import NoClipping
from nnlab.core.initialisers import He
from nnlab.core.losses import CrossEntropy
from nnlab.core.model import MLP, Linear
from nnlab.core.objective import Analytic
from nnlab.core.optimizers import Momentum
from nnlab.core.penalties import L2
from nnlab.core.schedules import Constant
from nnlab.core.smoothing import NoSmoothing
from nnlab.core.warmup import NoWarmup
from nnlab.core.weighting import NoWeighting
from nnlab.data.sources.bundled import Iris
from nnlab.data.validation import Holdout
from nnlab.errors import UserError
from nnlab.runs.config import KEYS, LISTS, checked, parse, prepare
from nnlab.runs.destination import Untracked
from nnlab.runs.plain import load
from nnlab.runs.registry import GROUPS
from nnlab.runs.runtime import Runtime
from nnlab.training.stopping import MaxEpochs, Patience


def part(group, name, **changes):
    """A component as a config says it, with the defaults of its class but for some values."""
    values = {field.name: field.default for field in fields(GROUPS[group][name])}
    plain = {key: list(value) if type(value) is tuple else value for key, value in values.items()}
    return ({} if group == "stopping" else {"name": name}) | plain | changes


def mlp(**changes):
    return part("model", "mlp", **changes)


def rule(name, **changes):
    return part("stopping", name, **changes)


EPOCHS = {"max_epochs": rule("max_epochs")}


def test_a_config_becomes_its_components(config):
    plain = config()
    run = parse(plain)
    experiment = run.experiment
    assert experiment.model == Linear()
    assert experiment.initialiser == He()
    assert experiment.loss == CrossEntropy()
    assert experiment.label_smoothing == NoSmoothing()
    assert experiment.weighting == NoWeighting()
    assert experiment.penalty == L2(0.0001)
    assert experiment.optimizer == Momentum(0.05, 0.9)
    assert experiment.gradient == Analytic()
    assert experiment.clipping == NoClipping()
    assert experiment.schedule == Constant()
    assert experiment.warmup == NoWarmup()
    assert experiment.data == Iris("standard", 0.15, 0)
    assert experiment.validation == Holdout(0.15)
    assert experiment.averaging == EMA(0.99, True)
    assert experiment.stopping == (MaxEpochs(2),)
    assert (experiment.seed, experiment.seeds, experiment.batch_size) == (0, 1, 32)
    assert (experiment.dtype, experiment.evaluate_every) == ("float32", "1 epoch")
    assert run.preflight is False
    assert run.tracking == Untracked("iris")
    assert run.runtime == Runtime(1)
    assert run.store == Path("mlruns")
    assert run.plain is plain


def test_values_take_the_type_of_their_field(config):
    run = parse(
        config(
            {
                "optimizer": part("optimizer", "adam", lr=1, beta1=0),
                "model": mlp(hidden=[3, 4], activation="tanh"),
                "stopping": {"patience": rule("patience", evaluations=3), **EPOCHS},
            }
        )
    ).experiment
    assert run.optimizer == Adam(1.0, 0.0)
    assert isinstance(run.optimizer.lr, float)
    assert run.model == MLP((3, 4), "tanh")
    assert run.stopping == (Patience(3), MaxEpochs())  # in the order they are written


HUGE = 10**30
HUGER = 10**400  # as a float it would be infinite
HUGEST = 10**5000  # Python refuses to write it out
ERRORS = [  # (key, value, what the message must say)
    # unknown and missing
    ("optimiser", {}, ["optimiser is not a key", "did you mean optimizer?"]),
    ("_target_", "os.system", ["_target_ is not a key"]),
    ("optimizer.lrr", 0.1, ["optimizer.lrr is not a key", "did you mean lr?", "lr, momentum"]),
    ("optimizer._target_", "os.system", ["optimizer._target_ is not a key"]),
    ("optimizer._args_", [1], ["optimizer._args_ is not a key"]),
    ("optimizer.name", "adma", ["optimizer.name", "'adma'", "did you mean adam?", "momentum"]),
    ("optimizer.name", "os.system", ["optimizer.name", "'os.system'"]),
    ("optimizer.name", None, ["optimizer.name", "None"]),
    ("optimizer.name", ["sgd"], ["optimizer.name", "['sgd']"]),
    ("optimizer.name", "Momentum", ["optimizer.name", "did you mean momentum?"]),
    ("model.name", "__class__", ["model.name", "linear, mlp"]),
    ("loss.delta", 1.0, ["loss.delta is not a key", "nothing"]),
    ("stopping.max_epoch", {}, ["max_epoch", "did you mean max_epochs?", "patience"]),
    ("stopping.max_epochs.name", "max_steps", ["stopping.max_epochs.name is not a key"]),
    ("stopping.max_epochs.epoch", 3, ["stopping.max_epochs.epoch is not", "epochs?"]),
    # another kind of thing
    ("optimizer", "sgd", ["optimizer must be a mapping", "'sgd'"]),
    ("optimizer", None, ["optimizer must be a mapping", "None"]),
    ("optimizer", ["sgd"], ["optimizer must be a mapping"]),
    ("stopping", ["max_epochs"], ["stopping must be a mapping", "max_epochs"]),
    ("stopping", 3, ["stopping must be a mapping", "3"]),
    ("stopping.max_epochs", 3, ["stopping.max_epochs must be a mapping", "3"]),
    ("stopping.max_epochs", None, ["stopping.max_epochs must be a mapping", "None"]),
    ("optimizer.lr", "abc", ["optimizer.lr must be a number", "'abc'"]),
    ("optimizer.lr", "1e-3", ["optimizer.lr must be a number", "'1e-3'"]),
    ("optimizer.lr", "${seed}", ["optimizer.lr must be a number", "'${seed}'"]),
    ("optimizer.lr", True, ["optimizer.lr must be a number", "True"]),
    ("optimizer.lr", None, ["optimizer.lr must be a number", "None"]),
    ("optimizer.lr", [0.1], ["optimizer.lr must be a number", "[0.1]"]),
    ("optimizer.lr", {"a": 1}, ["optimizer.lr must be a number", "{'a': 1}"]),
    ("seed", 1.0, ["seed must be a whole number", "1.0"]),
    ("seed", "1", ["seed must be a whole number", "'1'"]),
    ("seed", True, ["seed must be a whole number", "True"]),
    ("batch_size", [32], ["batch_size must be a whole number", "[32]"]),
    ("dtype", 32, ["dtype must be a text", "32"]),
    ("evaluate_every", 5, ["evaluate_every must be a text", "5"]),
    ("store", None, ["store must be a text", "None"]),
    ("averaging.bias_correction", 1, ["averaging.bias_correction must be true or false", "1"]),
    ("averaging.bias_correction", "no", ["averaging.bias_correction must be", "'no'"]),
    ("runtime.threads", 1.5, ["runtime.threads must be a whole number", "1.5"]),
    ("model", mlp(hidden=64), ["model.hidden must be a list", "64"]),
    ("model", mlp(hidden="64"), ["model.hidden must be a list", "'64'"]),
    ("model", mlp(hidden=[64, "x"]), ["model.hidden[1]", "whole number", "'x'"]),
    ("model", mlp(hidden=[[64]]), ["model.hidden[0]", "whole number", "[64]"]),
    # out of range
    ("optimizer.lr", 0, ["lr > 0", "lr=0.0", "optimizer.lr"]),
    ("optimizer.lr", -0.1, ["lr > 0", "lr=-0.1", "optimizer.lr"]),
    ("optimizer.momentum", 1, ["0 <= momentum < 1", "momentum=1.0", "optimizer.momentum"]),
    ("averaging.decay", 1.5, ["0 <= decay < 1", "decay=1.5", "averaging.decay"]),
    ("initialiser.name", "norml", ["he, normal, xavier, zeros", "normal?", "initialiser.name"]),
    ("initialiser", part("initialiser", "normal", std=0), ["std > 0", "initialiser.std"]),
    (
        "weighting",
        part("weighting", "by_class", weights=[-1]),
        ["weight >= 0", "weighting.weights"],
    ),
    ("clipping", part("clipping", "norm", norm=0), ["norm", "norm=0.0 (clipping.norm)"]),
    ("label_smoothing", part("label_smoothing", "uniform", epsilon=1), ["label_smoothing.epsilon"]),
    ("gradient", part("gradient", "numerical", scheme="up"), ["central", "gradient.scheme"]),
    ("warmup", part("warmup", "linear", over="soon"), ["'soon'", "warmup.over"]),
    ("validation", part("validation", "kfold", folds=1), ["folds >= 2", "validation.folds"]),
    ("seeds", 0, ["seeds >= 1", "seeds=0"]),
    ("preflight", "yes", ["preflight must be true or false", "'yes'"]),
    ("model", mlp(hidden=[0]), ["every width", "hidden=[0]", "model.hidden"]),
    ("validation.fraction", 1, ["0 < fraction < 1", "fraction=1.0", "validation.fraction"]),
    ("data.test", 1, ["0 <= test < 1", "test=1.0", "data.test"]),
    ("data.split_seed", -1, ["split_seed >= 0", "split_seed=-1", "data.split_seed"]),
    ("schedule", part("schedule", "step", every="soon"), ["'soon'", "10 epochs", "schedule.every"]),
    ("stopping.max_epochs.epochs", 0, ["epochs >= 1", "epochs=0", "stopping.max_epochs.epochs"]),
    (
        "stopping.patience",
        rule("patience", direction="up"),
        ["direction=up", "stopping.patience.direction"],
    ),
    ("stopping", {}, ["at least one rule"]),
    ("runtime.threads", 0, ["1 <= threads", "threads=0", "runtime.threads"]),
    ("seed", -1, ["seed >= 0", "seed=-1"]),
    ("batch_size", 0, ["batch_size >= 1", "batch_size=0"]),
    ("dtype", "float16", ["dtype", "float32, float64", "float16"]),
    ("evaluate_every", "0 steps", ["evaluate_every", "above zero", "'0 steps'"]),
    ("evaluate_every", "1e400 epochs", ["evaluate_every", "'1e400 epochs'"]),
    ("evaluate_every", "${seed} steps", ["evaluate_every", "'${seed} steps'"]),
    (
        "tracking",
        part("tracking", "mlflow", uri="nowhere"),
        ["uri='nowhere'", "tracking.uri", "http"],
    ),
    ("tracking", part("tracking", "mlflow", uri="file:x"), ["uri='file:x'", "tracking.uri"]),
    # numbers that are none, or too large
    ("optimizer.lr", math.nan, ["optimizer.lr must be finite", "nan"]),
    ("optimizer.lr", math.inf, ["optimizer.lr must be finite", "inf"]),
    ("stopping.max_epochs.epochs", math.inf, ["stopping.max_epochs.epochs must be a whole", "inf"]),
    (
        "stopping.time_budget",
        rule("time_budget", seconds=-math.inf),
        ["stopping.time_budget.seconds", "-inf"],
    ),
    ("optimizer.lr", HUGER, ["optimizer.lr must be finite"]),
    ("optimizer.lr", -HUGEST, ["optimizer.lr must be finite"]),
    ("seed", HUGEST, ["seed must fit 64 bits"]),
    ("seed", HUGE, ["seed must fit 64 bits", str(HUGE)]),
    ("seed", -HUGE, ["seed must fit 64 bits", str(-HUGE)]),
    ("stopping.max_epochs.epochs", 2**63, ["stopping.max_epochs.epochs must fit 64 bits"]),
    ("model", mlp(hidden=[HUGE]), ["model.hidden[0] must fit 64 bits"]),
]


@pytest.mark.parametrize(
    ("key", "value", "words"), ERRORS, ids=[f"{k}-{key}" for k, (key, _, _) in enumerate(ERRORS)]
)
def test_a_bad_value_is_refused_with_its_key_the_law_and_the_value(config, key, value, words):
    with pytest.raises(UserError) as error:
        parse(config({key: value}))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_key_is_refused(config, deleted, key):
    with pytest.raises(UserError, match=f"the config has no {key}"):
        parse(config({key: deleted}))


@pytest.mark.parametrize("group", sorted(set(GROUPS) - set(LISTS)))
def test_a_missing_name_is_refused(config, deleted, group):
    with pytest.raises(UserError, match=rf"{group}\.name must be one of .*None"):
        parse(config({f"{group}.name": deleted}))


@pytest.mark.parametrize(
    "key", ["optimizer.lr", "data.split_seed", "averaging.decay", "stopping.max_epochs.epochs"]
)
def test_no_value_is_filled_in(config, deleted, key):
    # what today's code would fill in would not be in the logged config
    with pytest.raises(UserError, match=rf"^{key} is missing"):
        parse(config({key: deleted}))


@pytest.mark.parametrize(
    "text",
    ["optimizer: {name: '${x}'}", "optimizer: {name: sgd, lr: '${oc.env:HOME}'}", "dtype: ${x}"],
)
def test_nothing_is_interpolated_in_a_logged_config(config, tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=re.escape("'${") + "|" + re.escape("=${x}")):
        parse({**config(), **load(tmp_path / "config.yaml")})


FIT = [  # (changes, what the message must say): parts that are right, but not together
    ({"data": part("data", "diabetes")}, ["loss", "class labels", "mse"]),
    (
        {"stopping.loss_below": rule("loss_below", metric="train/los")},
        ["train/los", "did you mean train/loss?"],
    ),
    (
        {"stopping.accuracy_reached": rule("accuracy_reached", metric="validation/r2")},
        ["validation/r2", "accuracy"],
    ),
    (
        {
            "averaging": {"name": "none"},
            "stopping.patience": rule("patience", metric="validation/loss_ema"),
        },
        ["validation/loss_ema", "validation/loss"],
    ),
    (
        {"stopping": {"time_budget": rule("time_budget")}, "evaluate_every": "5%"},
        ["percent", "max_epochs"],
    ),
    (
        {"stopping": {"patience": rule("patience")}, "schedule": part("schedule", "cosine")},
        ["percent", "max_epochs"],
    ),
    ({"validation.fraction": 1e-9}, ["every part has an example", "validation=0"]),
    ({"validation.fraction": 0.9}, ["fraction + test < 1", "fraction=0.9"]),
    (
        {"optimizer": part("optimizer", "lbfgs")},
        ["training examples in each batch", "batch_size=32"],
    ),
    (
        {"optimizer": part("optimizer", "random_search"), "clipping": part("clipping", "norm")},
        ["uses no gradient", "clipping=none"],
    ),
    (
        {
            "optimizer": part("optimizer", "random_search"),
            "gradient": part("gradient", "numerical"),
        },
        ["uses no gradient", "gradient=analytic"],
    ),
    (
        {
            "optimizer": part("optimizer", "lbfgs"),
            "clipping": part("clipping", "value"),
            "batch_size": 1000,
        },
        ["needs the gradient as it is", "clipping=none"],
    ),
    ({"model.output": "softmax"}, ["needs raw scores", "model.output=softmax", "identity"]),
    ({"gradient": part("gradient", "numerical")}, ["need float64", "dtype=float32"]),
    ({"averaging": part("averaging", "swa", start="2 epochs")}, ["must begin", "averaging.start"]),
    ({"warmup": part("warmup", "linear", over="2 epochs")}, ["shorter", "8 steps", "warmup.over"]),
    ({"weighting": part("weighting", "by_class")}, ["each of the 3 classes", "weights"]),
    (
        {"schedule": part("schedule", "reduce_on_plateau", metric="test/loss")},
        ["test/loss", "validation/loss"],
    ),
    (
        {
            "data": part("data", "diabetes"),
            "loss": part("loss", "mse"),
            "label_smoothing": part("label_smoothing", "uniform"),
        },
        ["label smoothing needs class labels", "label_smoothing=none"],
    ),
    (
        {
            "data": part("data", "diabetes"),
            "loss": part("loss", "mse"),
            "weighting": part("weighting", "balanced"),
        },
        ["need class labels", "weighting=none"],
    ),
]


@pytest.mark.parametrize(("changes", "words"), FIT, ids=[str(changes) for changes, _ in FIT])
def test_parts_that_do_not_fit_each_other_are_refused(config, changes, words):
    run = parse(config(changes))
    with pytest.raises(UserError) as error:
        prepare(run)
    for word in words:
        assert word in str(error.value)


def test_prepare_passes_on_where_to_end(config):
    training = prepare(parse(config()), until=3)
    *_, last = training.run(training.start())
    assert last.step == 3


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (1, float, 1.0),
        (2**62, float, float(2**62)),
        (-5, int, -5),
        (2**63 - 1, int, 2**63 - 1),
        (False, bool, False),
        ("", str, ""),
        ([], tuple[int, ...], ()),
        ((1, 2), tuple[int, ...], (1, 2)),
    ],
)
def test_a_value_of_its_kind_is_taken(value, kind, expected):
    got = checked(value, kind, "key")
    assert (type(got), got) == (type(expected), expected)

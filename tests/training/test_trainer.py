import math
import tracemalloc
from collections import deque
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from itertools import count

import numpy as np
import pytest

from nnlab.core.adaptive import Adadelta, Adagrad, Adam, AdamW, Lion, Nadam, RMSProp
from nnlab.core.arrays import Workspace
from nnlab.core.averaging import EMA, SWA, NoAveraging
from nnlab.core.clipping import ClipNorm
from nnlab.core.gradients import Numerical
from nnlab.core.initialisers import Normal, Zeros
from nnlab.core.laws import LawError
from nnlab.core.lbfgs import LBFGS
from nnlab.core.losses import MSE, BinaryCrossEntropy, CrossEntropy, HalfMSE, Hinge, SquaredHinge
from nnlab.core.model import MLP
from nnlab.core.optimizers import NAG, SGD, Momentum
from nnlab.core.penalties import L1, L2
from nnlab.core.random_search import RandomLocalSearch, RandomSearch
from nnlab.core.schedules import Cosine, ReduceOnPlateau, Step
from nnlab.core.smoothing import UniformSmoothing
from nnlab.core.warmup import LinearWarmup
from nnlab.core.weighting import ByClass
from nnlab.data.dataset import Dataset, Part
from nnlab.data.sources.bundled import Diabetes, Digits, Iris
from nnlab.data.sources.source import Source
from nnlab.training.pause import Pause
from nnlab.training.stopping import (
    AccuracyReached,
    LossBelow,
    MaxEpochs,
    MaxSteps,
    Patience,
    TimeBudget,
)
from nnlab.training.trainer import Training, norm

OPTIMIZERS = [
    SGD(0.1),
    Momentum(0.05),
    NAG(0.05),
    Adagrad(0.1),
    Adadelta(),
    RMSProp(0.01),
    Adam(0.01),
    AdamW(0.01),
    Nadam(0.01),
    Lion(0.001),
    RandomSearch(),
    RandomLocalSearch(),
]
AVERAGINGS = [
    NoAveraging(),
    EMA(0.9),
    EMA(0.9, bias_correction=False),
    EMA(0.9, warmup=True),
    SWA("25%"),
]


def steps(reports):
    return [report.step for report in reports]


def without_time(reports):
    """What is a function of the config alone."""
    return [(one.step, one.epoch, dict(one.metrics), one.stop) for one in reports]


# reports


def test_the_small_experiment_has_four_steps_per_epoch(train):
    # what the numbers below rest on: of 50 of each class 7 or 8 are held out twice
    assert train()[0].order.steps_per_epoch == 4


WHEN = [  # (evaluate_every, stopping, the steps that are reported)
    ("1 epoch", (MaxEpochs(3),), [0, 4, 8, 12]),
    ("2 epochs", (MaxEpochs(3),), [0, 8, 12]),
    ("0.5 epochs", (MaxEpochs(1),), [0, 2, 4]),
    ("3 steps", (MaxSteps(10),), [0, 3, 6, 9, 10]),
    ("3 steps", (MaxEpochs(2),), [0, 3, 6, 8]),
    ("1 step", (MaxSteps(3),), [0, 1, 2, 3]),
    ("100 steps", (MaxSteps(10),), [0, 10]),
    ("25%", (MaxSteps(8),), [0, 2, 4, 6, 8]),
    ("50%", (MaxEpochs(2),), [0, 4, 8]),
    ("0.001%", (MaxSteps(3),), [0, 1, 2, 3]),
    ("1 epoch", (MaxEpochs(2), MaxSteps(6)), [0, 4, 6]),
    ("1 epoch", (MaxSteps(100), MaxEpochs(1)), [0, 4]),
]


@pytest.mark.parametrize(("every", "stopping", "expected"), WHEN, ids=str)
def test_reports_come_at_step_0_and_at_every_evaluation(train, every, stopping, expected):
    training, state, reports = train(evaluate_every=every, stopping=stopping)
    assert steps(reports) == expected
    assert [report.epoch for report in reports] == [step / 4 for step in expected]
    assert training.total == state.step == expected[-1]


def test_only_the_last_report_has_a_stop_and_the_test_part(train):
    *reports, last = train()[2]
    for report in reports:
        assert report.stop is None
        assert not any(key.startswith("test/") for key in report.metrics)
    assert last.stop.rule == "max_epochs"
    assert {"test/loss", "test/accuracy"} <= last.metrics.keys()


def test_seconds_never_decrease(train):
    seconds = [report.seconds for report in train()[2]]
    assert seconds == sorted(seconds)
    assert seconds[0] >= 0


def test_the_first_report_measures_the_initial_weights(train):
    training, _, (first, *_) = train(initialiser=Normal(0.01))
    assert first.metrics == {
        f"{part}/{name}": value
        for part in ("train", "validation")
        for name, value in training.evaluators[part](training.start().theta).items()
    }
    # weights of deviation 0.01 know nothing of three equal classes
    assert first.metrics["train/loss"] == pytest.approx(math.log(3), abs=0.05)


@pytest.mark.parametrize("averaging", AVERAGINGS, ids=str)
@pytest.mark.parametrize("data", [Iris(), Diabetes()], ids=["iris", "diabetes"])
def test_metric_names_are_what_every_report_measures(train, averaging, data):
    training, _, reports = train(averaging=averaging, data=data, loss=MSE())
    assert set(training.metric_names) == reports[0].metrics.keys()
    assert all(set(training.metric_names) <= report.metrics.keys() for report in reports)
    marked = {name for name in training.metric_names if name.endswith("_ema")}
    assert bool(marked) == (averaging.label == "ema")
    assert any(name.endswith("_swa") for name in training.metric_names) == (
        averaging.label == "swa"
    )


def test_averaged_metrics_are_those_of_the_averaged_weights(train):
    training, state, reports = train(averaging=EMA(0.9))
    averaged = training.averaged(state)
    assert (averaged != state.theta).any()
    for part in ("train", "validation", "test"):
        for name, value in training.evaluators[part](averaged).items():
            assert reports[-1].metrics[f"{part}/{name}_ema"] == value


@pytest.mark.parametrize(
    ("schedule", "factor"),
    [
        (Cosine("12 steps", 0.1), lambda t: 0.1 + 0.9 * (1 + math.cos(math.pi * t / 12)) / 2),
        (Cosine("100%"), lambda t: (1 + math.cos(math.pi * t / 12)) / 2),
        (Step("1 epoch", 0.5), lambda t: 0.5 ** (t // 4)),
        (Step("5 steps", 0.1), lambda t: 0.1 ** (t // 5)),
    ],
    ids=["12 steps", "100%", "1 epoch", "5 steps"],
)
def test_lr_is_the_one_of_the_reported_step(train, schedule, factor):
    _, _, reports = train(schedule=schedule, evaluate_every="1 step")
    for report in reports[1:]:
        expected = 0.1 * factor(report.step - 1)  # the first step has t = 0
        assert report.metrics["lr"] == pytest.approx(expected, rel=1e-12)


def test_norms_are_those_of_the_reported_step(experiment):
    training = Training(experiment(dtype="float64", evaluate_every="3 steps"))
    state = training.start()
    for report in training.run(state):
        if report.step == 0:
            continue
        metrics = report.metrics
        assert metrics["norm/theta"] == pytest.approx(np.linalg.norm(state.theta), rel=1e-12)
        # of plain gradient descent, theta' - theta = -lr g
        expected = 0.1 * metrics["norm/gradient"]
        assert metrics["norm/update"] == pytest.approx(expected, rel=1e-9)


def test_norm_is_euclid_s_and_does_not_overflow_in_float32():
    assert norm(np.array([3.0, 4.0], np.float32)) == 5
    assert norm(np.full(4, 1e30, np.float32)) == pytest.approx(2e30)


# the mathematics


def test_training_is_the_textbook_s_loop(train):
    """Softmax regression with an L2 penalty and a cosine schedule: 3 epochs in float64."""
    training, state, reports = train(penalty=L2(0.01), schedule=Cosine(), dtype="float64")
    x, y = training.splits.train.x, training.splits.train.y
    theta = training.start().theta
    W, b = theta[:12].reshape(4, 3).copy(), theta[12:].copy()
    for step in range(12):
        rows = training.order.rows(step)
        P = np.exp(x[rows] @ W + b)
        P /= P.sum(axis=1, keepdims=True)
        dz = (P - np.eye(3)[y[rows]]) / len(rows)
        lr = 0.1 * (1 + math.cos(math.pi * step / 12)) / 2
        W, b = W - lr * (x[rows].T @ dz + 2 * 0.01 * W), b - lr * dz.sum(axis=0)
    np.testing.assert_allclose(state.theta, np.concatenate([W.ravel(), b]), rtol=0, atol=1e-12)
    P = np.exp(x @ W + b)
    loss = -np.log(P[np.arange(len(y)), y] / P.sum(axis=1)).mean()  # without the penalty
    assert reports[-1].metrics["train/loss"] == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_config_gives_the_same_bits_and_another_seed_does_not(train, optimizer, dtype):
    changes = {"optimizer": optimizer, "dtype": dtype, "averaging": EMA(0.9), "model": MLP((8,))}
    (_, one, first), (_, two, again), (_, three, other) = (
        train(seed=seed, **changes) for seed in (1, 1, 2)
    )
    assert one.theta.dtype == dtype
    assert one.theta.tobytes() == two.theta.tobytes()
    assert without_time(first) == without_time(again)
    assert one.theta.tobytes() != three.theta.tobytes()
    assert first[0].metrics != other[0].metrics  # other initial weights


def test_the_seed_draws_the_order_as_well_as_the_weights(train):
    changes = {"initialiser": Zeros()}
    (_, one, _), (_, two, _) = (train(seed=seed, **changes) for seed in (1, 2))
    assert one.theta.tobytes() != two.theta.tobytes()


def test_the_order_of_batches_is_hashed_from_one_to_the_next(experiment):
    training = Training(experiment(seed=3))
    state = training.start()
    last = deque(training.run(state), maxlen=1).pop()
    hashed, rows = bytes(32), training.order.rows
    for step in range(last.step):
        hashed = sha256(hashed + rows(step).astype("<i8").tobytes()).digest()
    assert state.batches.tobytes() == hashed
    other = Training(experiment(seed=4))
    state = other.start()
    deque(other.run(state), maxlen=0)
    assert state.batches.tobytes() != hashed


def test_the_global_random_state_is_neither_read_nor_moved(train):
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002
    train()
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_averaging_leaves_the_raw_weights_alone(train, optimizer):
    thetas = {train(averaging=each, optimizer=optimizer)[1].theta.tobytes() for each in AVERAGINGS}
    assert len(thetas) == 1


def test_how_often_one_looks_changes_nothing(train):
    thetas = {
        train(evaluate_every=every, averaging=EMA())[1].theta.tobytes()
        for every in ("1 step", "3 steps", "1 epoch", "100%")
    }
    assert len(thetas) == 1


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("averaging", AVERAGINGS, ids=str)
def test_stop_save_restore_go_on_equals_never_stopped(experiment, optimizer, averaging):
    changed = experiment(
        optimizer=optimizer,
        averaging=averaging,
        schedule=Cosine(),
        stopping=(MaxEpochs(4), Patience(50)),
    )
    training = Training(changed)
    whole = training.start()
    reports = list(training.run(whole))

    stopped = Training(changed)
    state = stopped.start()
    for report in stopped.run(state):
        if report.step == 8:
            break
    restored = deepcopy(state)
    list(stopped.run(state))  # what happens to the old state does not matter
    rest = list(Training(changed).run(restored))
    assert restored.theta.tobytes() == whole.theta.tobytes()
    assert without_time(rest) == without_time(reports[3:])
    for key, array in whole.rules[1].items():
        np.testing.assert_array_equal(restored.rules[1][key], array)


DRAWN = {  # what draws, remembers or counts besides theta
    "batch norm and dropout": {"model": MLP((8,), batch_norm=True, dropout=0.3)},
    "plateau": {"schedule": ReduceOnPlateau("train/loss", evaluations=1, gamma=0.5, min_delta=0.2)},
    "warm-up": {"schedule": Cosine(), "warmup": LinearWarmup("6 steps")},
    "class weights": {"weighting": ByClass((1.0, 0.0, 3.0))},
    "label smoothing": {"label_smoothing": UniformSmoothing()},
    "clipping": {"clipping": ClipNorm(0.1)},
    "numerical": {"gradient": Numerical(), "dtype": "float64"},
    "full batches": {"optimizer": LBFGS(iterations=2), "batch_size": 999, "loss": HalfMSE()},
    "swa": {"averaging": SWA("5 steps", "1 step"), "model": MLP((8,), batch_norm=True)},
}


@pytest.mark.parametrize("changes", DRAWN.values(), ids=DRAWN)
def test_with_any_part_stop_save_restore_go_on_equals_never_stopped(experiment, changes):
    changed = experiment(**{"averaging": EMA(0.9), "stopping": (MaxEpochs(4),)} | changes)
    whole = (training := Training(changed)).start()
    reports = list(training.run(whole))

    state = (stopped := Training(changed)).start()
    for report in stopped.run(state):
        if report.epoch == 2:
            break
    restored = deepcopy(state)
    list(stopped.run(state))
    rest = list(Training(changed).run(restored))
    assert without_time(rest) == without_time(reports[3:])
    for field in fields(state):
        if field.name != "seconds":
            assert repr(getattr(restored, field.name)) == repr(getattr(whole, field.name))
    assert restored.theta.tobytes() == whole.theta.tobytes()


# pauses


ALL_AT_ONCE = {
    "model": MLP((8,), batch_norm=True, dropout=0.3),
    "optimizer": Momentum(0.05),
    "schedule": ReduceOnPlateau("train/loss", evaluations=1, gamma=0.5, min_delta=0.2),
    "averaging": SWA("9 steps", "2 steps"),
    "stopping": (MaxEpochs(6), Patience(2, "validation/accuracy", "maximize"), LossBelow(1e-9)),
    "evaluate_every": "7 steps",
}
PAUSED = {
    **{repr(optimizer): {"optimizer": optimizer} for optimizer in OPTIMIZERS},
    **DRAWN,
    "all at once": ALL_AT_ONCE,
    "all at once, at every step": ALL_AT_ONCE | {"evaluate_every": "1 step"},
    "a divergence": {"optimizer": SGD(1e30), "penalty": L2(1.0), "evaluate_every": "5 steps"},
}


def bits(state):
    """Every number of a state but the time, bit for bit."""

    def of(value):
        if isinstance(value, dict):
            return {key: of(item) for key, item in value.items()}
        if isinstance(value, list):
            return [of(item) for item in value]
        return (str((array := np.asarray(value)).dtype), array.shape, array.tobytes())

    names = [field.name for field in fields(state) if field.name != "seconds"]
    return {name: of(getattr(state, name)) for name in names}


def spoil(state):
    """Make every array of a state worthless."""
    for array in (state.theta, state.buffers, *state.optimizer.values()):
        array[...] = 77


@pytest.mark.parametrize("pause", [{"step": 1}, {"at": -math.inf}], ids=["step", "time"])
@pytest.mark.parametrize("changes", PAUSED.values(), ids=PAUSED)
def test_pausing_at_every_step_and_going_on_with_a_copy_equals_never_pausing(
    experiment, changes, pause
):
    changed = experiment(**{"averaging": EMA(0.9), "stopping": (MaxEpochs(4),)} | changes)
    whole = (training := Training(changed)).start()
    expected = list(training.run(whole))

    state, reports, pauses = Training(changed).start(), [], []
    while not reports or reports[-1].stop is None:
        wanted = Pause(**{key: value + state.step for key, value in pause.items()})
        event = next(Training(changed).events(state, wanted))
        (reports if event else pauses).append(event)
        old, state = state, deepcopy(state)
        spoil(old)
    assert repr(without_time(reports)) == repr(without_time(expected))  # NaN is as NaN was
    assert bits(state) == bits(whole)
    assert len(pauses) == whole.step - (len(expected) - 1)  # every step that has no report


def test_a_training_pauses_at_the_wanted_step_alone(experiment):
    training = Training(experiment())  # reports at 0, 4, 8, 12
    state, seen = training.start(), []
    pause = Pause(step=6)
    for event in training.events(state, pause):
        seen.append((state.step, event is not None))
        if state.step == 6:
            pause.step = 11  # it may be set at any time
    assert seen == [(0, True), (4, True), (6, False), (8, True), (11, False), (12, True)]


@pytest.mark.parametrize("step", [-1, 0, 4, 8, 12, 13, math.inf])
def test_a_pause_where_a_report_is_or_nothing_asks_for_nothing_more(experiment, step):
    training = Training(experiment())
    state = training.start()
    events = list(training.events(state, Pause(step=step)))
    assert steps(events) == [0, 4, 8, 12]


def test_a_training_pauses_after_the_step_in_which_the_moment_comes(experiment, monkeypatch):
    training = Training(experiment(evaluate_every="100 steps", stopping=(MaxSteps(10),)))
    state, seen = training.start(), []
    monkeypatch.setattr("nnlab.training.trainer.perf_counter", lambda: float(state.step))
    pause = Pause(at=4.0)
    for event in training.events(state, pause):
        if event is None:
            seen.append(state.step)
            pause.at = 7.0 if len(seen) == 1 else math.inf
    assert seen == [4, 7]


def test_the_time_trained_goes_on_where_it_was(experiment):
    training = Training(experiment(stopping=(MaxSteps(10_000), TimeBudget(50.0))))
    state = training.start()
    next(training.run(state))
    state.seconds = 1000.0
    (last,) = training.run(state)
    assert (last.stop.rule, last.step) == ("time_budget", 1)
    assert 1000 <= last.seconds < 1050


@pytest.mark.parametrize("recorded", [0, 1, 2, 3])
def test_no_rule_about_time_ends_what_is_recorded(experiment, recorded):
    training = Training(experiment(stopping=(TimeBudget(1e-9), MaxEpochs(50))))
    *before, last = training.events(training.start(), Pause(), recorded)
    assert steps(before) == [0, 4, 8][:recorded]
    assert last.stop.rule == "time_budget"
    assert last.step == (4 * recorded - 3 if recorded else 0)  # one step, looked at closely


# the parts together


def test_metrics_are_of_the_loss_alone(train):
    # neither smoothed nor weighted nor penalised: trainings can be compared
    changes = {"optimizer": SGD(1e-30), "stopping": (MaxSteps(1),)}
    plain = train(**changes)[2][-1].metrics
    for change in (
        {"label_smoothing": UniformSmoothing(0.5)},
        {"weighting": ByClass((1.0, 2.0, 30.0))},
        {"penalty": L2(1.0)},
    ):
        changed = train(**changes, **change)[2][-1].metrics
        for name in ("train/loss", "validation/loss", "test/loss", "test/accuracy"):
            assert changed[name] == plain[name]


@dataclass(frozen=True)
class Weighted(Iris):
    """The irises, each example of class 1 there `times` times, by a weight or in truth."""

    times: int = 3
    repeat: bool = False

    def split(self, *how):
        splits = super().split()
        x, y, _ = splits.train
        counts = np.where(y == 1, self.times, 1)
        if self.repeat:
            return splits._replace(train=Part(np.repeat(x, counts, 0), np.repeat(y, counts)))
        return splits._replace(train=Part(x, y, counts.astype(float)))


def test_a_weight_of_an_example_counts_as_the_example_that_often(train):
    changes = {"batch_size": 999, "dtype": "float64", "stopping": (MaxSteps(20),)}
    weighted = train(data=Weighted(), **changes)[1].theta
    repeated = train(data=Weighted(repeat=True), **changes)[1].theta
    classes = train(weighting=ByClass((1.0, 3.0, 1.0)), **changes)[1].theta
    plain = train(**changes)[1].theta
    np.testing.assert_allclose(weighted, repeated, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(weighted, classes)
    assert np.abs(weighted - plain).max() > 0.01


def test_weights_below_zero_are_refused(experiment):
    with pytest.raises(LawError, match="every weight >= 0"):
        Training(experiment(data=Weighted(times=-1)))


def test_a_class_of_weight_zero_is_not_learnt(train):
    training, state, _ = train(weighting=ByClass((1.0, 1.0, 0.0)), stopping=(MaxEpochs(40),))
    z = training.network.forward(state.theta, training.batch.x, Workspace())[-1]
    assert set(z.argmax(axis=1)) <= {0, 1}


def test_dropout_is_for_training_alone(train):
    changes = {"model": MLP((50,), dropout=0.5), "optimizer": SGD(1e-30)}
    with_dropout, without = (
        train(**changes | {"model": MLP((50,), dropout=rate)})[2][-1].metrics for rate in (0.5, 0.0)
    )
    assert with_dropout["train/loss"] == without["train/loss"]
    assert with_dropout["norm/gradient"] != without["norm/gradient"]


def test_dropout_s_masks_are_those_of_the_seed_and_the_step(train):
    changes = {"model": MLP((20,), dropout=0.5), "initialiser": Zeros()}
    one, again, other = (train(seed=seed, **changes)[1].theta.tobytes() for seed in (3, 3, 4))
    assert one == again != other


def test_running_statistics_follow_the_batches_and_serve_evaluation(train):
    training, state, reports = train(
        model=MLP((6,), batch_norm=True), stopping=(MaxEpochs(30),), averaging=EMA(0.9)
    )
    named = training.network.buffers.views(state.buffers)
    x = training.batch.x @ training.network.layout.views(state.theta)["hidden1.weight"]
    x = x + training.network.layout.views(state.theta)["hidden1.bias"]
    np.testing.assert_allclose(named["norm1.mean"], x.mean(axis=0), atol=0.3)
    np.testing.assert_allclose(named["norm1.variance"], x.var(axis=0), rtol=0.5)
    averaged = training.evaluators["test"](
        training.averaged(state), training.averaged_buffers(state)
    )
    assert averaged["loss"] == reports[-1].metrics["test/loss_ema"]
    assert (training.averaged_buffers(state) != state.buffers).all()


def test_a_plateau_lowers_the_learning_rate_that_is_reported(train):
    schedule = ReduceOnPlateau("train/loss", evaluations=2, gamma=0.5, min_delta=10.0)
    lrs = [
        report.metrics["lr"] for report in train(schedule=schedule, stopping=(MaxEpochs(8),))[2][1:]
    ]
    # the first report is the best; after two more the rate is halved, and so on
    assert lrs == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.0125])


def test_a_clipped_update_is_as_long_as_lr_times_the_norm(train):
    for report in train(clipping=ClipNorm(0.01), dtype="float64")[2][1:]:
        assert report.metrics["norm/gradient"] > 0.01  # as it was
        assert report.metrics["norm/update"] == pytest.approx(0.1 * 0.01, rel=1e-6)


def test_a_gradient_by_differences_trains_as_backpropagation_does(train):
    changes = {"model": MLP((5,), "tanh"), "dtype": "float64", "penalty": L2(0.01)}
    analytic = train(**changes)[1].theta
    numerical = train(**changes, gradient=Numerical())[1].theta
    np.testing.assert_allclose(numerical, analytic, rtol=1e-7, atol=1e-9)


def test_points_that_are_not_kept_leave_running_statistics_alone(train):
    # no step of this size is ever kept, so nothing but the batches moves the statistics
    changes = {"model": MLP((6,), batch_norm=True), "batch_size": 999, "stopping": (MaxSteps(40),)}
    for optimizer in (RandomSearch(1e3), LBFGS(iterations=3)):
        training, state, _ = train(optimizer=optimizer, **changes)
        named, weights = (
            layout.views(vector)
            for layout, vector in (
                (training.network.buffers, state.buffers),
                (training.network.layout, state.theta),
            )
        )
        x = training.batch.x @ weights["hidden1.weight"] + weights["hidden1.bias"]
        np.testing.assert_allclose(named["norm1.mean"], x.mean(axis=0), atol=0.1)


def test_one_example_alone_cannot_be_normalised(experiment):
    model = MLP((4,), batch_norm=True)
    for size in (1, 101):  # of 102 examples
        with pytest.raises(LawError, match="two examples in each batch") as error:
            Training(experiment(model=model, batch_size=size))
        assert error.value.field == "batch_size"
    Training(experiment(model=model, batch_size=999))


def test_several_seeds_are_several_trainings(experiment):
    with pytest.raises(LawError, match="3 seeds are 3 trainings"):
        Training(experiment(seeds=3))


def test_a_search_without_gradients_never_gets_worse_on_full_batches(train):
    _, _, reports = train(
        optimizer=RandomLocalSearch(0.1), batch_size=999, stopping=(MaxSteps(60),)
    )
    losses = [report.metrics["train/loss"] for report in reports]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.8 * losses[0]
    assert not any("norm/gradient" in report.metrics for report in reports)


def test_swa_is_the_mean_of_the_weights_at_the_ends_of_its_epochs(experiment):
    changed = experiment(averaging=SWA("1 epoch"), stopping=(MaxEpochs(4),), dtype="float64")
    training = Training(changed)
    state = training.start()
    thetas = [state.theta.copy() for report in training.run(state)]
    np.testing.assert_allclose(training.averaged(state), np.mean(thetas[2:], axis=0), rtol=1e-14)


def test_a_training_that_goes_on_reports_when_it_would_have(train, experiment):
    _, state, _ = train(until=6)
    assert steps(Training(experiment()).run(state)) == [8, 12]


# the end


REAL = [  # (rule, does a report fulfil it?), checked on a training of at most 60 epochs
    (MaxEpochs(7), lambda report: report.epoch >= 7),
    (MaxSteps(9), lambda report: report.step >= 9),
    (LossBelow(0.5), lambda report: report.metrics["train/loss"] < 0.5),
    (LossBelow(0.6, "validation/loss"), lambda report: report.metrics["validation/loss"] < 0.6),
    (
        AccuracyReached(0.85, "train/accuracy"),
        lambda report: report.metrics["train/accuracy"] >= 0.85,
    ),
]


@pytest.mark.parametrize(("rule", "fulfilled"), REAL, ids=lambda value: getattr(value, "name", ""))
def test_a_training_ends_at_the_first_report_that_a_rule_stops(train, rule, fulfilled):
    *before, last = train(stopping=(rule, MaxEpochs(60)))[2]
    assert before
    assert last.stop.rule == rule.name
    assert fulfilled(last)
    assert not any(fulfilled(report) for report in before)


def test_a_rule_that_holds_at_step_0_ends_the_training_there(train):
    _, state, (only,) = train(stopping=(LossBelow(100.0), MaxEpochs(3)))
    assert (only.step, only.stop.rule) == (0, "loss_below")
    assert state.step == 0
    assert "test/loss" in only.metrics


def test_a_training_ends_when_patience_does(train):
    # lr=3 overshoots: the validation loss goes up and down
    rule = Patience(3)
    reports = train(stopping=(rule, MaxEpochs(300)), optimizer=SGD(3.0))[2]
    losses = [report.metrics["validation/loss"] for report in reports]
    assert reports[-1].stop.rule == "patience"
    best = losses.index(min(losses))
    assert len(losses) == best + 1 + 3


def test_the_first_rule_of_several_gives_the_reason(train):
    for rules in ((MaxEpochs(2), MaxSteps(8)), (MaxSteps(8), MaxEpochs(2))):
        assert train(stopping=rules)[2][-1].stop.rule == rules[0].name


@pytest.mark.parametrize("until", [0, 1, 3, 4, 5, 12])
def test_until_ends_a_training_and_changes_nothing_before(train, until):
    whole = train(averaging=EMA())[2]
    _, state, reports = train(until=until, averaging=EMA())
    assert state.step == reports[-1].step == until
    assert reports[-1].stop.rule == ("until" if until < 12 else "max_epochs")
    before = [report for report in whole if report.step < until]
    assert without_time(reports)[: len(before)] == without_time(before)


def test_until_lets_no_rule_about_time_end_a_training_before(train):
    _, _, reports = train(until=6, stopping=(TimeBudget(1e-9),))
    assert (reports[-1].step, reports[-1].stop.rule) == (6, "until")


def test_a_rule_still_ends_a_training_before_until(train):
    _, _, reports = train(until=100, stopping=(MaxSteps(5), TimeBudget(1e-9)))
    assert (reports[-1].step, reports[-1].stop.rule) == (5, "max_steps")


def test_a_time_budget_is_checked_at_every_step(experiment, monkeypatch):
    training = Training(experiment(stopping=(TimeBudget(7.0),), evaluate_every="1000 steps"))
    state = training.start()
    # a clock of one second per step, whatever the number of looks at it
    monkeypatch.setattr("nnlab.training.trainer.perf_counter", lambda: 100.0 + state.step)
    first, last = training.run(state)
    assert (first.step, first.seconds) == (0, 0)
    assert last.stop.rule == "time_budget"
    assert last.step in (7, 8)  # one more may be looked at closely
    assert last.seconds == last.step


def test_the_least_of_two_time_budgets_ends_a_training(experiment, monkeypatch):
    stopping = (TimeBudget(50.0), TimeBudget(3.0))
    training = Training(experiment(stopping=stopping, evaluate_every="1000 steps"))
    state = training.start()
    monkeypatch.setattr("nnlab.training.trainer.perf_counter", lambda: float(state.step))
    assert list(training.run(state))[-1].stop.reason.startswith("3 seconds")


@pytest.mark.parametrize(("dtype", "lr"), [("float32", 1e30), ("float64", 1e300)])
@pytest.mark.parametrize(
    "loss", [MSE(), CrossEntropy(), BinaryCrossEntropy(), Hinge(), SquaredHinge()], ids=str
)
def test_a_divergence_ends_a_training_without_warnings(train, loss, dtype, lr):
    changes = {"penalty": L2(1.0), "optimizer": SGD(lr), "averaging": EMA(), "model": MLP((5,))}
    *before, last = train(loss=loss, dtype=dtype, stopping=(MaxEpochs(50),), **changes)[2]
    assert last.stop.diverged
    assert str(last.step) in last.stop.reason
    assert last.step < 50 * 4
    assert not all(math.isfinite(value) for value in last.metrics.values())
    assert all(math.isfinite(value) for report in before for value in report.metrics.values())


def test_a_diverged_regression_ends_long_before_its_evaluation(train):
    changes = {"data": Diabetes(), "loss": MSE(), "optimizer": SGD(1e6)}
    first, last = train(evaluate_every="100%", stopping=(MaxSteps(10_000),), **changes)[2]
    assert first.stop is None
    assert last.stop.diverged
    assert last.step < 100


class Watchful:
    """A rule that lets everything pass but refuses to look at what is not finite."""

    name = "watchful"

    def init(self):
        return {}

    def check(self, report, memory):
        assert all(math.isfinite(value) for value in report.metrics.values())


def test_no_rule_is_asked_about_a_divergence(train):
    changes = {"penalty": L2(1.0), "optimizer": SGD(1e30)}
    *_, last = train(stopping=(Watchful(), MaxSteps(200)), **changes)[2]
    assert last.stop.diverged


# parts that do not fit each other


@pytest.mark.parametrize(
    "loss", [CrossEntropy(), BinaryCrossEntropy(), Hinge(), SquaredHinge()], ids=str
)
def test_a_loss_on_labels_needs_labels(experiment, loss):
    with pytest.raises(LawError, match=r"needs class labels.*loss=mse") as error:
        Training(experiment(data=Diabetes(), loss=loss))
    assert error.value.field == "loss"


RULES = [
    LossBelow(0.1, "trian/loss"),
    LossBelow(0.1, "test/loss"),
    LossBelow(0.1, "train/loss_ema"),
    AccuracyReached(0.9, "validation/r2"),
    Patience(3, "lr"),
    Patience(3, ""),
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_rule_about_an_unknown_metric_is_refused(experiment, rule):
    with pytest.raises(LawError) as error:
        Training(experiment(stopping=(MaxEpochs(2), rule)))
    for word in (f"metric={rule.metric}", "validation/accuracy", "train/loss"):
        assert word in str(error.value)


def test_a_rule_may_look_at_an_average_where_there_is_one(train):
    rule = LossBelow(0.7, "validation/loss_ema")
    *before, last = train(averaging=EMA(0.5), stopping=(rule, MaxEpochs(60)))[2]
    assert last.stop.rule == "loss_below"
    assert last.metrics["validation/loss_ema"] < 0.7
    assert all(report.metrics["validation/loss_ema"] >= 0.7 for report in before)


@pytest.mark.parametrize("changes", [{"evaluate_every": "5%"}, {"schedule": Cosine()}], ids=str)
def test_percent_need_a_run_of_known_length(experiment, changes):
    with pytest.raises(LawError, match=r"percent.*max_epochs or max_steps"):
        Training(experiment(stopping=(TimeBudget(1.0), LossBelow(0.1)), **changes))


# the loop's memory


@dataclass(frozen=True)
class Wide(Source):
    """4,096 examples of 256 features: a batch and theta are large."""

    def load(self):
        rng = np.random.default_rng(0)
        y = rng.integers(0, 3, 4096)
        return Dataset(rng.normal(size=(4096, 256)), y, ("a", "b", "c"))


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_the_loop_allocates_no_batch_and_no_theta(experiment, optimizer):
    training = Training(
        experiment(
            model=MLP((256,)),
            optimizer=optimizer,
            averaging=EMA(),
            data=Wide(),
            penalty=L1(1e-4),
            batch_size=256,
            stopping=(MaxEpochs(99),),
        )
    )
    state = training.start()
    per_epoch = training.order.steps_per_epoch
    training.advance(state, training.oracle, per_epoch, math.inf)  # warm, last batch too
    large = min(training.batch.x[:256].nbytes, state.theta.nbytes)
    order = 8 * len(training.splits.train.y)  # of an epoch
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        training.advance(state, training.oracle, 8 * per_epoch, math.inf)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # two orders, a buffer of NumPy's of 64 KB, a few numbers for each row, a few generators
    assert peak - before < large / 2
    assert after - before < order + 10_000


@dataclass(frozen=True)
class WideBytes(Source):
    """4,096 examples of 256 features that are bytes, prepared batch by batch."""

    scale: str = "standard"

    def load(self):
        rng = np.random.default_rng(0)
        x = rng.integers(0, 256, (4096, 256)).astype(np.uint8)
        return Dataset(x, rng.integers(0, 3, 4096), ("a", "b", "c"))


def test_a_thousand_steps_on_bytes_allocate_no_batch_and_no_theta(experiment):
    changes = {"model": MLP((256,)), "optimizer": Adam(), "averaging": EMA(), "data": WideBytes()}
    training = Training(experiment(batch_size=256, stopping=(MaxEpochs(999),), **changes))
    state = training.start()
    per_epoch = training.order.steps_per_epoch
    training.advance(state, training.oracle, per_epoch)  # warm, last batch too
    assert training.batch.x.of.dtype == np.uint8
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        training.advance(state, training.oracle, per_epoch + 1000)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    batch = 4 * 256 * 256
    assert peak - before < batch / 2
    assert after - before < 8 * len(training.splits.train.y) + 10_000  # an epoch's order


def test_three_hundred_steps_leave_nothing_behind(experiment):
    training = Training(experiment(data=Digits(), model=MLP((32,)), averaging=EMA()))
    state = training.start()
    step = count(training.order.steps_per_epoch, 20)
    training.advance(state, training.oracle, next(step), math.inf)
    tracemalloc.start()
    try:
        sizes = []
        for _ in range(15):
            training.advance(state, training.oracle, next(step), math.inf)
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # the order of an epoch of 1,257, which may be old or new
    assert max(sizes) - min(sizes) < 1.1 * 8 * 1257


def test_no_view_of_theta_is_kept(experiment):
    training = Training(experiment(averaging=EMA(), optimizer=Momentum(0.05)))
    state, twin = training.start(), training.start()
    training.advance(state, training.oracle, 3, math.inf)
    training.advance(twin, training.oracle, 3, math.inf)
    moved = replace(state, theta=state.theta.copy())
    state.theta[:] = 99
    training.advance(moved, training.oracle, 6, math.inf)
    training.advance(twin, training.oracle, 6, math.inf)
    assert moved.theta.tobytes() == twin.theta.tobytes()

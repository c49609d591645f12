"""Trainings in a stack: each has the bits that it has alone."""

import math
import os
import random
from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnlab.core.adaptive import Adadelta, Adagrad, Adam, AdamW, Lion, Nadam, RMSProp
from nnlab.core.averaging import EMA, SWA, NoAveraging
from nnlab.core.clipping import ClipNorm, ClipValue, NoClipping
from nnlab.core.lbfgs import LBFGS
from nnlab.core.losses import (
    MSE,
    BinaryCrossEntropy,
    BinaryHinge,
    CrossEntropy,
    HalfMSE,
    Hinge,
    Huber,
    SigmoidSquaredError,
    SquaredHinge,
)
from nnlab.core.model import MLP, Linear
from nnlab.core.optimizers import NAG, SGD, Momentum
from nnlab.core.penalties import L1, L2, Elastic, NoPenalty
from nnlab.core.random_search import RandomSearch
from nnlab.core.schedules import Constant, Cosine, ReduceOnPlateau
from nnlab.core.smoothing import NoSmoothing, UniformSmoothing
from nnlab.core.warmup import LinearWarmup, NoWarmup
from nnlab.core.weighting import Balanced, NoWeighting
from nnlab.data.sources.bundled import BreastCancer, Diabetes, Digits, Iris
from nnlab.data.sources.mnist import MNIST
from nnlab.errors import UserError
from nnlab.training import stack as stack_module
from nnlab.training.alike import shape_of
from nnlab.training.memory import footprint
from nnlab.training.pause import Pause
from nnlab.training.stack import Stack, _Together
from nnlab.training.stack import together as how_many
from nnlab.training.stopping import MaxEpochs, MaxSteps, Patience, TimeBudget
from nnlab.training.trainer import Training

OPTIMIZERS = (
    *(lambda r: SGD(lr(r)), lambda r: Momentum(lr(r), share(r)), lambda r: NAG(lr(r), share(r))),
    *(lambda r: Adagrad(lr(r)), lambda r: Adadelta(1.0, share(r)), lambda r: RMSProp(lr(r) / 10)),
    *(lambda r: Adam(lr(r) / 10, share(r), share(r)), lambda r: Lion(lr(r) / 100, share(r))),
    *(lambda r: AdamW(lr(r) / 10, weight_decay=lr(r)), lambda r: Nadam(lr(r) / 10, share(r))),
)
PENALTIES = (
    *(lambda r: NoPenalty(), lambda r: L2(lr(r) / 100)),
    *(lambda r: L1(lr(r) / 100), lambda r: Elastic(lr(r) / 100, lr(r) / 100)),
)
AVERAGES = (
    *(lambda r: NoAveraging(), lambda r: EMA(share(r)), lambda r: EMA(share(r), warmup=True)),
    *(lambda r: EMA(share(r), bias_correction=False), lambda r: SWA("25%", "3 steps")),
)
CLIPPINGS = (lambda r: NoClipping(), lambda r: ClipNorm(share(r)), lambda r: ClipValue(lr(r)))
LOSSES = (
    *(CrossEntropy(), Hinge(), SquaredHinge(), MSE(), HalfMSE(), Huber()),
    *(BinaryCrossEntropy(), BinaryHinge(), SigmoidSquaredError()),
)
SCHEDULES = (Constant(), Cosine(), ReduceOnPlateau(evaluations=1))


def lr(r):
    return 10 ** r.uniform(-2.5, -0.5)


def share(r):
    return r.uniform(0.2, 0.99)


def alike(r, k, data, **fixed):
    """k random experiments of one shape."""
    parts = [r.choice(group) for group in (OPTIMIZERS, PENALTIES, AVERAGES, CLIPPINGS)]
    loss = r.choice([CrossEntropy(), *LOSSES])
    seeds = r.random() < 0.5
    shared = {
        "model": MLP(r.choice([(8,), (32,), (16, 8)]), r.choice(["relu", "tanh", "sigmoid"])),
        "loss": loss,
        "schedule": r.choice(SCHEDULES),
        "label_smoothing": r.choice([NoSmoothing(), NoSmoothing(), UniformSmoothing(0.1)]),
        "weighting": r.choice([NoWeighting(), NoWeighting(), Balanced()]),
        "warmup": r.choice([NoWarmup(), LinearWarmup("10%")]),
        "dtype": r.choice(["float32", "float32", "float64"]),
        "batch_size": r.choice([32, 48, 1, 100]) if len(fixed) == 0 else 64,
        "stopping": (MaxEpochs(3),),
        "evaluate_every": r.choice(["1 epoch", "7 steps"]),
        "data": data,
    } | fixed
    if shared["batch_size"] == 1:
        shared |= {"stopping": (MaxSteps(90),), "evaluate_every": "40 steps"}
    return [
        {
            **shared,
            **dict(
                zip(("optimizer", "penalty", "averaging", "clipping"), (one(r) for one in parts),
                    strict=True)
            ),
            "seed": r.randrange(3) if seeds else 5,
        }
        for _ in range(k)
    ]  # fmt: skip


def together(experiments):
    """Train them in a stack, side by side: (training, state, reports) of each."""
    stack, made = Stack(), []
    for experiment in experiments:
        training = Training(experiment, like=stack.like(experiment))
        state, pause = training.start(), Pause()
        stack.join(training, state, pause)
        made.append((training, state, [], training.events(state, pause)))
    finish(stack, made)
    return [one[:3] for one in made]


def finish(stack, made):
    """Have each go on until it stops: a report of each in turn."""
    going = list(made)
    while going:
        for one in list(going):
            report = next(one[3])
            one[2].append(report)
            if report.stop:
                stack.leave(one[0])
                going.remove(one)


def assert_same(alone, stacked):
    (one, here, reports), (other, there, said) = alone, stacked
    assert len(reports) == len(said)
    for then, now in zip(reports, said, strict=True):
        assert (then.step, then.stop) == (now.step, now.stop)
        assert then.metrics.keys() == now.metrics.keys()
        np.testing.assert_array_equal(list(then.metrics.values()), list(now.metrics.values()))
    assert (here.step, here.reports) == (there.step, there.reports)
    assert here.batches.tobytes() == there.batches.tobytes()
    np.testing.assert_array_equal(here.theta, there.theta)
    np.testing.assert_array_equal(one.averaged(here), other.averaged(there))
    for then, now in ((here.optimizer, there.optimizer), (here.averaging, there.averaging)):
        assert then.keys() == now.keys()
        for key in then:
            np.testing.assert_array_equal(then[key], now[key])


@pytest.fixture
def same(experiment):
    """Trains experiments, given by their fields, alone and in a stack, and compares."""

    def compared(changes):
        experiments = [experiment(**change) for change in changes]
        assert len({str(shape_of(one)) for one in experiments}) == 1
        for one, stacked in zip(experiments, together(experiments), strict=True):
            training = Training(one)
            state = training.start()
            assert_same((training, state, list(training.run(state))), stacked)

    return compared


@pytest.mark.parametrize("case", range(30))
def test_random_trainings_of_digits_have_the_bits_they_have_alone(same, case):
    r = random.Random(case)
    same(alike(r, r.choice([2, 3, 5]), Digits()))


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("data", [Iris(), BreastCancer()], ids=str)
def test_every_loss(same, loss, data):
    fixed = {"loss": loss, "dtype": "float32", "data": data, "batch_size": 16}
    same([{**fixed, "seed": seed, "model": MLP((5,))} for seed in range(3)])
    same([{**fixed, "optimizer": SGD(rate), "model": Linear()} for rate in (0.01, 0.1, 0.3)])


def test_regression(same):
    fixed = {"loss": MSE(), "data": Diabetes(), "model": MLP((7,))}
    same([{**fixed, "seed": seed, "optimizer": SGD(0.01 * (seed + 1))} for seed in range(3)])


@pytest.fixture
def sizes(monkeypatch):
    """How many trainings were stepped together, each time several were."""
    seen = []
    real = _Together.__init__

    def counted(self, members):
        seen.append(len(members))
        real(self, members)

    monkeypatch.setattr(_Together, "__init__", counted)
    return seen


def test_all_are_stepped_at_once_until_one_leaves(same, sizes):
    patient = (MaxEpochs(6), Patience(1, metric="train/loss", direction="maximize"))
    rates = (0.3, 1e-6, 0.1)
    same([{"optimizer": SGD(rate), "stopping": patient} for rate in rates])
    assert sizes == [3, 3]  # the second epoch's loss is no greater: all stop there
    sizes.clear()
    same([{"optimizer": SGD(rate)} for rate in (0.1, 1e38, 0.2)])
    assert sizes[0] == 3 and sizes[-1] == 2


def test_one_that_is_not_finite_leaves_the_others_as_they_are(same):
    same([{"optimizer": Momentum(rate)} for rate in (0.01, 1e30, 0.02, math.inf, 0.03)])


def test_one_that_is_ahead_keeps_its_bits(experiment, sizes):
    ahead, behind = (Training(experiment(optimizer=SGD(rate))) for rate in (0.1, 0.2))
    stack, made = Stack(), []
    for training, reports in ((ahead, 2), (behind, 0)):
        state, pause = training.start(), Pause()
        events = training.events(state, pause)
        before = [next(events) for _ in range(reports)]
        stack.join(training, state, pause)
        made.append((training, state, before, events))
    finish(stack, made)
    for training, *rest in made:
        alone = Training(training.experiment)
        state = alone.start()
        assert_same((alone, state, list(alone.run(state))), (training, *rest[:2]))


RATES = (0.01, 0.1, 0.3, 1e30, 0.05)
LEAVES = st.sampled_from(["stays", "stays", "stays", "leaves", "goes on alone"])


@pytest.fixture(scope="module")
def by_itself(experiment):
    """Experiments by seed and learning rate, and what becomes of each alone: `(training, state,
    reports)`."""

    @cache
    def trained(seed, rate):
        one = experiment(
            seed=seed, optimizer=Momentum(rate), averaging=EMA(0.9), penalty=L2(0.01),
            schedule=ReduceOnPlateau(direction="maximize", evaluations=1, gamma=0.7),
            evaluate_every="3 steps",
            stopping=(MaxSteps(20),),
        )  # fmt: skip
        training = Training(one)
        state = training.start()
        return training, state, list(training.run(state))

    return trained


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_who_leaves_when_changes_nothing_for_the_others(by_itself, data):
    seeds = data.draw(st.sampled_from([(0,), (0, 1)]))
    one = st.tuples(st.sampled_from(seeds), st.sampled_from(RATES))
    members = data.draw(st.lists(one, min_size=2, max_size=6))
    stack, going = Stack(), []
    for member in members:
        training = Training(by_itself(*member)[0].experiment)
        state, pause = training.start(), Pause()
        stack.join(training, state, pause)
        going.append((member, training, state, [], training.events(state, pause)))
    while going:
        some = data.draw(st.integers(1, len(going)))
        for one in data.draw(st.permutations(going))[:some]:
            member, training, state, reports, events = one
            report = next(events)
            reports.append(report)
            how = "leaves" if report.stop else data.draw(LEAVES)
            if how != "stays":
                stack.leave(training)
            if how == "leaves":
                going.remove(one)
            alone, final, said = by_itself(*member)
            if report.stop:
                assert_same((alone, final, said), (training, state, reports))
            else:
                then = said[len(reports) - 1]
                assert (report.step, report.metrics) == (then.step, then.metrics)


def test_a_pause_of_one_is_a_whole_state_of_each(experiment):
    """Saved at its pause and gone on with alone, each has its bits."""
    stack, made = Stack(), []
    for rate, at in ((0.1, 2), (0.2, 6), (0.3, math.inf)):
        training = Training(experiment(optimizer=Momentum(rate), averaging=EMA(0.9)))
        state, pause = training.start(), Pause(step=at)
        stack.join(training, state, pause)
        made.append((training, state, [], training.events(state, pause)))
    paused = {}
    while len(paused) < 2:
        for k, one in enumerate(made):
            for report in one[3]:
                if report:
                    one[2].append(report)
                    break
                paused[k] = (one[1].step, deepcopy(one[1]), list(one[2]))
    assert {k: step for k, (step, *_) in paused.items()} == {0: 2, 1: 6}
    for k, (_, state, reports) in paused.items():
        alone, resumed = Training(made[k][0].experiment), Training(made[k][0].experiment)
        whole = alone.start()
        reports += list(resumed.run(state))
        assert_same((alone, whole, list(alone.run(whole))), (resumed, state, reports))


def test_a_pause_that_is_asked_for_meanwhile_is_heeded_after_the_step(experiment, monkeypatch):
    seldom = {"evaluate_every": "20 steps", "stopping": (MaxSteps(40),)}
    stack, made = Stack(), []
    for rate in (0.1, 0.2, 0.3):
        training = Training(experiment(optimizer=Momentum(rate), **seldom))
        state, pause = training.start(), Pause()
        stack.join(training, state, pause)
        made.append((training, state, [], training.events(state, pause), pause))
    gather = _Together._gather

    def gathered(self, state, work):
        if state.step == 5:
            made[1][4].at = -math.inf
        return gather(self, state, work)

    monkeypatch.setattr(_Together, "_gather", gathered)
    for one in made:
        one[2].append(next(one[3]))
    assert next(made[1][3]) is None
    assert made[1][1].step == 6
    made[1][4].at = math.inf
    monkeypatch.undo()
    finish(stack, made)
    for training, *rest in (one[:3] for one in made):
        alone = Training(training.experiment)
        state = alone.start()
        assert_same((alone, state, list(alone.run(state))), (training, *rest))


def test_what_a_stack_has_no_memory_for_is_trained_by_itself(same, monkeypatch):
    left = [3]
    gather = _Together._gather

    def short(self, state, work):
        left[0] -= 1
        if left[0] == 0:
            raise MemoryError
        return gather(self, state, work)

    monkeypatch.setattr(_Together, "_gather", short)
    same([{"optimizer": SGD(rate)} for rate in (0.1, 0.2, 0.3)])
    assert left[0] < 0  # the others went on together


@pytest.mark.parametrize("how", ["by the clock", "by steps"])
def test_pauses_of_others_do_not_cut_the_steps_of_one_in_pieces_that_pile_up(
    experiment, sizes, how
):
    stack, made = Stack(), []
    for rate in (0.1, 0.2, 0.3):
        one = experiment(optimizer=SGD(rate), evaluate_every="40 steps", stopping=(MaxSteps(80),))
        training = Training(one, like=stack.like(one))
        state, pause = training.start(), Pause()
        stack.join(training, state, pause)
        made.append((training, state, [], training.events(state, pause), pause))
    for _, _, _, events, _ in made:
        next(events)
    for _, state, _, _, pause in made:
        if how == "by steps":
            pause.step = state.step + 1
        else:
            pause.at = 0.0
    _, state, _, events, pause = made[0]
    while next(events) is None:  # a checkpoint, and the next one is due later
        if how == "by steps":
            pause.step = state.step + 1
        else:
            pause.at = math.inf
    most = max(len(member.ahead) for member in stack._members)
    assert most <= 4
    assert len(sizes) <= 8


def test_as_many_are_stacked_as_fit_into_memory(experiment, monkeypatch):
    training = Training(experiment())
    needed = footprint(training.experiment, training.network, training.splits).total
    for free, many in ((0, 1), (2 * needed, 1), (7 * needed, 3), (1000 * needed, 500)):
        monkeypatch.setattr(stack_module, "available", lambda free=free: free)
        assert how_many(training) == many
        assert how_many(training, 2) == max(1, many // 2)


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": LBFGS(), "batch_size": 1000},
        {"optimizer": RandomSearch(0.1)},
        {"model": MLP((4,), dropout=0.1)},
        {"model": MLP((4,), batch_norm=True)},
        {"stopping": (MaxEpochs(2), TimeBudget(9.0))},
        {"seeds": 2},
    ],
    ids=str,
)
def test_what_is_trained_by_itself(experiment, change):
    assert shape_of(experiment(**change)) is None


@pytest.mark.parametrize(
    ("change", "alike"),
    [
        ({"seed": 4}, True),
        ({"optimizer": SGD(0.7)}, True),
        ({"optimizer": Momentum(0.1)}, False),
        ({"batch_size": 16}, False),
        ({"averaging": EMA(0.5)}, False),
        ({"stopping": (MaxEpochs(4),)}, False),
        ({"data": Digits()}, False),
    ],
    ids=str,
)
def test_what_is_alike(experiment, change, alike):
    assert (shape_of(experiment(**change)) == shape_of(experiment())) == alike


@pytest.fixture(scope="module")
def mnist():
    """MNIST, where it is: as nnlab finds it, or beside the project."""
    beside = str(Path(__file__).resolve().parents[3] / "shared" / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NNLAB_DATA", os.environ.get("NNLAB_DATA", beside))
        try:
            MNIST().load()
        except UserError as error:
            pytest.skip(str(error))
        yield MNIST()


@pytest.mark.slow
@pytest.mark.parametrize("case", range(4))
def test_random_trainings_of_mnist_have_the_bits_they_have_alone(same, case, mnist):
    r = random.Random(100 + case)
    fixed = {"stopping": (MaxSteps(60),), "evaluate_every": "30 steps", "warmup": NoWarmup()}
    fixed |= {"batch_size": 128, "averaging": EMA(0.9), "model": MLP((32,))}
    same(alike(r, 3, mnist, **fixed))

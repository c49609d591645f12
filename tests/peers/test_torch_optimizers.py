"""Optimizers, clipping, schedules and averages against PyTorch, in float64."""

import numpy as np
import pytest

from nnlab.core.adaptive import Adadelta, Adagrad, Adam, AdamW, Nadam, RMSProp
from nnlab.core.arrays import Workspace
from nnlab.core.averaging import EMA, SWA
from nnlab.core.clipping import ClipNorm, ClipValue, NoClipping
from nnlab.core.losses import CrossEntropy
from nnlab.core.objective import Batch, NetworkObjective, Oracle
from nnlab.core.optimizers import NAG, SGD, Momentum
from nnlab.core.penalties import L2
from nnlab.core.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseTime,
    OneCycle,
    ReduceOnPlateau,
    Step,
)
from nnlab.core.warmup import LinearWarmup, NoWarmup

torch = pytest.importorskip("torch", reason="PyTorch is not installed (make peers)")
pytestmark = pytest.mark.slow  # importing PyTorch takes seconds
functional, optim, plans = torch.nn.functional, torch.optim, torch.optim.lr_scheduler
nn_utils, swa_utils = torch.nn.utils, torch.optim.swa_utils

OPTIMIZERS = {  # ours: (PyTorch's, its arguments)
    SGD(0.1): (optim.SGD, {"lr": 0.1}),
    Momentum(0.05, 0.9): (optim.SGD, {"lr": 0.05, "momentum": 0.9}),
    NAG(0.05, 0.9): (optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    # dividing by the gradient's size magnifies the rounding of small ones: small steps
    Adagrad(): (optim.Adagrad, {}),
    Adagrad(0.02, 1e-2): (optim.Adagrad, {"lr": 0.02, "eps": 1e-2}),
    Adadelta(): (optim.Adadelta, {}),
    Adadelta(2.0, 0.8, 1e-4): (optim.Adadelta, {"lr": 2.0, "rho": 0.8, "eps": 1e-4}),
    RMSProp(0.01, 0.99): (optim.RMSprop, {}),
    RMSProp(0.002, 0.8, 1e-2): (optim.RMSprop, {"lr": 0.002, "alpha": 0.8, "eps": 1e-2}),
    Adam(): (optim.Adam, {}),
    Adam(0.01, 0.8, 0.99, 1e-6): (optim.Adam, {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-6}),
    AdamW(): (optim.AdamW, {}),
    AdamW(0.01, 0.8, 0.99, 1e-6, 0.1): (
        optim.AdamW,
        {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.1},
    ),
    Nadam(): (optim.NAdam, {}),
    Nadam(0.01, 0.8, 0.99, 1e-6, 0.1): (
        optim.NAdam,
        {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-6, "momentum_decay": 0.1},
    ),
}
# PyTorch multiplies the velocity by lr, ours has lr inside: the same while lr is constant
WITH_SCHEDULE = [ours for ours in OPTIMIZERS if not isinstance(ours, Momentum)]
CLIPPINGS = [ClipNorm(0.3), ClipValue(0.05)]
STEPS = 100


@pytest.fixture(autouse=True)
def in_float64():
    """NAdam keeps its product of momenta in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def torch_clips(clipping, parameters):
    """Clip the gradients with PyTorch's own functions; was there anything to clip?"""
    if isinstance(clipping, ClipValue):
        longest = max(p.grad.abs().max().item() for p in parameters)
        nn_utils.clip_grad_value_(parameters, clipping.value)
        return longest > clipping.value
    if isinstance(clipping, ClipNorm):
        length = nn_utils.get_total_norm([p.grad for p in parameters]).item()
        if length > clipping.norm:  # it divides by length + 1e-6
            nn_utils.clip_grad_norm_(parameters, clipping.norm * (length + 1e-6) / length)
        return length > clipping.norm
    return False


def compare(pair, flat, ours, schedule, clipping):
    """100 steps of both: the values are equal, and so are the parameters."""
    network, theta, twin = pair
    cls, arguments = OPTIMIZERS[ours]
    rng = np.random.default_rng(2)
    x, labels = rng.normal(size=(20, 6)), rng.integers(0, 3, 20)
    objective = NetworkObjective(network, CrossEntropy(), L2(0.01))
    oracle = Oracle(objective, Workspace(), clipping)
    oracle.batch = Batch(x, labels)
    state, parameters = ours.init(theta), list(twin.parameters())
    theirs, factor = cls(parameters, **arguments), schedule.start(10, STEPS)
    plan, clips = plans.LambdaLR(theirs, factor), []
    for t in range(STEPS):
        # PyTorch's parameters under Nesterov are the point that ours looks ahead to
        ahead = theta + ours.momentum * state["velocity"] if isinstance(ours, NAG) else theta
        np.testing.assert_allclose(ahead, flat(twin), rtol=1e-10, atol=1e-12)
        value = ours.step(theta, state, oracle, factor(t))
        theirs.zero_grad()
        loss = functional.cross_entropy(twin(torch.tensor(x)), torch.tensor(labels))
        loss = loss + 0.01 * sum((p**2).sum() for p in twin.parameters() if p.ndim == 2)
        loss.backward()
        clips.append(torch_clips(clipping, parameters))
        theirs.step()
        plan.step()
        assert float(value) == pytest.approx(loss.item(), rel=1e-10)
    ahead = theta + ours.momentum * state["velocity"] if isinstance(ours, NAG) else theta
    np.testing.assert_allclose(ahead, flat(twin), rtol=1e-10, atol=1e-12)
    return clips


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("ours", OPTIMIZERS, ids=str)
def test_100_steps_of_an_optimizer_equal_pytorch_s(network_and_twin, flat, ours, activation):
    compare(network_and_twin(activation), flat, ours, Constant(), NoClipping())


@pytest.mark.parametrize("ours", WITH_SCHEDULE, ids=str)
def test_100_steps_with_a_schedule_equal_pytorch_s(network_and_twin, flat, ours):
    compare(network_and_twin(), flat, ours, Cosine(final=0.1), NoClipping())


@pytest.mark.parametrize("clipping", CLIPPINGS, ids=str)
@pytest.mark.parametrize("ours", OPTIMIZERS, ids=str)
def test_100_steps_with_clipping_equal_pytorch_s(network_and_twin, flat, ours, clipping):
    clips = compare(network_and_twin(), flat, ours, Constant(), clipping)
    assert any(clips)


def test_the_bounds_are_such_that_some_gradients_are_clipped_and_some_are_not(
    network_and_twin, flat
):
    for clipping in CLIPPINGS:
        clips = compare(network_and_twin(), flat, Momentum(0.05, 0.9), Constant(), clipping)
        assert 5 < sum(clips) < 95


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_clipped_gradient_equals_pytorch_s(scale):
    rng = np.random.default_rng(3)
    grad = scale * rng.normal(size=50)
    for bound in (1e-2, 1.0, 30.0):
        for clipping, clip in (
            (ClipNorm(bound), nn_utils.clip_grad_norm_),
            (ClipValue(bound), nn_utils.clip_grad_value_),
        ):
            ours, theirs = grad.copy(), [torch.zeros(20), torch.zeros(6, 5)]
            for parameter, part in zip(theirs, (grad[:20], grad[20:].reshape(6, 5)), strict=True):
                parameter.grad = torch.tensor(part.copy())
            clipping.clip(ours)
            clip(theirs, bound)
            got = np.concatenate([parameter.grad.numpy().ravel() for parameter in theirs])
            # PyTorch adds 1e-6 to the norm, which is at least the bound where it clips
            tolerance = 1e-6 / bound if isinstance(clipping, ClipNorm) else 0
            np.testing.assert_allclose(ours, got, rtol=1.01 * tolerance)


def lrs(plan_of, steps, hear=None):
    """What PyTorch's plan makes of lr = 1, before each step."""
    optimizer = optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    plan = plan_of(optimizer)
    for t in range(steps):
        yield optimizer.param_groups[0]["lr"]
        optimizer.step()
        plan.step() if hear is None else plan.step(hear[t])


PER_EPOCH, TOTAL = 8, 96
SCHEDULES = [
    (Constant(), lambda o: plans.ConstantLR(o, 1.0)),
    (Step("20 steps", 0.3), lambda o: plans.StepLR(o, 20, 0.3)),
    (Step("2 epochs"), lambda o: plans.StepLR(o, 16)),
    (Step("25%", 0.5), lambda o: plans.StepLR(o, 24, 0.5)),
    (Exponential("1 step", 0.97), lambda o: plans.ExponentialLR(o, 0.97)),
    (Exponential("1 epoch", 0.7), lambda o: plans.ExponentialLR(o, 0.7 ** (1 / 8))),
    (Exponential("50%", 0.1), lambda o: plans.ExponentialLR(o, 0.1 ** (1 / 48))),
    (InverseTime("1 epoch", 0.5), lambda o: plans.LambdaLR(o, lambda t: 1 / (1 + 0.5 * t / 8))),
    (Cosine(), lambda o: plans.CosineAnnealingLR(o, 96)),
    (Cosine("12 epochs", final=0.2), lambda o: plans.CosineAnnealingLR(o, 96, eta_min=0.2)),
    (OneCycle(), lambda o: plans.OneCycleLR(o, 1.0, 96, cycle_momentum=False)),
    (
        OneCycle("12 epochs", 0.45, 7.0, 90.0),
        lambda o: plans.OneCycleLR(
            o, 1.0, 96, pct_start=0.45, div_factor=7.0, final_div_factor=90.0, cycle_momentum=False
        ),
    ),
    (
        OneCycle("96 steps", 0.004),  # the top is before the first step
        lambda o: plans.OneCycleLR(o, 1.0, 96, pct_start=0.004, cycle_momentum=False),
    ),
]


def test_every_planned_schedule_is_compared():
    ours = {type(schedule) for schedule, _ in SCHEDULES}
    assert ours == {Constant, Step, Exponential, InverseTime, Cosine, OneCycle}


@pytest.mark.parametrize(("schedule", "theirs"), SCHEDULES)
def test_a_schedule_equals_pytorch_s(schedule, theirs):
    factor = schedule.start(PER_EPOCH, TOTAL)
    ours = [factor(t) for t in range(TOTAL)]
    np.testing.assert_allclose(ours, list(lrs(theirs, TOTAL)), rtol=1e-10, atol=1e-15)


def warmed(n, rest):
    """PyTorch's linear warm-up over n steps, then another plan."""

    def plan(optimizer):
        warmup = plans.LinearLR(optimizer, 1 / n, total_iters=n - 1)
        return plans.SequentialLR(optimizer, [warmup, rest(optimizer)], [n])

    return plan


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step()`")
@pytest.mark.parametrize(
    ("warmup", "schedule", "theirs"),
    [
        (LinearWarmup("12 steps"), Constant(), lambda o: plans.LinearLR(o, 1 / 12, total_iters=11)),
        (LinearWarmup("2 epochs"), Cosine(), warmed(16, lambda o: plans.CosineAnnealingLR(o, 80))),
        (LinearWarmup("25%"), Step("9 steps"), warmed(24, lambda o: plans.StepLR(o, 9))),
        (
            LinearWarmup("25%"),
            Exponential("1 step", 0.9),
            warmed(24, lambda o: plans.ExponentialLR(o, 0.9)),
        ),
        (NoWarmup(), Cosine(), lambda o: plans.CosineAnnealingLR(o, 96)),
    ],
)
def test_a_warm_up_before_a_schedule_equals_pytorch_s(warmup, schedule, theirs):
    factor = warmup.before(schedule, PER_EPOCH, TOTAL)
    ours = [factor(t) for t in range(TOTAL)]
    np.testing.assert_allclose(ours, list(lrs(theirs, TOTAL)), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("min_delta", [0.0, 0.05])
@pytest.mark.parametrize(("evaluations", "floor"), [(1, 0.0), (2, 0.01), (5, 0.3)])
def test_reducing_on_a_plateau_equals_pytorch_s(evaluations, floor, min_delta, direction):
    rng = np.random.default_rng(evaluations)
    metrics = np.exp(-np.arange(60) / 20) + 0.1 * rng.normal(size=60)
    metrics[::9] = metrics[1::9][: len(metrics[::9])]  # ties
    metrics[[5, 17]] = np.nan
    metrics *= 1 if direction == "minimize" else -1
    schedule = ReduceOnPlateau(
        "loss", direction, evaluations, gamma=0.5, min_delta=min_delta, floor=floor
    )
    theirs = lrs(
        lambda o: plans.ReduceLROnPlateau(
            o,
            direction[:3],
            factor=0.5,
            patience=evaluations - 1,
            threshold=min_delta,
            threshold_mode="abs",
            min_lr=floor,
            eps=0.0,
        ),
        60,
        metrics,
    )
    memory, ours = schedule.init(), []
    for metric in metrics:
        ours.append(schedule.held(memory))
        schedule.hear({"loss": metric}, memory)
    np.testing.assert_allclose(ours, list(theirs), rtol=1e-12)
    assert len(set(ours)) > 2


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.999])
def test_an_ema_from_the_initial_weights_equals_pytorch_s(decay):
    thetas = torch.tensor(np.random.default_rng(4).normal(size=(50, 7)))
    module = torch.nn.Linear(6, 1)
    average = swa_utils.AveragedModel(module, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(decay))
    ema, state = EMA(decay, bias_correction=False), None
    for theta in thetas:
        nn_utils.vector_to_parameters(theta, module.parameters())
        average.update_parameters(module)  # the first time a copy
        if state is None:
            state = ema.init(theta.numpy())
        else:
            ema.update(theta.numpy(), state, Workspace())
        theirs = nn_utils.parameters_to_vector(average.parameters()).detach().numpy()
        np.testing.assert_allclose(ema.value(theta.numpy(), state), theirs, rtol=1e-12, atol=1e-15)


def test_an_ema_with_bias_correction_equals_the_mean_of_pytorch_s_adam():
    """Adam's mean of constant-signed gradients is the same average, corrected alike."""
    thetas = np.random.default_rng(5).normal(size=(50, 7))
    ema = EMA(0.9)
    state = ema.init(thetas[0])
    parameter = torch.zeros(7, requires_grad=True)
    adam = optim.Adam([parameter], betas=(0.9, 0.999))
    for t, theta in enumerate(thetas, start=1):
        parameter.grad = torch.tensor(theta)
        adam.step()
        ema.update(theta, state, Workspace())
        mean = adam.state[parameter]["exp_avg"].numpy() / (1 - 0.9**t)
        np.testing.assert_allclose(ema.value(theta, state), mean, rtol=1e-12, atol=1e-15)


def test_swa_equals_pytorch_s():
    thetas = torch.tensor(np.random.default_rng(6).normal(size=(50, 7)))
    module, swa = torch.nn.Linear(6, 1), SWA()
    average, state = swa_utils.AveragedModel(module), swa.init(np.ones(7))
    for theta in thetas:
        nn_utils.vector_to_parameters(theta, module.parameters())
        average.update_parameters(module)
        swa.update(theta.numpy(), state, Workspace())
        theirs = nn_utils.parameters_to_vector(average.parameters()).detach().numpy()
        np.testing.assert_allclose(swa.value(theta.numpy(), state), theirs, rtol=1e-12, atol=1e-15)

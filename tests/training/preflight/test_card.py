from dataclasses import dataclass, replace

import numpy as np
import pytest

from nnlab.core.activations import ReLU
from nnlab.core.adaptive import Adam
from nnlab.core.averaging import EMA
from nnlab.core.initialisers import Zeros
from nnlab.core.laws import LawError
from nnlab.core.losses import MSE
from nnlab.core.model import MLP
from nnlab.core.optimizers import SGD, Momentum
from nnlab.data.dataset import Dataset, Part
from nnlab.data.sources.bundled import BreastCancer, Diabetes, Digits, Iris
from nnlab.training.preflight.card import Card, check
from nnlab.training.preflight.line import Line
from nnlab.training.trainer import Training


@dataclass(frozen=True)
class Permuted(Iris):
    def load(self):
        whole = super().load()
        return replace(whole, y=np.random.default_rng(self.split_seed).permutation(whole.y))


@dataclass(frozen=True)
class PermutedDigits(Digits):
    def load(self):
        whole = super().load()
        return replace(whole, y=np.random.default_rng(self.split_seed).permutation(whole.y))


@dataclass(frozen=True)
class Constant(Iris):
    def load(self):
        whole = super().load()
        return replace(whole, x=np.ones_like(whole.x))


@dataclass(frozen=True)
class WithoutSetosa(Iris):
    def split(self, *how):
        splits = super().split(*how)
        rows = splits.train.y != 0
        return splits._replace(train=Part(splits.train.x[rows], splits.train.y[rows]))


@dataclass(frozen=True)
class CountedFromOne(Iris):
    def load(self):
        whole = super().load()
        return replace(whole, y=whole.y + 1)


@dataclass(frozen=True)
class NotFinite(Iris):
    hole: float = np.nan

    def load(self):
        whole = super().load()
        x = whole.x.copy()
        x[::50, 2] = self.hole
        return replace(whole, x=x)


@dataclass(frozen=True)
class HoleInTargets(Diabetes):
    def load(self):
        whole = super().load()
        return Dataset(whole.x, np.where(whole.y > 300, np.nan, whole.y))


DIGITS = {"data": Digits(), "model": MLP((64,))}
UNHEALTHY = {
    "lr 50": ({"optimizer": SGD(50.0), "model": MLP((16,))}, "learning", "too large"),
    "lr 5 of momentum": (DIGITS | {"optimizer": Momentum(5.0)}, "learning", "too large"),
    "lr 10 of adam": (DIGITS | {"optimizer": Adam(10.0)}, "learning", "too large"),
    "lr 1 for raw targets": (
        {"data": Diabetes(standardize_target=False), "loss": MSE(), "optimizer": SGD(1.0)},
        "learning",
        "diverged",
    ),
    "lr 1e-6": ({"optimizer": SGD(1e-6)}, "learning", "too small"),
    "zeros, relu": ({"model": MLP((8,)), "initialiser": Zeros()}, "initial weights", "he"),
    "zeros, sigmoid, two classes": (
        {
            "model": MLP((8,), activation="sigmoid"),
            "initialiser": Zeros(),
            "data": BreastCancer(),
        },
        "initial weights",
        "he",
    ),
    "permuted labels": ({"data": Permuted()}, "learning", "do not tell"),
    "permuted digits": (DIGITS | {"data": PermutedDigits()}, "learning", "the inputs"),
    "constant inputs": ({"data": Constant()}, "examples", "the same"),
    "constant raw inputs": ({"data": Constant(scale="none")}, "examples", "the same"),
    "no setosa in training": ({"data": WithoutSetosa()}, "labels", "setosa"),
    "nan": ({"data": NotFinite()}, "examples", "nan or inf"),
    "inf": ({"data": NotFinite(hole=np.inf, scale="none")}, "examples", "nan or inf"),
    "nan in targets": (
        {"data": HoleInTargets(standardize_target=False), "loss": MSE()},
        "targets",
        "nan or inf",
    ),
}
SECOND = ("lr 5 of momentum", "lr 10 of adam", "zeros, sigmoid, two classes", "permuted digits")
SECOND += ("constant raw inputs", "inf", "lr 1 for raw targets")
"""Another example of what a row before it shows."""
ROWS = [
    pytest.param(*row, id=name, marks=pytest.mark.slow if name in SECOND else ())
    for name, row in UNHEALTHY.items()
]
SOUND = {
    "momentum, ema": {"optimizer": Momentum(0.05), "averaging": EMA(0.9)},
    "batch norm, dropout": {"model": MLP((8,), batch_norm=True, dropout=0.2)},
}


@pytest.mark.parametrize(("fields", "name", "cure"), ROWS)
def test_an_unhealthy_setup_is_red_and_the_line_says_why(experiment, fields, name, cure):
    red = {line.name: line.detail for line in check(experiment(**fields)).red}
    assert cure in red[name]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_permuted_labels_are_red_whatever_the_seed(experiment, seed):
    card = check(experiment(data=Permuted(split_seed=seed), seed=seed, model=MLP((16,))))
    assert [line.name for line in card.red] == ["learning"]


@pytest.mark.parametrize("fields", SOUND.values(), ids=SOUND.keys())
def test_a_training_has_the_same_bits_after_a_check(experiment, fields):
    def trained():
        training = Training(experiment(**fields))
        state = training.start()
        reports = [dict(report.metrics) for report in training.run(state)]
        return state.theta.tobytes(), state.buffers.tobytes(), reports

    before, drawn = trained(), np.random.get_state()[1].tobytes()  # noqa: NPY002
    check(experiment(**fields))
    assert np.random.get_state()[1].tobytes() == drawn  # noqa: NPY002
    assert trained() == before


def test_two_checks_give_the_same_card(experiment):
    assert str(check(experiment(model=MLP((8,))))) == str(check(experiment(model=MLP((8,)))))


def test_a_check_that_raises_is_a_red_line_and_the_others_go_on(experiment, monkeypatch):
    def derivative(self, y, out):
        raise ZeroDivisionError("in backward")

    monkeypatch.setattr(ReLU, "derivative", derivative)
    card = check(experiment(model=MLP((8,))))
    details = {line.name: line.detail for line in card.red}
    assert details["gradients"] == "ZeroDivisionError: in backward"
    assert any(line.passed for line in card.lines)


def test_parts_that_do_not_fit_raise_as_in_a_training(experiment):
    with pytest.raises(LawError, match="regression targets"):
        check(experiment(data=Diabetes()))


def test_labels_that_are_not_counted_from_zero_are_red(experiment):
    red = {line.name: line.detail for line in check(experiment(data=CountedFromOne())).red}
    assert "setosa" in red["labels"]  # nobody has label 0, and label 3 is nobody's
    assert "50 examples are in no part" in red["split"]


def test_a_card_prints_one_line_for_each_check_and_counts_the_green_ones():
    card = Card((Line("examples", True, "3"), Line("labels", False, "count them from 0")))
    assert not card.passed
    assert [line.name for line in card.red] == ["labels"]
    assert str(card).splitlines() == [
        "ok   examples  3",
        "RED  labels    count them from 0",
        "1 of 2 checks are green",
    ]

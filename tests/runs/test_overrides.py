import pytest

from nnlab.runs.compose import compose
from nnlab.runs.overrides import overrides


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["data=iris"],
        ["seed=3", "dtype=float64"],
        ["model=linear", "optimizer=adam", "optimizer.lr=0.5"],
        ["stopping=[max_steps,patience]", "stopping.patience.evaluations=7"],
        ["data=diabetes", "loss=mse", "averaging=none", "tracking=none"],
        ["model.hidden=[7, 8]", "evaluate_every=10 steps"],
    ],
    ids=str,
)
def test_they_compose_the_same_config(given):
    config = compose(given)
    found = overrides(config)
    assert compose(found) == config
    assert len(found) <= len(given)


def test_they_say_only_what_differs():
    said = ["seed=0", "model=mlp", "optimizer.lr=0.07", "data=iris", "data.test=0.15"]
    assert overrides(compose(said)) == ["data=iris", "optimizer.lr=0.07"]


def test_a_config_of_other_groups_than_today_s_says_all_its_choices():
    config = {**compose([]), "optimizer": {"name": "of_old", "lr": 0.1}}
    found = overrides(config)
    assert "optimizer=of_old" in found
    assert "data=digits" in found
    assert "stopping=[max_epochs]" in found


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"name": "${oc.env:HOME}"}},
        {"model": {"name": "../../../etc/passwd"}},
        {"stopping": {"max_epochs],+payload=${oc.env:HOME},x=[": {}}},
        {"optimizer": {"name": "sgd,adam"}},
        {"+payload": {"name": "x"}},
    ],
    ids=str,
)
def test_a_choice_that_the_registry_does_not_have_is_never_composed(change, monkeypatch):
    config = compose(["data=iris"])

    def composed(overrides):
        raise AssertionError(overrides)

    monkeypatch.setattr("nnlab.runs.overrides.compose", composed)
    assert overrides({**config, **change})

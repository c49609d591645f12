from math import inf, nan

import pytest

from nnlab.plots.study import Study

SWEEP = {
    "name": "digits",
    "metric": "validation/loss",
    "direction": "minimize",
    "space": {"optimizer.lr": {"low": 0.1, "high": 1.0, "log": True}, "model": ["linear", "mlp"]},
}


def told(trial, state="COMPLETE", value=1.0, epochs=10, **more):
    values = [value] if state == "COMPLETE" and not isinstance(value, list) else value
    return {
        "type": "told",
        "trial": trial,
        "state": state,
        "values": values if state == "COMPLETE" else None,
        "curve": [[10, 2.0], [20, 1.5]],
        "seconds": 0.5,
        "epochs": epochs,
        "run": f"{trial:012x}",
        "reason": "",
        **more,
    }


def study(*ends, sweep=SWEEP, asked=None):
    records = [{"type": "start", "run": "5e4d"}]
    numbers = [one["trial"] for one in ends]
    records += [
        {"type": "asked", "trial": k, "values": asked or {"optimizer.lr": 0.1 * (k + 1)}}
        for k in numbers
    ]
    return Study.of(sweep, [*records, *ends])


def test_trials_are_those_that_have_ended_in_the_order_of_their_numbers():
    made = study(told(2), told(0, "PRUNED"), told(1, "FAILED"))
    assert [trial.number for trial in made.trials] == [0, 1, 2]
    assert [made.count(state) for state in ("COMPLETE", "PRUNED", "FAILED")] == [1, 1, 1]
    assert made.trials[2].curve == ((10, 2.0), (20, 1.5))


@pytest.mark.parametrize(("direction", "best"), [("minimize", 1), ("maximize", 0)])
def test_the_best_is_the_first_of_the_best(direction, best):
    ends = [told(0, value=3.0), told(1, value=1.0), told(2, value=1.0), told(3, "PRUNED")]
    made = study(*ends, sweep=SWEEP | {"direction": direction})
    assert [trial.number for trial in made.best] == [best]
    expected = {"minimize": [3.0, 1.0, 1.0], "maximize": [3.0, 3.0, 3.0]}[direction]
    assert [value for _, value in made.best_so_far] == expected


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_what_is_not_finite_is_never_the_best(value):
    made = study(told(0, value=value), told(1, value=5.0))
    assert [trial.number for trial in made.best] == [1]


def test_the_front_is_what_no_other_beats():
    two = SWEEP | {"metric": ["loss", "accuracy"], "direction": ["minimize", "maximize"]}
    points = [[1.0, 0.5], [2.0, 0.9], [2.0, 0.8], [3.0, 0.9], [0.5, 0.1], [1.0, 0.5]]
    made = study(*(told(k, value=point) for k, point in enumerate(points)), sweep=two)
    # 2 is beaten by 1, 3 by 1; 0 and 5 are the same point
    assert [trial.number for trial in made.best] == [0, 1, 4, 5]


def test_pruning_saves_what_the_longest_trial_trained_on():
    made = study(told(0, epochs=30), told(1, "PRUNED", epochs=5), told(2, "PRUNED", epochs=31))
    assert made.saved == 25


def test_parameters_come_by_importance_and_only_those_that_a_trial_had():
    made = study(told(0), asked={"optimizer.lr": 0.1, "model": "mlp"})
    assert made.varied == ["optimizer.lr", "model"]
    records = [{"type": "importances", "values": {"model": 0.8, "optimizer.lr": 0.2}}]
    start = [{"type": "start", "run": "5"}, {"type": "asked", "trial": 0, "values": {"model": "x"}}]
    assert Study.of(SWEEP, [*start, told(0), *records]).varied == ["model"]
    assert made.logarithmic("optimizer.lr")
    assert not made.logarithmic("model")

"""The search against plain Optuna, against itself after an interruption, and its own laws."""

import itertools
import random
import subprocess
import sys
from hashlib import sha256

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnlab.errors import UserError
from nnlab.sweeps import points
from nnlab.sweeps.constraints import Constraint
from nnlab.sweeps.parameters import parse_space
from nnlab.sweeps.pruners import NoPruning
from nnlab.sweeps.samplers import CMAES, NSGA2, QMC, SAMPLERS, TPE, Grid, Random
from nnlab.sweeps.search import Search
from nnlab.sweeps.space import Choices, Range

NUMBERS = {
    "lr": Range(1e-4, 1.0, log=True),
    "momentum": Range(0.0, 0.9),
    "width": Range(4, 64),
    "step": Range(0.0, 0.9, step=0.3),
}
SPACE = {**NUMBERS, "hidden": Choices(([8], [16, 16], []))}
CONDITIONAL = parse_space(
    {
        "optimizer": ["sgd", "momentum", "adam"],
        "momentum": {"low": 0.5, "high": 0.99, "when": {"optimizer": "momentum"}},
        "nesterov": {"choice": [True, False], "when": {"optimizer": "momentum"}},
        "beta": {"low": 0.5, "high": 0.99, "when": {"optimizer": "adam"}},
        "lr": {"low": 1e-4, "high": 1.0, "log": True},
        "damping": {"low": 0, "high": 3, "when": {"nesterov": False}},
    }
)
FINITE = parse_space(
    {
        "a": [1, 2, 3],
        "b": {"low": 1, "high": 4},
        "c": ["x", "y"],
    }
)
"""24 points."""
QUICK = {
    "tpe": TPE(startup=4, candidates=8),
    "random": Random(),
    "grid": Grid(),
    "qmc": QMC(),
    "cmaes": CMAES(population=4),
    "nsga2": NSGA2(population=6),
}
CASES = [
    *(
        (name, space)
        for name in ("tpe", "random", "qmc", "nsga2")
        for space in (SPACE, CONDITIONAL)
    ),
    ("cmaes", NUMBERS),
    ("grid", FINITE),
]
every_case = pytest.mark.parametrize(
    ("sampler", "space"), CASES, ids=[f"{name}-{len(space)}" for name, space in CASES]
)


def cost(values):
    """A bowl, for want of a training; equal values cost the same, whatever else exists."""
    lr = np.log10(values["lr"]) + 2 if "lr" in values else 0.0
    return lr**2 + values.get("momentum", 0.7) ** 2 + len(points.key(values)) % 7 / 10


def outcome(number):
    """How a trial ends: now and then one fails or is pruned."""
    return {3: "FAILED", 5: "PRUNED"}.get(number % 8, "COMPLETE")


def end(search, number, values, state=None):
    """Report twice and tell."""
    state = state or outcome(number)
    for evaluation in (1, 2):
        search.should_prune(number, evaluation, cost(values) + evaluation)
    search.tell(number, state, [cost(values)] if state == "COMPLETE" else None)


def run(search, trials, begin=0):
    """Ask and tell one after another; the values that were suggested."""
    suggested = []
    for number in range(begin, trials):
        values = search.ask(number)
        end(search, number, values)
        suggested.append(values)
    return suggested


def test_every_sampler_has_a_case():
    assert set(QUICK) == set(SAMPLERS) == {name for name, _ in CASES}


@every_case
def test_suggestions_are_points_of_the_space_and_of_its_kinds(definition, sampler, space):
    for values in run(Search(definition(space=space, sampler=QUICK[sampler])), 24):
        assert points.contains(space, values)
        assert all(type(value) in (int, float, str, bool, list) for value in values.values())


@every_case
def test_the_same_seed_suggests_the_same_whatever_the_global_generators_do(
    definition, sampler, space
):
    def settings(seed):
        return definition(space=space, sampler=QUICK[sampler], seed=seed)

    first = run(Search(settings(5)), 20)
    random.seed(1)
    legacy = np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(1)  # noqa: NPY002
        assert run(Search(settings(5)), 20) == first
    finally:
        np.random.set_state(legacy)  # noqa: NPY002
    assert run(Search(settings(6)), 20) != first


@every_case
@pytest.mark.parametrize("stopped", [1, 7, 15])
def test_one_worker_resumed_suggests_what_an_uninterrupted_one_does(
    definition, sampler, space, stopped
):
    settings = definition(space=space, sampler=QUICK[sampler], pruner="halving", seed=2)
    uninterrupted = run(Search(settings), 22)
    resumed = Search(settings)
    for number, values in enumerate(uninterrupted[:stopped]):
        resumed.asked(number, values)
        end(resumed, number, values)
    resumed.asked(stopped, uninterrupted[stopped])  # it ran when the driver was killed
    end(resumed, stopped, uninterrupted[stopped])
    assert run(resumed, 22, stopped + 1) == uninterrupted[stopped + 1 :]


def workers(search, trials, at_once, delay, rng):
    """Trials that end in a random order, `at_once` at a time, as a driver lets them."""
    suggested, running, told = [], [], set()
    while len(suggested) < trials or running:
        number = len(suggested)
        ready = all(k in told for k in range(number - delay + 1))
        if len(suggested) < trials and len(running) < at_once and ready:
            suggested.append(search.ask(number))
            running.append(number)
        else:
            ended = running.pop(rng.integers(len(running)))
            end(search, ended, suggested[ended])
            told.add(ended)
    return suggested


@every_case
def test_a_deterministic_search_does_not_depend_on_workers_or_on_timing(definition, sampler, space):
    settings = definition(
        space=space, sampler=QUICK[sampler], pruner="none", deterministic=True, lag=4
    )
    rng = np.random.default_rng(0)
    one, *others = (workers(Search(settings), 24, n, 4, rng) for n in (1, 2, 4, 4))
    assert all(other == one for other in others)


def test_without_determinism_timing_does_matter(definition):
    settings = definition(space=SPACE, sampler=QUICK["tpe"], pruner="none")
    rng = np.random.default_rng(0)
    one, other = (workers(Search(settings), 24, 4, 4, rng) for _ in range(2))
    assert one != other


def test_a_deterministic_search_waits_for_what_it_is_to_see(definition):
    search = Search(definition(deterministic=True, lag=2))
    search.ask(0), search.ask(1)
    with pytest.raises(RuntimeError, match="trial 0 is told before 2 is asked"):
        search.ask(2)


def test_trials_are_asked_in_their_order(definition):
    search = Search(definition())
    search.ask(0)
    with pytest.raises(RuntimeError, match="trial 1 is asked next, not 2"):
        search.ask(2)


# --- against plain Optuna


def seed(number, study=0):
    return int.from_bytes(sha256(f"{study}/{number}".encode()).digest()[:4])


def plain_optuna(make, distributions, trials, directions=("minimize",)):
    """A loop as Optuna's manual has it, with a sampler that is made anew for each trial."""
    study = optuna.create_study(directions=list(directions))
    suggested = []
    for number in range(trials):
        study.sampler = make(seed(number))
        trial = study.ask(distributions)
        values = [cost(trial.params)] * len(directions)
        study.tell(trial, values)
        suggested.append(trial.params)
    return suggested


PLAIN = {
    "lr": optuna.distributions.FloatDistribution(1e-4, 1.0, log=True),
    "momentum": optuna.distributions.FloatDistribution(0.0, 0.9),
    "width": optuna.distributions.IntDistribution(4, 64),
}
SAME = {
    "tpe": lambda seed: optuna.samplers.TPESampler(
        n_startup_trials=4, n_ei_candidates=8, seed=seed
    ),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "cmaes": lambda seed: optuna.samplers.CmaEsSampler(popsize=4, seed=seed),
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(population_size=6, seed=seed),
}


@pytest.mark.parametrize("sampler", SAME)
def test_a_search_suggests_what_plain_optuna_does(definition, sampler):
    space = {key: NUMBERS[key] for key in PLAIN}
    search = Search(definition(space=space, sampler=QUICK[sampler], pruner="none"))
    ours = []
    for number in range(30):
        ours.append(search.ask(number))
        search.tell(number, "COMPLETE", [cost(ours[-1])])
    plain = plain_optuna(SAME[sampler], PLAIN, 30)
    keys = [points.key(values) for values in plain]
    repeated = next((k for k, key in enumerate(keys) if key in keys[:k]), 30)
    assert repeated == 30 or (sampler == "nsga2" and repeated > 12)  # a child like its parent
    assert ours[:repeated] == plain[:repeated]


def test_qmc_is_scipy_s_sequence(definition):
    from scipy.stats import qmc

    search = Search(definition(space=NUMBERS, sampler="qmc", seed=3))
    found = [search.ask(number) for number in range(16)]
    cube = qmc.Sobol(4, scramble=True, rng=np.random.default_rng(3)).random(16)
    for values, (u, v, w, z) in zip(found, cube, strict=True):
        assert values["lr"] == pytest.approx(1e-4 * 1e4**u)
        assert values["momentum"] == pytest.approx(0.9 * v)
        assert values["width"] == 4 + int(61 * w)
        assert values["step"] == pytest.approx(0.3 * int(4 * z))


def test_an_evolution_without_its_package_says_how_to_get_it(definition, monkeypatch):
    monkeypatch.setattr("nnlab.sweeps.drawing.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install nnlab\[cmaes\]"):
        Search(definition(space=NUMBERS, sampler="cmaes"))


# --- points that were there


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "nsga2", "grid"])
def test_a_finite_space_is_walked_once_and_then_exhausted(definition, sampler):
    search = Search(definition(space=FINITE, sampler=QUICK[sampler], trials=30))
    found = []
    while (values := search.ask(len(found))) is not None:
        found.append(values)
        search.tell(len(found) - 1, "COMPLETE", [cost(values)])
    every = [
        {"a": a, "b": b, "c": c} for a, b, c in itertools.product([1, 2, 3], range(1, 5), "xy")
    ]
    assert sorted(map(points.key, found)) == sorted(map(points.key, every))
    assert search.ask(24) is None


def test_a_grid_is_walked_in_an_order_that_the_seed_decides(definition):
    def walked(seed):
        return run(Search(definition(space=FINITE, sampler="grid", seed=seed)), 24)

    assert walked(1) == walked(1) != walked(2)


def test_a_conditional_grid_has_each_point_that_exists(definition):
    space = parse_space(
        {
            "optimizer": ["sgd", "momentum"],
            "momentum": {"choice": [0.5, 0.9], "when": {"optimizer": "momentum"}},
            "lr": [0.1, 1.0],
        }
    )
    search = Search(definition(space=space, sampler="grid"))
    found = [search.ask(number) for number in range(6)]
    assert search.ask(6) is None
    assert sorted(map(points.key, found)) == sorted(
        map(
            points.key,
            [
                *({"optimizer": "sgd", "lr": lr} for lr in (0.1, 1.0)),
                *(
                    {"optimizer": "momentum", "momentum": m, "lr": lr}
                    for m in (0.5, 0.9)
                    for lr in (0.1, 1.0)
                ),
            ],
        )
    )


def test_a_resumed_search_does_not_repeat_what_was_asked(definition):
    settings = definition(space=FINITE, sampler="random")
    first = run(Search(settings), 20)
    resumed = Search(settings)
    for number, values in enumerate(first):
        resumed.asked(number, values)
    rest = [resumed.ask(number) for number in range(20, 24)]
    assert len({points.key(values) for values in first + rest}) == 24
    assert resumed.ask(24) is None


def test_what_is_not_allowed_is_never_suggested(definition):
    def allowed(values):
        return values["a"] == 2

    for sampler in ("tpe", "random", "grid", "qmc"):
        search = Search(definition(space=FINITE, sampler=QUICK[sampler]), allowed)
        found = [search.ask(number) for number in range(8)]
        assert all(values["a"] == 2 for values in found)
        assert search.ask(8) is None


def test_where_nothing_is_allowed_nothing_is_suggested(definition):
    assert Search(definition(space=SPACE), lambda values: False).ask(0) is None


# --- what is told


def test_tpe_learns_from_what_it_is_told(definition):
    settings = definition(space=SPACE, sampler="tpe")
    costs = [cost(values) for values in run(Search(settings), 60)]
    assert np.mean(costs[40:]) < np.mean(costs[:10]) / 2


def test_random_suggestions_depend_on_seed_and_number_alone(definition):
    settings = definition(space=SPACE, sampler="random")
    told = run(Search(settings), 8)
    silent = Search(settings)
    assert [silent.ask(number) for number in range(8)] == told


def test_tpe_keeps_away_from_trials_that_break_a_constraint(definition):
    """The cost falls with x, and so does the time that is left."""

    def share(constraints):
        space = {"x": Range(0.0, 1.0), "y": Range(0.0, 1.0)}
        search = Search(definition(space=space, constraints=constraints))
        slow = []
        for number in range(60):
            values = search.ask(number)
            seconds = 9.0 if values["x"] < 0.3 else 1.0
            search.tell(number, "COMPLETE", [sum(values.values())], {"seconds": seconds})
            slow.append(seconds == 9.0)
        return np.mean(slow[20:])

    assert share(()) > 0.6
    assert share((Constraint("seconds", high=5.0),)) < 0.4


def test_several_objectives_come_nearer_to_their_front(definition):
    """Minimize sum x_i^2 and sum (x_i - 2)^2: on the front all x_i are equal, within [0, 2]."""
    search = Search(
        definition(
            space={f"x{k}": Range(-10.0, 10.0) for k in range(4)},
            metric=["a", "b"],
            direction=["minimize", "minimize"],
            sampler=NSGA2(population=10),
            pruner=NoPruning(),
        )
    )
    distances = []
    for number in range(150):
        x = np.array(list(search.ask(number).values()))
        assert not search.should_prune(number, 1, float(x[0]))
        search.tell(number, "COMPLETE", [float((x**2).sum()), float(((x - 2) ** 2).sum())])
        distances.append(np.abs(x - 1).mean())
    assert np.mean(distances[-40:]) < np.mean(distances[:10]) / 2


def test_what_another_study_found_is_known(definition):
    settings = definition(space=SPACE, sampler=TPE(startup=10))
    search = Search(settings)
    rng = np.random.default_rng(0)
    for _ in range(40):
        values = points.at(SPACE, rng.random(5).tolist())
        assert search.know(values, [cost(values)])
    assert not search.know(values, [0.0])  # the same point again
    assert not search.know({**values, "width": 3}, [0.0])  # outside
    assert not search.know({"lr": 0.1}, [0.0])
    costs = [cost(search.ask(number)) for number in range(10)]
    fresh = Search(settings)
    assert np.mean(costs) < np.mean([cost(fresh.ask(number)) for number in range(10)]) / 2
    with pytest.raises(RuntimeError, match="before the first trial is asked"):
        search.know(values, [0.0])


def test_what_is_known_is_not_tried_again(definition):
    search = Search(definition(space=FINITE, sampler="grid"))
    every = list(points.every(FINITE))
    for values in every[:20]:
        search.know(values, [1.0])
    rest = [search.ask(number) for number in range(4)]
    assert sorted(map(points.key, rest)) == sorted(map(points.key, every[20:]))
    assert search.ask(4) is None


def test_importances_name_what_matters(definition):
    space = {"x": Range(0.0, 1.0), "y": Range(0.0, 1.0)}
    search = Search(definition(space=space, sampler="random", deterministic=True, lag=1))
    for number in range(40):
        values = search.ask(number)
        search.tell(number, "COMPLETE", [10 * values["x"] + values["y"]])
    shares = search.importances()
    assert list(shares) == ["x", "y"]
    assert shares["x"] > 0.9
    assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.parametrize(("direction", "first"), [("maximize", "x"), ("minimize", "y")])
def test_importances_are_of_what_makes_the_best(definition, direction, first):
    space = {"x": Range(0.0, 1.0), "y": Range(0.0, 1.0)}
    search = Search(definition(space=space, sampler="random", direction=direction))
    for number in range(100):
        values = search.ask(number)
        high, low = values["x"] > 0.85, values["y"] < 0.15
        search.tell(number, "COMPLETE", [2 + values["x"] if high else -2.0 if low else 0.0])
    assert next(iter(search.importances())) == first


def test_importances_of_too_little_are_empty(definition):
    assert Search(definition()).importances() == {}


@settings(deadline=None, max_examples=25)
@given(
    low=st.floats(-1e6, 1e6),
    width=st.floats(1e-3, 1e6),
    share=st.floats(1e-3, 1.0),
    number=st.integers(0, 5),
)
def test_suggestions_of_steps_stay_within_bounds(low, width, share, number):
    from nnlab.sweeps.definition import Definition

    high = low + width
    if not low < high or not 0 < share * (high - low) <= high - low:
        return
    space = parse_space({"x": {"low": low, "high": high, "step": share * (high - low)}})
    search = Search(Definition("x", space, ("loss",), pruner=NoPruning()))
    for k in range(number):
        values = search.ask(k)
        if values is None:
            break
        assert space["x"].has(values["x"])
        assert low <= values["x"] <= high + 1e-9 * abs(high)
        search.tell(k, "COMPLETE", [values["x"]])


SCRIPT = """
from nnlab.sweeps.definition import Definition
from nnlab.sweeps.parameters import parse_space
from nnlab.sweeps.samplers import TPE
from nnlab.sweeps.search import Search
space = parse_space({
    "o": ["a", "b"], "x": {"low": 0.0, "high": 1.0, "when": {"o": "a"}},
    "y": {"low": 0.0, "high": 1.0, "when": {"o": "b"}}, "z": {"low": 0.0, "high": 1.0},
})
search = Search(Definition("s", space, ("loss",), sampler=TPE(startup=3)))
for k in range(12):
    values = search.ask(k)
    search.tell(k, "COMPLETE", [values["z"]])
    print(values)
"""


LEARNED = (
    SCRIPT
    + """
import sys
assert search.importances()["z"] > 0.5
assert not any(name.split(".")[0] == "sklearn" for name in sys.modules)
import sklearn.ensemble  # it is there all the same
assert search.importances()["z"] > 0.5
"""
)


@pytest.mark.slow
def test_what_was_learned_is_told_without_scikit_learn():
    subprocess.run([sys.executable, "-c", LEARNED], check=True)


@pytest.mark.slow
def test_suggestions_do_not_depend_on_the_hashes_of_texts():
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={"PYTHONHASHSEED": str(seed), "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 2)
    }
    assert len(outputs) == 1

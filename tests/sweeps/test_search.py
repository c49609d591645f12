import random

import numpy as np
import pytest

from nnlab.sweeps.definition import PRUNERS, SAMPLERS
from nnlab.sweeps.search import _PRUNERS, _SAMPLERS, Search
from nnlab.sweeps.space import Choices, Range

SPACE = {
    "lr": Range(1e-4, 1.0, log=True),
    "momentum": Range(0.0, 0.9),
    "width": Range(4, 64),
    "hidden": Choices(([8], [16, 16], [])),
}
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS)


def cost(values):
    """A bowl in the space, for want of a training."""
    return (np.log10(values["lr"]) + 2) ** 2 + values["momentum"] ** 2 + values["width"] / 64


def run(search, trials, end="COMPLETE"):
    """Ask and tell; the values that were suggested."""
    suggested = []
    for _ in range(trials):
        number, values = search.ask()
        search.tell(number, end, cost(values) if end == "COMPLETE" else None)
        suggested.append(values)
    return suggested


def complete(search, curves):
    """Trials with these values after each evaluation, told as complete; none may be pruned."""
    for curve in curves:
        number, _ = search.ask()
        for evaluation, value in enumerate(curve, start=1):
            assert not search.should_prune(number, evaluation, value)
        search.tell(number, "COMPLETE", curve[-1])


def prunings(search, curve):
    """The verdict on a running trial after each evaluation."""
    number, _ = search.ask()
    return [search.should_prune(number, k, value) for k, value in enumerate(curve, start=1)]


def test_every_name_has_its_maker():
    assert set(_SAMPLERS) == set(SAMPLERS)
    assert set(_PRUNERS) == set(PRUNERS)


@every_sampler
def test_suggestions_are_in_the_space_and_of_its_kinds(definition, sampler):
    for values in run(Search(definition(space=SPACE, sampler=sampler)), 30):
        assert list(values) == list(SPACE)
        assert 1e-4 <= values["lr"] <= 1 and isinstance(values["lr"], float)
        assert 0 <= values["momentum"] <= 0.9
        assert 4 <= values["width"] <= 64 and isinstance(values["width"], int)
        assert values["hidden"] in ([8], [16, 16], [])


@every_sampler
def test_a_range_is_searched_to_both_its_sides(definition, sampler):
    suggested = run(Search(definition(space=SPACE, sampler=sampler)), 10, "FAILED")
    lrs = [values["lr"] for values in suggested]
    assert min(lrs) < 1e-2 < max(lrs)  # the middle of the logarithms


@every_sampler
def test_the_same_seed_suggests_the_same_whatever_the_global_generators_do(definition, sampler):
    first = run(Search(definition(space=SPACE, sampler=sampler, seed=5)), 25)
    random.seed(1)
    legacy = np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(1)  # noqa: NPY002
        assert run(Search(definition(space=SPACE, sampler=sampler, seed=5)), 25) == first
    finally:
        np.random.set_state(legacy)  # noqa: NPY002
    assert run(Search(definition(space=SPACE, sampler=sampler, seed=6)), 25) != first


@every_sampler
@pytest.mark.parametrize("stopped", [1, 9, 15])
def test_a_search_that_is_rebuilt_goes_on_as_if_never_stopped(definition, sampler, stopped):
    settings = definition(space=SPACE, sampler=sampler, seed=2)
    uninterrupted = run(Search(settings), 25)
    rebuilt = Search(settings)
    assert run(rebuilt, stopped) == uninterrupted[:stopped]
    assert run(rebuilt, 25 - stopped) == uninterrupted[stopped:]


@every_sampler
def test_a_trial_that_runs_is_asked_about_once_more_after_a_rebuild(definition, sampler):
    def history(search):
        asked = [search.ask() for _ in range(13)]
        for number, values in asked[:12]:
            search.tell(number, "COMPLETE", cost(values))
        return search.ask()  # while trial 12 runs

    settings = definition(space=SPACE, sampler=sampler)
    number, values = history(Search(settings))
    assert number == 13
    assert history(Search(settings)) == (number, values)


def test_random_suggestions_depend_on_seed_and_number_alone(definition):
    settings = definition(space=SPACE, sampler="random")
    told = run(Search(settings), 8)
    silent = Search(settings)
    assert [silent.ask()[1] for _ in range(8)] == told


def test_tpe_learns_from_what_it_is_told(definition):
    settings = definition(space=SPACE, sampler="tpe")
    suggested = run(Search(settings), 60)
    costs = [cost(values) for values in suggested]
    assert np.mean(costs[40:]) < np.mean(costs[:10]) / 2


def test_trials_are_numbered_from_zero(definition):
    search = Search(definition())
    assert [search.ask()[0] for _ in range(4)] == [0, 1, 2, 3]


# Five complete trials stand at 1, 2, 3, 4, 5 after every evaluation: their median is 3.
PEERS = [[float(value)] * 8 for value in (1, 2, 3, 4, 5)]
PRUNED = {  # a running trial's values, and after which evaluations it is to be stopped
    "worse than the median": ([3.1] * 8, [5, 6, 7, 8]),
    "the median itself": ([3.0] * 8, []),
    "better": ([2.9] * 8, []),
    "was better once": ([2.9, 9, 9, 9, 9, 9, 9, 9], []),
    "becomes better": ([9, 9, 9, 9, 9, 9, 1, 1], [5, 6]),
}


@pytest.mark.parametrize("sign", [1, -1], ids=["minimize", "maximize"])
@pytest.mark.parametrize(("curve", "pruned_at"), PRUNED.values(), ids=PRUNED)
def test_a_trial_is_pruned_where_its_best_value_is_worse_than_its_peers_median(
    definition, curve, pruned_at, sign
):
    search = Search(definition(direction="minimize" if sign == 1 else "maximize"))
    complete(search, [[sign * value for value in peer] for peer in PEERS])
    verdicts = prunings(search, [sign * value for value in curve])
    assert [k for k, pruned in enumerate(verdicts, start=1) if pruned] == pruned_at


def test_nothing_is_pruned_before_five_trials_are_complete(definition):
    search = Search(definition())
    complete(search, PEERS[:4])
    for state in ("PRUNED", "FAILED"):  # these are no peers
        search.tell(search.ask()[0], state, None)
    assert not any(prunings(search, [100.0] * 8))


def test_nothing_is_pruned_without_a_pruner(definition):
    search = Search(definition(pruner="none"))
    complete(search, PEERS)
    assert not any(prunings(search, [100.0] * 8))

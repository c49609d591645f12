"""When trials are stopped: each pruner against plain Optuna, and against timing."""

import warnings

import numpy as np
import optuna
import pytest

from nnlab.core.laws import LawError
from nnlab.sweeps.pruners import (
    PRUNERS,
    Halving,
    Hyperband,
    Median,
    NoPruning,
    Patient,
    Threshold,
    Wilcoxon,
)
from nnlab.sweeps.search import Search
from nnlab.sweeps.space import Range
from nnlab.sweeps.verdict import worse_than

LENGTH = 27
CASES = {
    "none": NoPruning(),
    "median": Median(startup=2, warmup=2),
    "halving": Halving(first=1, factor=2),
    "hyperband": Hyperband(first=1, last=LENGTH, factor=3),
    "hyperband of unknown length": Hyperband(first=1, factor=3),
    "threshold": Threshold(high=2.5, warmup=3),
    "patient": Patient(patience=3, pruner=Median(startup=2, warmup=2)),
    "patient alone": Patient(patience=3, pruner=NoPruning()),
    "wilcoxon": Wilcoxon(p=0.1),
}
every_pruner = pytest.mark.parametrize("pruner", CASES.values(), ids=CASES)
MEMBERS = 5


def curve(number):
    """Falling values of a trial, with noise, and those of its members."""
    rng = np.random.default_rng(number)
    level = rng.uniform(0.5, 3)
    values = level * (1 + np.exp(-np.arange(LENGTH) / 5)) + rng.normal(size=LENGTH) / 5
    members = values[:, None] + rng.normal(size=(LENGTH, MEMBERS)) / 10
    return [float(v) for v in members.mean(axis=1)], members.tolist()


def train(search, number):
    """Report until the end or the verdict; how many evaluations there were."""
    values, members = curve(number)
    for evaluation, (value, each) in enumerate(zip(values, members, strict=True), start=1):
        if search.should_prune(number, evaluation, value, each):
            search.tell(number, "PRUNED", None)
            return evaluation
    search.tell(number, "COMPLETE", [values[-1]])
    return LENGTH


def straight(search, trials):
    """Trials one after another; the evaluations of each."""
    lengths = []
    for number in range(trials):
        search.ask(number)
        lengths.append(train(search, number))
    return lengths


def test_every_pruner_has_a_case():
    assert {pruner.name for pruner in CASES.values()} == set(PRUNERS)


@every_pruner
def test_some_trials_are_stopped_and_some_are_not(definition, pruner):
    lengths = straight(Search(definition(pruner=pruner, sampler="random")), 25)
    assert LENGTH in lengths
    assert (min(lengths) < LENGTH) == (pruner != NoPruning())


PLAIN = {
    "median": optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=2),
    "halving": optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    "hyperband": optuna.pruners.HyperbandPruner(
        min_resource=1, max_resource=LENGTH, reduction_factor=3
    ),
    "threshold": optuna.pruners.ThresholdPruner(upper=2.5, n_warmup_steps=3),
}


@pytest.mark.parametrize("name", PLAIN)
def test_the_verdicts_are_those_of_plain_optuna(definition, name):
    # the brackets of hyperband are drawn by the study's name
    study = optuna.create_study(
        study_name="unit", pruner=PLAIN[name], sampler=optuna.samplers.RandomSampler(seed=0)
    )
    lengths = []
    for number in range(40):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        for evaluation, value in enumerate(curve(number)[0], start=1):
            trial.report(value, evaluation)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, value)
        lengths.append(evaluation)
    ours = straight(Search(definition(pruner=CASES[name], sampler="random")), 40)
    assert ours == lengths


@pytest.mark.parametrize("alone", [True, False])
def test_patience_is_that_of_plain_optuna(definition, alone):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        inner = None if alone else optuna.pruners.MedianPruner(2, 2)
        plain = optuna.pruners.PatientPruner(inner, patience=3)
    study = optuna.create_study(pruner=plain, sampler=optuna.samplers.RandomSampler(seed=0))
    lengths = []
    for number in range(40):
        trial = study.ask()
        for evaluation, value in enumerate(curve(number)[0], start=1):
            trial.report(value, evaluation)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, value)
        lengths.append(evaluation)
    case = CASES["patient alone" if alone else "patient"]
    assert straight(Search(definition(pruner=case, sampler="random")), 40) == lengths


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_signed_rank_test_is_that_of_optuna_s_pruner(direction):
    """Its steps are our members: a study with the best trial and one that is compared to it."""
    rng = np.random.default_rng(0)
    sign = 1 if direction == "minimize" else -1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        pruner = optuna.pruners.WilcoxonPruner(p_threshold=0.1)
    seen = set()
    for _ in range(60):
        best, mine = sign * rng.normal(size=(2, 6))
        mine = mine + sign * 0.5
        study = optuna.create_study(direction=direction, pruner=pruner)
        for values, told in ((best, True), (mine, False)):
            trial = study.ask()
            for k, value in enumerate(values):
                trial.report(float(value), k)
            if told:
                study.tell(trial, float(values.mean()))
        if sign * mine.mean() < sign * best.mean():
            continue  # Optuna takes care of a best trial that is not best on average
        ours = worse_than(Wilcoxon(p=0.1), mine.tolist(), best.tolist(), direction == "minimize")
        assert ours == trial.should_prune()
        seen.add(ours)
    assert seen == {True, False}


@pytest.mark.parametrize(("p", "pairs"), [(0.1, 4), (0.05, 5), (0.5, 2), (0.03125, 6)])
def test_how_many_pairs_can_reach_p(p, pairs):
    worse, best = np.arange(1.0, 2.0, 0.01), np.zeros(100)
    assert Wilcoxon(p=p).pairs == pairs
    assert worse_than(Wilcoxon(p=p), list(worse[:pairs]), list(best[:pairs]), True)
    assert not worse_than(Wilcoxon(p=p), list(worse[: pairs - 1]), list(best[: pairs - 1]), True)


def interleaved(search, trials, at_once, rng):
    """Trials whose reports come in a random order, `at_once` at a time; their lengths."""
    lag = search.definition.delay
    running, lengths = {}, {}
    while len(lengths) < trials:
        number = len(running) + len(lengths)
        ready = all(k in lengths for k in range(number - lag + 1))
        if number < trials and len(running) < at_once and ready:
            search.ask(number)
            running[number] = 0
            continue
        number = int(rng.choice(list(running)))
        values, members = curve(number)
        k = running[number] = running[number] + 1
        if search.should_prune(number, k, values[k - 1], members[k - 1]):
            search.tell(number, "PRUNED", None)
        elif k == LENGTH:
            search.tell(number, "COMPLETE", [values[-1]])
        else:
            continue
        lengths[number] = running.pop(number)
    return [lengths[number] for number in range(trials)]


@every_pruner
def test_deterministic_verdicts_do_not_depend_on_workers_or_on_timing(definition, pruner):
    settings = definition(pruner=pruner, sampler="random", deterministic=True, lag=4)
    rng = np.random.default_rng(1)
    one, *others = (interleaved(Search(settings), 22, n, rng) for n in (1, 2, 4))
    assert all(other == one for other in others)
    assert (min(one) < LENGTH) == (pruner != NoPruning())


@every_pruner
@pytest.mark.parametrize("stopped", [5, 14])
def test_a_search_that_is_replayed_gives_the_same_verdicts(definition, pruner, stopped):
    settings = definition(pruner=pruner, sampler="random")
    uninterrupted = Search(settings)
    values = [uninterrupted.ask(0)]
    lengths = [train(uninterrupted, 0)]
    for number in range(1, 22):
        values.append(uninterrupted.ask(number))
        lengths.append(train(uninterrupted, number))
    resumed = Search(settings)
    for number in range(stopped):
        resumed.asked(number, values[number])
        curves = zip(*curve(number), strict=True)
        for k, (value, members) in enumerate(curves, start=1):
            if k <= lengths[number]:
                resumed.should_prune(number, k, value, members)
        pruned = lengths[number] < LENGTH
        told = None if pruned else [curve(number)[0][-1]]
        resumed.tell(number, "PRUNED" if pruned else "COMPLETE", told)
    rest = []
    for number in range(stopped, 22):
        assert resumed.ask(number) == values[number]
        rest.append(train(resumed, number))
    assert rest == lengths[stopped:]


def test_reports_that_come_again_do_not_change_a_verdict(definition):
    search = Search(definition(pruner="halving", sampler="random"))
    for number in range(6):
        search.ask(number)
    verdicts = [search.should_prune(5, k, value) for k, value in enumerate(curve(5)[0], 1)]
    again = Search(definition(pruner="halving", sampler="random"))
    for number in range(6):
        again.ask(number)
    for _ in range(2):
        once_more = [again.should_prune(5, k, value) for k, value in enumerate(curve(5)[0], 1)]
    assert once_more[-1] == verdicts[-1]


# Five complete trials stand at 1, 2, 3, 4, 5 after every evaluation: their median is 3.
PEERS = [[float(value)] * 8 for value in (1, 2, 3, 4, 5)]
PRUNED = {  # a running trial's values, and after which evaluations it is to be stopped
    "worse than the median": ([3.1] * 8, [5, 6, 7, 8]),
    "the median itself": ([3.0] * 8, []),
    "better": ([2.9] * 8, []),
    "was better once": ([2.9, 9, 9, 9, 9, 9, 9, 9], []),
    "becomes better": ([9, 9, 9, 9, 9, 9, 1, 1], [5, 6]),
}


def complete(search, curves):
    """Trials with these values after each evaluation, told as complete; none may be pruned."""
    for number, values in enumerate(curves):
        search.ask(number)
        for evaluation, value in enumerate(values, start=1):
            assert not search.should_prune(number, evaluation, value)
        search.tell(number, "COMPLETE", [values[-1]])


@pytest.mark.parametrize("sign", [1, -1], ids=["minimize", "maximize"])
@pytest.mark.parametrize(("values", "pruned_at"), PRUNED.values(), ids=PRUNED)
def test_a_trial_is_pruned_where_its_best_value_is_worse_than_its_peers_median(
    definition, values, pruned_at, sign
):
    search = Search(definition(direction="minimize" if sign == 1 else "maximize"))
    complete(search, [[sign * value for value in peer] for peer in PEERS])
    search.ask(5)
    verdicts = [search.should_prune(5, k, sign * value) for k, value in enumerate(values, 1)]
    assert [k for k, pruned in enumerate(verdicts, start=1) if pruned] == pruned_at


def test_nothing_is_pruned_before_five_trials_are_complete(definition):
    search = Search(definition())
    complete(search, PEERS[:4])
    for number, state in ((4, "PRUNED"), (5, "FAILED")):  # these are no peers
        search.ask(number)
        search.tell(number, state, None)
    search.ask(6)
    assert not any(search.should_prune(6, k, 100.0) for k in range(1, 9))


def test_the_best_trial_of_the_signed_ranks_is_one_that_keeps_its_constraints(definition):
    from nnlab.sweeps.constraints import Constraint

    def verdict(constraints):
        settings = definition(
            pruner=Wilcoxon(), constraints=constraints, space={"x": Range(0.0, 1.0)}
        )
        search = Search(settings)
        for number, (value, seconds) in enumerate([(1.0, 9.0), (3.0, 1.0)]):
            search.ask(number)
            search.should_prune(number, 1, value, [value + k / 100 for k in range(5)])
            search.tell(number, "COMPLETE", [value], {"seconds": seconds})
        search.ask(2)
        return search.should_prune(2, 1, 2.0, [2.0 + k / 90 for k in range(5)])

    assert verdict(())
    assert not verdict((Constraint("seconds", high=5.0),))


LAWS = {
    "halving": (lambda: Halving(factor=1), "`factor >= 2` must hold, but got factor=1"),
    "hyperband": (
        lambda: Hyperband(first=5, last=5),
        "`last > first, or 0` must hold, but got last=5",
    ),
    "threshold": (
        lambda: Threshold(),
        "`one of low and high is given` must hold, but got low=-inf",
    ),
    "wilcoxon": (lambda: Wilcoxon(p=1.0), "`0 < p < 1` must hold, but got p=1.0"),
    "patient": (
        lambda: Patient(pruner=Wilcoxon()),
        "`pruner is neither wilcoxon nor patient` must hold, but got pruner=wilcoxon",
    ),
    "median": (lambda: Median(every=0), "`every >= 1` must hold, but got every=0"),
}


@pytest.mark.parametrize(("make", "message"), LAWS.values(), ids=LAWS)
def test_a_pruner_s_laws(make, message):
    with pytest.raises(LawError) as error:
        make()
    assert str(error.value) == message

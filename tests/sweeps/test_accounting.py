"""Budgets, exhaustion, order and scheduling: what a driver counts, and when it asks."""

import heapq
import random
import runpy
import time
from pathlib import Path

import pytest

from nnlab.runs.journal import read
from nnlab.sweeps.space import Choices
from nnlab.sweeps.sweep import Sweep

fakes = runpy.run_path(str(Path(__file__).with_name("test_sweep.py")))
Engine, AnyValues, train, RAISED = (
    fakes[name] for name in ("Engine", "AnyValues", "train", "RAISED")
)
STATES = ("COMPLETE", "PRUNED", "FAILED", "RUNNING")


@pytest.fixture
def swept(definition, new_study, environment):
    """Runs a whole sweep of `act`; the driver and its study's records."""

    def run(act, slots=1, **settings):
        engine = Engine(slots, act)
        with new_study() as study:
            sweep = Sweep(definition(workers=slots, **settings), AnyValues(), engine, study)
            list(sweep.run(environment))
        engine.close()
        return sweep, read(study.path / "journal.jsonl")

    return run


def counts(sweep):
    return [sweep.ledger.count(state) for state in STATES]


def of(records, kind):
    return [record for record in records if record["type"] == kind]


def test_a_space_of_24_points_gives_24_distinct_trials_and_says_that_it_is_exhausted(swept):
    space = {
        "a": Choices(tuple("abcdef")),
        "b": Choices((1, 2, 3, 4)),
    }
    sweep, records = swept(
        lambda number, hear: train(number, hear, [1.0]), slots=4, trials=30, space=space
    )
    asked = [tuple(record["values"].values()) for record in of(records, "asked")]
    assert len(asked) == len(set(asked)) == 24
    assert counts(sweep) == [24, 0, 0, 0]
    end = records[-1]
    assert (end["status"], end["rule"]) == ("FINISHED", "exhausted")
    assert "the space is exhausted" in end["reason"]


def list_scheduled(durations, workers):
    """When greedy list scheduling is done: each job goes to the worker that is free first."""
    free = [0.0] * workers
    for duration in durations:
        heapq.heappush(free, heapq.heappop(free) + duration)
    return max(free)


def test_a_free_worker_gets_the_next_trial_at_once(swept):
    durations = [seconds / 3 for seconds in (4, 0.5, 4, 0.5, 0.5, 0.5, 0.5, 0.5)]

    def act(number, hear):
        time.sleep(durations[number])
        return train(number, hear, [1.0])

    assert list_scheduled([4, 0.5, 4, 0.5, 0.5, 0.5, 0.5, 0.5], 2) == 5.5  # by hand
    began = time.monotonic()
    swept(act, slots=2, trials=8, sampler="random")
    took = time.monotonic() - began
    in_pairs = sum(max(pair) for pair in zip(durations[::2], durations[1::2], strict=True))
    assert took < (list_scheduled(durations, 2) + in_pairs) / 2  # with a barrier, in_pairs


def test_the_budget_of_epochs_ends_a_sweep(swept):
    # each trial reports epochs 0..4, so 4 epochs; the fifth begins at 16 of 18
    sweep, records = swept(
        lambda number, hear: train(number, hear, [1.0] * 5), trials=40, epochs=18, pruner="none"
    )
    assert counts(sweep) == [5, 0, 0, 0]
    assert [record["epochs"] for record in of(records, "told")] == [4.0] * 5
    assert (records[-1]["status"], records[-1]["rule"]) == ("FINISHED", "epochs")


def test_the_budget_of_time_ends_a_sweep(swept):
    def act(number, hear):
        time.sleep(0.2)
        return train(number, hear, [1.0])

    sweep, records = swept(act, trials=40, time="1 second")
    assert 3 <= sweep.ledger.count("COMPLETE") <= 6
    assert (records[-1]["status"], records[-1]["rule"]) == ("FINISHED", "time")


def test_retries_are_attempts_at_the_same_trial_and_count_once(swept):
    tries = []

    def act(number, hear):
        tries.append(number)
        return RAISED if tries.count(number) < 3 else train(number, hear, [1.0])

    sweep, records = swept(act, trials=2, retries=2)
    assert counts(sweep) == [2, 0, 0, 0]
    attempts = of(records, "attempt")
    assert [(r["trial"], r["attempt"], r["failures"]) for r in attempts] == [
        (0, 0, 0),
        (0, 1, 1),
        (0, 2, 2),
        (1, 0, 0),
        (1, 1, 1),
        (1, 2, 2),
    ]
    assert len({record["run"] for record in attempts}) == 6
    assert [record["attempt"] for record in of(records, "told")] == [2, 2]
    sweep, records = swept(lambda number, hear: RAISED, trials=2, retries=1)
    assert counts(sweep) == [0, 0, 2, 0]
    assert len(of(records, "attempt")) == 4


def test_max_failures_end_a_sweep(swept):
    sweep, records = swept(lambda number, hear: RAISED, trials=40, max_failures=3)
    assert counts(sweep) == [0, 0, 3, 0]
    assert (records[-1]["status"], records[-1]["rule"]) == ("FAILED", "max_failures")


def landscape(rng):
    """A trial whose losses are a function of its number, and its durations of nothing."""

    def act(number, hear):
        level = random.Random(number).random()

        class Slow:
            def __call__(self, message):
                time.sleep(rng.random() * 0.004)
                return hear(message)

        return train(number, Slow(), [level + 1 / (1 + k) for k in range(8)])

    return act


@pytest.mark.parametrize("sampler", [pytest.param("tpe", marks=pytest.mark.slow), "random"])
def test_a_deterministic_sweep_depends_on_neither_workers_nor_timing(swept, sampler):
    found = []
    for seed, slots in enumerate((1, 2, 4, 4)):
        sweep, _ = swept(
            landscape(random.Random(seed)),
            slots=slots,
            trials=30,
            deterministic=True,
            lag=4,
            sampler=sampler,
        )
        assert slots < 4 or sweep.idle > 0
        trials = sweep.ledger.trials
        found.append([(t.values, t.state, t.told, t.curve) for t in trials])
    assert found[0] == found[1] == found[2] == found[3]
    assert {state for _, state, *_ in found[0]} == {"COMPLETE", "PRUNED"}


def test_what_a_driver_counts_is_what_its_journal_says(swept):
    sweep, records = swept(landscape(random.Random(1)), slots=3, trials=20)
    ledger = type(sweep.ledger)(sweep.definition, records)
    assert ledger.trials == [
        one for one in sweep.ledger.trials if setattr(one, "epoch", 0.0) is None
    ]
    assert (ledger.best, ledger.counts, ledger.bests) == (
        sweep.ledger.best,
        sweep.ledger.counts,
        sweep.ledger.bests,
    )
    assert ledger.epochs == pytest.approx(sweep.ledger.epochs)

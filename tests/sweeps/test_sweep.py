"""The driver, with an engine whose trials are functions in threads."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from math import inf, nan

import pytest

from nnlab.runs.journal import read
from nnlab.sweeps.sweep import Sweep
from nnlab.sweeps.trial import Evaluation, Outcome, Started
from nnlab.training.report import Report, Stop

DIED = Outcome("FAILED", "the process was killed by SIGKILL", "died")
RAISED = Outcome("FAILED", "ValueError: no", "raised")
NEVER_STARTED = Outcome("FAILED", "the process was ended with code 1")


class Engine:
    """Calls `act(number, hear)` for each job, on a thread of its own."""

    def __init__(self, slots, act):
        self.most = self.running = 0
        self._slots, self._act = slots, act
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(slots)

    def slots(self):
        return self._slots

    def submit(self, job, hear):
        return self._threads.submit(self._run, job, hear)

    def close(self):
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _run(self, job, hear):
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            return self._act(job.number, hear)
        finally:
            with self._lock:
                self.running -= 1


class AnyValues:
    """Candidates whose config is the values themselves."""

    def config(self, values):
        return dict(values)

    def allowed(self, values):
        return True


def train(number, hear, losses):
    """What a trial says that measures these losses."""
    hear(Started(f"run{number}"))
    for step, loss in enumerate(losses):
        last = step == len(losses) - 1
        stop = Stop("max_epochs", "done") if last else None
        on = hear(Evaluation(Report(step, step, {"loss": loss, "other": 1.0}, 0.1, stop)))
        if not on and not last:
            return Outcome("PRUNED", f"at step {step}", f"run{number}", {"loss": loss})
    return Outcome("COMPLETE", "done", f"run{number}", {"loss": losses[-1], "test/loss": 7.0})


def diverge(number, hear):
    """What a trial says whose second loss is not a number."""
    hear(Started(f"run{number}"))
    hear(Evaluation(Report(0, 0, {"loss": 1.0}, 0.1)))
    stop = Stop("diverged", "a value is not finite")
    hear(Evaluation(Report(1, 1, {"loss": nan}, 0.1, stop)))
    return Outcome("FAILED", stop.reason, f"run{number}", {"loss": nan}, certain=True)


@pytest.fixture
def swept(definition, study, environment):
    """Runs a whole sweep of `act`; the sweep and the engine."""

    def run(act, slots=1, **settings):
        engine = Engine(slots, act)
        sweep = Sweep(definition(**settings), AnyValues(), engine, study)
        try:
            for _ in sweep.run(environment):
                assert sweep.ledger.count("RUNNING") <= slots
        finally:
            engine.close()
        study.journal.sync()
        return sweep, engine

    return run


@pytest.fixture
def swept_alone(definition, new_study, environment):
    """Runs a whole sweep of `act`, one trial at a time; the sweep and its study's journal."""

    def run(act, **settings):
        engine = Engine(1, act)
        with new_study() as study:
            sweep = Sweep(definition(**settings), AnyValues(), engine, study)
            list(sweep.run(environment))
        engine.close()
        return sweep, read(study.path / "journal.jsonl")

    return run


def counts(sweep):
    states = ("COMPLETE", "PRUNED", "FAILED", "RUNNING")
    return {state: sweep.ledger.count(state) for state in states}


def test_a_sweep_ends_with_exactly_its_budget_of_trials(swept, study):
    kinds = random.Random(0).choices(["complete", "prune", "diverge", "raise", "die"], k=35)
    kinds = ["complete"] * 5 + kinds  # peers enough to prune by

    def wait_for_peers():
        while sum(one["type"] == "told" for one in read(study.path / "journal.jsonl")) < 5:
            time.sleep(0.01)

    def act(number, hear):
        match kinds[number]:
            case "complete":
                return train(number, hear, [1.0 - number / 100] * 6)
            case "prune":
                wait_for_peers()
                return train(number, hear, [100.0] * 20)
            case "diverge":
                return diverge(number, hear)
            case "raise":
                return RAISED
            case _:
                return DIED

    sweep, engine = swept(act, slots=3, trials=40)
    assert [trial.number for trial in sweep.ledger.trials] == list(range(40))
    found = counts(sweep)
    assert found["RUNNING"] == 0
    assert found["COMPLETE"] + found["PRUNED"] + found["FAILED"] == 40
    assert found["FAILED"] == sum(kind in ("diverge", "raise", "die") for kind in kinds)
    assert found["PRUNED"] == kinds.count("prune") > 3
    assert 1 < engine.most <= 3

    records = read(study.path / "journal.jsonl")
    asked = [record["trial"] for record in records if record["type"] == "asked"]
    told = [record["trial"] for record in records if record["type"] == "told"]
    assert asked == list(range(40))
    assert sorted(told) == list(range(40))
    for record in records:
        if record["type"] == "told":
            trial = sweep.ledger.trials[record["trial"]]
            values = None if trial.value is None else [trial.value]
            assert (record["state"], record["values"]) == (trial.state, values)


@pytest.mark.parametrize(
    "outcome", [DIED, RAISED, NEVER_STARTED], ids=["died", "raised", "never started"]
)
def test_a_trial_that_fails_is_recorded_and_the_sweep_goes_on(swept, study, outcome):
    sweep, _ = swept(
        lambda number, hear: outcome if number % 2 else train(number, hear, [2.0, 1.0]), trials=6
    )
    assert counts(sweep) == {"COMPLETE": 3, "PRUNED": 0, "FAILED": 3, "RUNNING": 0}
    told = [r for r in read(study.path / "journal.jsonl") if r["type"] == "told"]
    assert [record["reason"] for record in told if record["trial"] % 2] == [outcome.reason] * 3
    assert sweep.ledger.trials[1].value is None
    runs = [record["run"] for record in told if record["trial"] % 2]
    begun = [sweep.ledger.trials[k].run if outcome.run else None for k in (1, 3, 5)]
    assert runs == begun


def test_an_engine_that_raises_makes_failed_trials(swept_alone):
    def act(number, hear):
        raise OSError("no process is left")

    sweep, _ = swept_alone(act, trials=3)
    assert counts(sweep) == {"COMPLETE": 0, "PRUNED": 0, "FAILED": 3, "RUNNING": 0}
    assert all(trial.reason.endswith("no process is left") for trial in sweep.ledger.trials)


def test_a_trial_that_diverges_has_no_value_and_is_never_the_best(swept):
    sweep, _ = swept(
        lambda number, hear: diverge(number, hear) if number else train(number, hear, [5.0]),
        trials=4,
    )
    assert counts(sweep) == {"COMPLETE": 1, "PRUNED": 0, "FAILED": 3, "RUNNING": 0}
    assert sweep.ledger.best is sweep.ledger.trials[0]
    assert [trial.value for trial in sweep.ledger.trials] == [5.0, None, None, None]


@pytest.mark.parametrize("loss", [nan, inf, -inf])
def test_a_value_that_is_not_finite_prunes_nothing_by_itself(swept, loss):
    def act(number, hear):
        if number < 5:  # peers enough to prune by
            return train(number, hear, [1.0] * 8)
        hear(Started(f"run{number}"))
        answers = [hear(Evaluation(Report(k, k, {"loss": loss}, 0.1))) for k in range(8)]
        return Outcome("FAILED", str(all(answers)), f"run{number}")

    sweep, _ = swept(act, trials=6)
    assert sweep.ledger.count("COMPLETE") == 5
    assert sweep.ledger.trials[5].reason == "True"


@pytest.mark.parametrize(
    ("direction", "best"), [("minimize", 2), ("maximize", 1)], ids=["minimize", "maximize"]
)
def test_the_best_trial_is_the_complete_one_with_the_best_value(swept, study, direction, best):
    finals = [3.0, 4.0, -1.0, 0.0]
    sweep, _ = swept(
        lambda number, hear: train(number, hear, [9.0, finals[number]]),
        trials=4,
        direction=direction,
    )
    assert sweep.ledger.best.number == best
    assert sweep.ledger.best.value == finals[best]
    assert sweep.ledger.best.metrics["test/loss"] == 7.0
    records = read(study.path / "journal.jsonl")
    curve = [record["metrics"] for record in records if record["type"] == "report"]
    so_far = [3.0, 3.0, -1.0, -1.0] if direction == "minimize" else [3.0, 4.0, 4.0, 4.0]
    assert curve == [{"best/loss": value} for value in so_far]
    tags = [record["tags"] for record in records if record["type"] == "tags"][-1]
    assert tags == {
        "nnlab.complete": "4",
        "nnlab.pruned": "0",
        "nnlab.failed": "0",
        "nnlab.best_run": sweep.ledger.best.run,
        "nnlab.best_trial": str(best),
        "nnlab.best_value": repr(finals[best]),
    }


def test_a_trial_worse_than_the_median_of_five_is_pruned_at_its_fifth_evaluation(swept):
    # finals 1..5: median 3. Then 3.5 is worse at every evaluation, 2.5 is not.
    levels = [1.0, 2.0, 3.0, 4.0, 5.0, 3.5, 2.5]
    sweep, _ = swept(lambda number, hear: train(number, hear, [levels[number]] * 7), trials=7)
    states = [trial.state for trial in sweep.ledger.trials]
    assert states == [*["COMPLETE"] * 5, "PRUNED", "COMPLETE"]
    assert sweep.ledger.trials[5].evaluations == 5
    assert sweep.ledger.trials[5].value is None
    assert [trial.evaluations for trial in sweep.ledger.trials[:5]] == [7] * 5


def test_a_pruned_trial_is_never_the_best(swept):
    # it is pruned for its first values, and sent a better one with its last word
    levels = [1.0, 2.0, 3.0, 4.0, 5.0]

    def act(number, hear):
        if number < 5:
            return train(number, hear, [levels[number]] * 6)
        outcome = train(number, hear, [9.0] * 6)
        return Outcome(outcome.state, outcome.reason, outcome.run, {"loss": -100.0})

    sweep, _ = swept(act, trials=6)
    assert sweep.ledger.trials[5].state == "PRUNED"
    assert sweep.ledger.best.number == 0


def test_a_sweep_without_a_complete_trial_has_no_best_and_failed(swept_alone):
    sweep, (*_, tags, end) = swept_alone(lambda number, hear: RAISED, trials=3)
    assert sweep.ledger.best is None
    assert tags["tags"] == {"nnlab.complete": "0", "nnlab.pruned": "0", "nnlab.failed": "3"}
    assert (end["status"], end["rule"]) == ("FAILED", "no trial")


def test_a_sweep_with_a_complete_trial_is_finished(swept_alone):
    _, (*_, end) = swept_alone(
        lambda number, hear: train(number, hear, [1.0]) if number else RAISED, trials=2
    )
    assert (end["status"], end["rule"]) == ("FINISHED", "budget")


def test_the_same_sweep_one_trial_at_a_time_asks_the_same(swept_alone):
    first, second = (
        swept_alone(lambda number, hear: train(number, hear, [1.0 + number]), trials=12)[0]
        for _ in range(2)
    )
    ours, theirs = ([trial.values for trial in one.ledger.trials] for one in (first, second))
    assert ours == theirs


def test_a_sweep_that_is_left_early_tells_its_trials_to_stop(definition, study, environment):
    answers = []

    def act(number, hear):
        hear(Started(f"run{number}"))
        while hear(Evaluation(Report(0, 0, {"loss": 1.0}, 0.1))):
            pass
        answers.append(number)
        return Outcome("KILLED", "interrupted", f"run{number}")

    engine = Engine(2, act)
    running = Sweep(definition(trials=9), AnyValues(), engine, study).run(environment)
    for _ in range(8):
        next(running)
    running.close()
    engine.close()  # waits for the trials
    assert sorted(answers) == [0, 1]

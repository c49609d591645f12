"""The vectorised engine, with real children: each trial has the bits that it has alone."""

import math
import os
import signal
import time
from contextlib import closing, suppress

import numpy as np
import pytest

from nnlab.runs.compose import compose
from nnlab.runs.config import parse, prepare
from nnlab.runs.journal import read
from nnlab.runs.run import HASHES, Run, new_id
from nnlab.runs.weights import digest
from nnlab.sweeps import stacked, vectorized
from nnlab.sweeps.candidates import Candidates
from nnlab.sweeps.engine import LocalEngine
from nnlab.sweeps.reading import define
from nnlab.sweeps.sweep import Sweep
from nnlab.sweeps.trial import Evaluation, Job, Outcome, Started
from nnlab.sweeps.vectorized import VectorizedEngine, engine_of
from nnlab.training.stack import _Together

TEXT = """
experiment: [data=iris, tracking=none, stopping.max_epochs.epochs=6, penalty=l2]
metric: validation/loss
sampler: tpe
pruner: {name: median, startup: 3, warmup: 1}
seed: 3
parameters:
  optimizer.lr: {low: 1e-3, high: 1e-1, log: true}
  optimizer.momentum: {low: 0.1, high: 0.9}
  averaging.decay: {low: 0.1, high: 0.99}
  seed: [0, 1]
"""
RATES = (0.001, 0.01, 0.03, 0.1)


@pytest.fixture(scope="module")
def config():
    return compose(["data=iris", "tracking=none", "penalty=l2", "optimizer=momentum"])


@pytest.fixture
def job(config, tmp_path, environment):
    """Makes jobs: the learning rate is what they differ in."""

    def make(number=0, lr=0.01, epochs=4, run=None, resume=False, timeout=float("inf"), **changes):
        plain = {
            **config,
            "store": str(tmp_path),
            "stopping": {"max_epochs": {"epochs": epochs}},
            "optimizer": {**config["optimizer"], "lr": lr},
            **changes,
        }
        return Job(number, plain, "study", environment, run or new_id(), resume, timeout)

    return make


@pytest.fixture
def engine():
    """One worker of four trials."""
    with closing(VectorizedEngine(1, 4)) as engine:
        yield engine


class Listener:
    """Keeps what it hears; `decide` answers to the reports."""

    def __init__(self, decide=lambda report: True):
        self.heard = []
        self._decide = decide

    def __call__(self, message):
        self.heard.append(message)
        return self._decide(message.report) if isinstance(message, Evaluation) else True

    @property
    def reports(self):
        return [one.report for one in self.heard if isinstance(one, Evaluation)]


def alone(job):
    """The reports of a job's training, and the tags that say its bits."""
    training = prepare(parse(job.config))
    state = training.start()
    reports = list(training.run(state))
    return reports, {
        "nnlab.weights_sha256": digest(state.theta),
        "nnlab.averaged_sha256": digest(training.averaged(state)),
        "nnlab.batches_sha256": state.batches.tobytes().hex(),
    }


def tags(tmp_path, run):
    records = read(tmp_path / "runs" / run / "journal.jsonl")
    return {k: v for r in records if r["type"] == "tags" for k, v in r["tags"].items()}


def run_all(engine, jobs, decide=lambda report: True):
    listeners = [Listener(decide) for _ in jobs]
    futures = [engine.submit(*one) for one in zip(jobs, listeners, strict=True)]
    return [future.result(60) for future in futures], listeners


def assert_as_alone(job, outcome, tmp_path, listener=None):
    reports, hashes = alone(job)
    assert (outcome.state, outcome.run) == ("COMPLETE", job.run)
    assert outcome.metrics == reports[-1].metrics
    if listener:
        assert listener.heard[0] == Started(job.run)
        heard = [(one.step, one.metrics, one.stop) for one in listener.reports]
        assert heard == [(one.step, one.metrics, one.stop) for one in reports]
    assert hashes.items() <= tags(tmp_path, job.run).items()


def children(engine):
    return {child.pid for child in engine._children}


def test_trials_that_differ_in_numbers_share_a_child_and_keep_their_bits(engine, job, tmp_path):
    jobs = [job(k, rate, seed=k % 2) for k, rate in enumerate(RATES)]
    pids = set()

    def decide(report):
        pids.update(children(engine))
        return True

    outcomes, listeners = run_all(engine, jobs, decide)
    assert len(pids) == 1
    for one in zip(jobs, outcomes, listeners, strict=True):
        assert_as_alone(*one[:2], tmp_path, one[2])


def test_a_pruned_trial_and_one_that_diverges_leave_the_others_as_they_are(engine, job, tmp_path):
    jobs = [job(k, rate) for k, rate in enumerate((0.01, 0.02, 1e30, 0.05))]
    listeners = [Listener(), Listener(lambda report: report.step < 4), Listener(), Listener()]
    futures = [engine.submit(*one) for one in zip(jobs, listeners, strict=True)]
    outcomes = [future.result(60) for future in futures]
    assert [one.state for one in outcomes] == ["COMPLETE", "PRUNED", "FAILED", "COMPLETE"]
    assert outcomes[2].certain and "not finite" in outcomes[2].reason
    assert listeners[1].reports[-1].step == 4
    for k in (0, 3):
        assert_as_alone(jobs[k], outcomes[k], tmp_path, listeners[k])
    ends = [read(tmp_path / "runs" / one.run / "journal.jsonl")[-1] for one in jobs]
    assert [end["rule"] for end in ends] == ["max_epochs", "pruned", "diverged", "max_epochs"]


BY_ITSELF = {  # overrides
    "dropout": ("model.dropout=0.2",),
    "batch norm": ("model.batch_norm=true",),
    "augmentation": ("augmentation=[mixup]",),
    "time budget": ("stopping=[max_epochs,time_budget]", "stopping.time_budget.seconds=60"),
    "seeds": ("seeds=2",),
    "folds": ("validation=kfold", "validation.folds=3"),
    "random search": ("optimizer=random_search",),
    "timeout": (),
}


@pytest.fixture
def variant(environment):
    """Makes jobs of a config with overrides; each engine's have a store of their own."""

    def make(store, number, *overrides, timeout=float("inf")):
        usual = ("data=iris", "tracking=none", f"store={store}", "stopping.max_epochs.epochs=2")
        return Job(
            number, compose([*usual, *overrides]), "s", environment, new_id(), False, timeout
        )

    return make


def assert_same_as_local(engine, variant, tmp_path, each, decide=lambda report: True, **options):
    """Those jobs end as the local engine's, to the bits; the processes that they had."""
    pids, told = set(), []

    def seen(report):
        pids.update(children(engine))
        return decide(report)

    for store, used in (("stacks", engine), ("alone", LocalEngine(1))):
        jobs = [variant(tmp_path / store, k, *one, **options) for k, one in enumerate(each)]
        outcomes, listeners = run_all(used, jobs, seen if used is engine else decide)
        told.append(
            [
                (
                    (outcome.state, outcome.metrics),
                    [(one.step, one.metrics, one.stop) for one in listener.reports],
                    {k: v for k, v in tags(tmp_path / store, job.run).items() if k in HASHES},
                )
                for job, outcome, listener in zip(jobs, outcomes, listeners, strict=True)
            ]
        )
    used.close()
    assert repr(told[0]) == repr(told[1])  # NaN is like NaN
    return [state for (state, _), *_ in told[0]], len(pids)


@pytest.mark.parametrize(
    "overrides",
    [*BY_ITSELF.values(), pytest.param(("preflight=true",), marks=pytest.mark.slow)],
    ids=[*BY_ITSELF, "preflight"],
)
def test_what_cannot_be_stacked_has_a_child_of_its_own(engine, variant, tmp_path, overrides):
    limit = {} if overrides else {"timeout": 60.0}
    each = [(*overrides, "penalty=l2", f"penalty.l2={number}") for number in (0.001, 0.01)]
    states, processes = assert_same_as_local(engine, variant, tmp_path, each, **limit)
    assert (states, processes) == (["COMPLETE"] * 2, 2)


@pytest.fixture
def streamed(tmp_path):
    """Overrides for data on disk, of which a window is in memory."""
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(size=(400, 5)), np.arange(400) % 3])
    np.save(tmp_path / "rows.npy", rows.astype(np.float32))
    data = ("data=table", f"data.path={tmp_path / 'rows.npy'}", "data.window=64")
    return *data, "evaluate_every=5 steps", "averaging=ema", "averaging.decay=0.9"


def test_streamed_data_are_trained_one_after_another_in_a_child(
    engine, variant, tmp_path, streamed
):
    each = [(*streamed, f"optimizer.lr={lr}", f"seed={seed}") for lr, seed in
            ((0.01, 0), (0.02, 1), (1e30, 0), (0.05, 1))]  # fmt: skip

    def decide(report):
        return report.step < 10 or report.metrics["lr"] > 0.015

    states, processes = assert_same_as_local(engine, variant, tmp_path, each, decide)
    assert (states, processes) == (["PRUNED", "COMPLETE", "FAILED", "COMPLETE"], 1)


def test_each_optimizer_and_each_width_has_a_stack(engine, variant, tmp_path):
    each = [
        (f"optimizer={optimizer}", f"model.hidden=[{width}]", f"seed={seed}")
        for seed in (0, 1)
        for optimizer, width in (("sgd", 8), ("momentum", 8), ("adam", 8), ("sgd", 4))
    ]
    states, processes = assert_same_as_local(engine, variant, tmp_path, each)
    assert (states, processes) == (["COMPLETE"] * 8, 4)


def test_stacks_of_weighted_classes_and_of_one(variant, tmp_path):
    each = [
        ("data=wine", "weighting=balanced", f"optimizer.lr={lr}", f"seed={seed}")
        for lr, seed in ((0.01, 0), (0.02, 1), (1e30, 0), (0.05, 1), (0.03, 0))
    ]
    for most, jobs in ((4, each[:4]), (1, each[3:])):
        with closing(VectorizedEngine(1, most)) as engine:
            states, processes = assert_same_as_local(engine, variant, tmp_path / str(most), jobs)
        assert states == ["FAILED" if "1e+30" in job[2] else "COMPLETE" for job in jobs]
        assert processes == len(jobs) // most


def test_a_config_that_is_refused_fails_alone(engine, job):
    outcomes, _ = run_all(engine, [job(0, 0.1), job(1, -1.0), job(2, 0.2)])
    assert [one.state for one in outcomes] == ["COMPLETE", "FAILED", "COMPLETE"]
    assert "lr > 0" in outcomes[1].reason


def test_the_trials_of_a_killed_child_are_begun_again_each_by_itself(engine, job):
    pids = set()

    def decide(report):
        if report.step:
            for pid in children(engine):
                os.kill(pid, signal.SIGKILL)
        return True

    jobs = [job(0, 0.1), job(1, 0.2)]
    outcomes, _ = run_all(engine, jobs, decide)
    reason = "the process was killed by SIGKILL, with other trials in it"
    for one, outcome in zip(jobs, outcomes, strict=True):
        assert (outcome.state, outcome.reason, outcome.run) == ("LOST", reason, one.run)

    def seen(report):
        pids.update(children(engine))
        return True

    again, _ = run_all(engine, [job(0, 0.1), job(1, 0.2)], seen)
    assert [one.state for one in again] == ["COMPLETE", "COMPLETE"]
    assert len(pids) == 2
    outcomes, _ = run_all(engine, [job(0, 0.1), job(2, 0.2)], decide)
    reason = "the process was killed by SIGKILL"  # alone, so it may be to blame
    assert [(one.state, one.reason) for one in outcomes] == [("FAILED", reason)] * 2


@pytest.mark.parametrize("how", ["closed", "killed"])
@pytest.mark.parametrize("resumed_in", [VectorizedEngine, LocalEngine])
def test_a_killed_stack_goes_on_to_the_same_bits(job, tmp_path, how, resumed_in):
    often = {"checkpoint_every": "3 steps", "epochs": 12}
    jobs = [job(k, rate, seed=k % 2, **often) for k, rate in enumerate(RATES)]
    first = VectorizedEngine(1, 4)
    reached = []

    def decide(report):
        reached.append(report.step)
        if report.step < 20:
            return True
        if how == "killed":
            for pid in children(first):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return None

    futures = [first.submit(one, Listener(decide)) for one in jobs]
    until = time.monotonic() + 20
    while not any(step >= 20 for step in reached) and time.monotonic() < until:
        time.sleep(0.01)
    first.close()
    states = {future.result(20).state for future in futures}
    assert states == {"KILLED"} if how == "closed" else states <= {"KILLED", "LOST"}
    for one in jobs:
        assert list((tmp_path / "runs" / one.run / "checkpoints").glob("*.npz"))
    again = [job(one.number, rate, seed=one.number % 2, run=one.run, resume=True, **often)
             for one, rate in zip(jobs, RATES, strict=True)]  # fmt: skip
    with closing(resumed_in(*((1, 4) if resumed_in is VectorizedEngine else (1,)))) as second:
        outcomes, listeners = run_all(second, again)
    for one in zip(again, outcomes, listeners, strict=True):
        assert_as_alone(*one[:2], tmp_path, one[2])


def test_a_stack_that_is_to_end_has_a_checkpoint_though_no_evaluation_is_near(job, tmp_path):
    engine = VectorizedEngine(1, 2)
    seldom = {"epochs": 10**6, "evaluate_every": "1000000 steps", "checkpoint_every": "never"}
    jobs = [job(k, rate, **seldom) for k, rate in enumerate((0.01, 0.02))]
    listeners = [Listener(), Listener()]
    futures = [engine.submit(*one) for one in zip(jobs, listeners, strict=True)]
    while not all(listener.reports for listener in listeners):
        time.sleep(0.01)
    time.sleep(0.2)
    engine.close()
    assert [future.result(20).state for future in futures] == ["KILLED"] * 2
    saved = [
        file.name.split("-")[1]
        for one in jobs
        for file in (tmp_path / "runs" / one.run / "checkpoints").glob("*.npz")
    ]
    assert saved[0] == saved[1] > f"{0:012}"  # all that was made of each


class Channel:
    """The parent's end, in this process: keeps what it hears; `decide(number, report)` answers."""

    def __init__(self, decide=lambda number, report: True):
        self.heard = []
        self._decide = decide
        self._answers = []

    def send(self, message):
        number, said = message
        self.heard.append(message)
        if isinstance(said, Evaluation):
            self._answers.append((number, self._decide(number, said.report)))

    def poll(self, seconds):
        return bool(self._answers)

    def recv(self):
        return self._answers.pop(0)

    @property
    def states(self):
        return {number: said.state for number, said in self.heard if isinstance(said, Outcome)}


@pytest.fixture
def here(monkeypatch):
    """Trials of one process, in this one; `fit` of them fit into memory."""

    def make(jobs, channel, fit=9):
        monkeypatch.setattr(stacked, "heed", lambda: None)
        monkeypatch.setattr(stacked, "together", lambda training, workers: fit)
        return stacked._Trials(jobs, channel)

    return make


def ask_to_end(trials):
    """What a signal does."""
    trials._halt.number = signal.SIGTERM
    for pause in trials._halt._pauses:
        pause.at = -math.inf


def test_a_pruned_trial_keeps_the_weights_of_its_last_report_though_a_signal_comes(
    here, job, tmp_path, monkeypatch
):
    jobs = [job(k, rate) for k, rate in enumerate(RATES[:3])]
    channel = Channel(lambda number, report: not (number == 1 and report.step == 8))
    trials, gather = here(jobs, channel), _Together._gather

    def signalled(self, state, work):
        if state.step == 9:
            ask_to_end(trials)
        return gather(self, state, work)

    monkeypatch.setattr(_Together, "_gather", signalled)
    trials.run()
    assert channel.states == {0: "KILLED", 1: "PRUNED", 2: "KILLED"}
    training = prepare(parse(jobs[1].config))
    state = training.start()
    for report in training.run(state):
        if report.step == 8:
            break
    found = tags(tmp_path, jobs[1].run)
    assert found["nnlab.weights_sha256"] == digest(state.theta)
    assert found["nnlab.batches_sha256"] == state.batches.tobytes().hex()


def test_after_a_signal_no_trial_begins(here, job, tmp_path):
    channel = Channel(lambda number, report: report.step < 8 or ask_to_end(trials) or True)
    trials = here([job(k, rate) for k, rate in enumerate(RATES)], channel, fit=1)
    trials.run()
    assert channel.states == {0: "KILLED"}
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_trials_that_do_not_fit_into_memory_together_wait_for_others(here, job, tmp_path):
    jobs = [job(k, rate) for k, rate in enumerate(RATES)]
    channel = Channel()
    here(jobs, channel, fit=2).run()
    heard = channel.heard
    going, most = set(), 0
    for number, said in heard:
        going = going - {number} if isinstance(said, Outcome) else going | {number}
        most = max(most, len(going))
    assert most == 2
    outcomes = {number: said for number, said in heard if isinstance(said, Outcome)}
    for one in jobs:
        assert_as_alone(one, outcomes[one.number], tmp_path)


@pytest.fixture
def swept(sweep_file, environment, tmp_path):
    """Runs a sweep with settings; its trials."""

    def run(store, *settings):
        sweep_file("stacks", TEXT)
        definition = define("stacks", [f"store={tmp_path / store}", *settings])
        candidates = Candidates(definition)
        config = candidates.check()
        study = Run(
            config.store,
            kind="study",
            name="stacks",
            tracking=config.tracking,
            config={},
            environment=environment,
        )
        with study, closing(engine_of(definition)) as engine:
            sweep = Sweep(definition, candidates, engine, study)
            list(sweep.run(environment))
        return sweep.ledger.trials

    return run


def test_a_deterministic_sweep_does_not_depend_on_the_engine(swept, tmp_path):
    how = ("trials=12", "deterministic=true", "lag=4")
    here = swept("alone", *how, "workers=2")
    there = swept("stacks", *how, "workers=1", "engine=vectorized", "trials_per_worker=4")
    assert {trial.state for trial in here} == {"COMPLETE", "PRUNED"}
    for one, other in zip(here, there, strict=True):
        assert (one.values, one.state, one.told) == (other.values, other.state, other.told)
        assert one.curve == other.curve
        hashes = [tags(tmp_path / store, trial.run)
                  for store, trial in (("alone", one), ("stacks", other))]  # fmt: skip
        for key in HASHES:
            assert hashes[0][key] == hashes[1][key]


def test_a_trial_that_kills_its_child_fails_and_costs_the_others_nothing(
    swept, monkeypatch, tmp_path
):
    killed = []

    class Killing(VectorizedEngine):
        def submit(self, job, hear):
            def heard(message):
                if isinstance(message, Evaluation) and message.report.step and job.number == 2:
                    killed.extend(children(self))
                    os.kill(killed[-1], signal.SIGKILL)
                return hear(message)

            return super().submit(job, heard)

    monkeypatch.setattr(vectorized, "VectorizedEngine", Killing)
    how = ("trials=8", "workers=1", "trials_per_worker=4", "engine=vectorized", "pruner=none")
    trials = swept("stacks", *how)
    assert len(killed) == 2
    states = ["COMPLETE"] * 8
    states[2] = "FAILED"
    assert [trial.state for trial in trials] == states
    assert [trial.failures for trial in trials] == [0] * 8
    assert [trial.attempt for trial in trials] == [1] * 4 + [0] * 4
    written = [read(path) for path in tmp_path.glob("stacks/runs/*/journal.jsonl")]
    begun = [records for records in written if records[0]["kind"] == "trial"]
    assert len(begun) == 8 + 4
    assert all(records[-1]["type"] == "end" for records in begun)


def test_jobs_that_wait_are_cancelled_when_it_closes(job):
    engine = VectorizedEngine(1, 2)
    futures = [engine.submit(job(k, 0.1, epochs=10**6), Listener()) for k in range(4)]
    while not any(future.running() for future in futures):
        time.sleep(0.01)
    engine.close()
    assert all(future.cancelled() or future.result(10).state == "KILLED" for future in futures)
    assert any(future.cancelled() for future in futures)


def test_the_setting_chooses_the_engine(definition):
    settings = {"workers": 2, "trials": 20}
    vectorized = {"engine": "vectorized", "trials_per_worker": 16}
    with closing(engine_of(definition(**vectorized, **settings))) as engine:
        assert isinstance(engine, VectorizedEngine) and engine.slots() == 20
    with closing(engine_of(definition(**settings))) as engine:
        assert type(engine) is LocalEngine and engine.slots() == 2

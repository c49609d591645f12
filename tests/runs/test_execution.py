"""Executions: one training, or several side by side as nested runs."""

import json
import os
import signal
from contextlib import suppress
from itertools import count, pairwise
from math import sqrt
from statistics import fmean, stdev
from types import SimpleNamespace

import numpy as np
import pytest

from nnlab.errors import UserError
from nnlab.runs.config import members, prepare
from nnlab.runs.execution import Execution
from nnlab.runs.interrupts import SIGNALS, Interrupted, heed
from nnlab.runs.journal import read
from nnlab.runs.past import Past
from nnlab.runs.plain import load
from nnlab.runs.run import HASHES, Run, UnequalError
from nnlab.training.trainer import Training

KFOLD = {"validation": {"name": "kfold", "folds": 3}}


@pytest.fixture
def executed(checked, environment):
    """Run an execution to its end, or until `look` says so: (run, execution, nested, reports)."""

    def run_all(values=None, until=None, look=lambda report: True):
        config = checked(values)
        execution, nested, reports = Execution(config, until), [], []
        with (
            Run.of(config, "train", environment=environment) as run,
            execution.recorded(run, nested.append) as stream,
        ):
            for report in stream:
                reports.append(report)
                if not look(report):
                    run.end("FINISHED", "pruned", "enough")
                    execution.end("FINISHED", "pruned", "enough")
                    break
            hashes = execution.keep_weights(run)
        return run, execution, nested, reports, hashes

    return run_all


def points(run):
    """What a run's journal has measured: (step, metrics) of each report."""
    records = read(run.path / "journal.jsonl")
    return [(r["step"], r["metrics"]) for r in records if r["type"] == "report"]


def last(run):
    return list(read(run.path / "journal.jsonl"))[-1]


def test_one_training_is_no_nested_run(executed, checked):
    run, execution, nested, reports, hashes = executed()
    assert nested == [] and len(execution.members) == 1
    training = prepare(checked())
    alone = list(training.run(training.start()))
    assert [dict(report.metrics) for report in reports] == [dict(one.metrics) for one in alone]
    assert (run.path / "weights.npz").exists()
    assert set(hashes) == set(HASHES)


def test_folds_are_nested_runs_whose_mean_is_reported(executed):
    run, execution, nested, reports, _ = executed(KFOLD)
    assert [one.name.rpartition("-")[0] for one in nested] == ["fold-0", "fold-1", "fold-2"]
    histories = [points(one) for one in nested]
    for k, report in enumerate(reports):
        values = [float(history[k][1]["validation/loss"]) for history in histories]
        assert report.metrics["validation/loss"] == pytest.approx(fmean(values), rel=1e-14)
        assert report.metrics["se/validation/loss"] == pytest.approx(stdev(values) / sqrt(3))
    assert [step for step, _ in points(run)] == [report.step for report in reports]
    assert set(execution.metric_names) <= reports[0].metrics.keys()
    assert "test/accuracy" in reports[-1].metrics and reports[-1].stop.rule == "max_epochs"
    for one in nested:
        start = next(iter(read(one.path / "journal.jsonl")))
        assert (start["parent"], start["kind"]) == (run.id, "member")
        assert (one.path / "weights.npz").exists()
        assert last(one)["status"] == last(run)["status"] == "FINISHED"
    assert not (run.path / "weights.npz").exists()


def test_a_nested_run_s_config_is_that_of_its_training_alone(executed, config):
    _, _, nested, _, _ = executed({**KFOLD, "seeds": 2, "seed": 5})
    assert len(nested) == 6
    from nnlab.runs.config import parse

    one = parse(load(nested[4].path / "config.yaml"))
    assert one.plain["validation"] == {"name": "fold", "of": 3, "fold": 1}
    assert (one.plain["seed"], one.plain["seeds"]) == (6, 1)
    assert members(one) == [one]
    training = prepare(one)
    alone = list(training.run(training.start()))
    for (step, metrics), report in zip(points(nested[4]), alone, strict=True):
        assert step == report.step
        assert float(metrics["train/loss"]) == report.metrics["train/loss"]


def test_seeds_differ_in_weights_and_order_and_share_the_division(executed):
    _, execution, nested, reports, _ = executed({"seeds": 3})
    assert [one.name.rpartition("-")[0] for one in nested] == ["seed-0", "seed-1", "seed-2"]
    thetas = {member.state.theta.tobytes() for member in execution.members}
    assert len(thetas) == 3
    xs = {member.training.splits.train.x.tobytes() for member in execution.members}
    assert len(xs) == 1
    assert "ci95/test/accuracy" in reports[-1].metrics


def test_running_again_gives_the_same_bits_and_hashes(executed):
    one, again = (executed({**KFOLD, "seeds": 2}) for _ in range(2))
    assert points(one[0]) == points(again[0])
    assert one[4] == again[4]
    other = executed({**KFOLD, "seeds": 2, "seed": 9})
    assert other[4]["nnlab.weights_sha256"] != one[4]["nnlab.weights_sha256"]


def test_members_that_end_early_wait_for_the_rest(executed):
    _, execution, nested, reports, _ = executed(
        {
            **KFOLD,
            "stopping": {
                "patience": {
                    "evaluations": 2,
                    "metric": "validation/accuracy",
                    "direction": "maximize",
                    "min_delta": 0.0,
                },
                "max_epochs": {"epochs": 30},
            },
        }
    )
    ends = [points(one)[-1][0] for one in nested]
    assert len(set(ends)) > 1, "all ended at once: the test shows nothing"
    steps = [report.step for report in reports]
    assert all(one < two for one, two in pairwise(steps))
    assert reports[-1].stop is not None
    for member, end in zip(execution.members, ends, strict=True):
        assert member.state.step == end


@pytest.mark.parametrize("values", [{}, KFOLD, {"seeds": 2}], ids=["one", "folds", "seeds"])
def test_until_ends_at_that_report_and_changes_nothing_before(executed, values):
    whole = executed(values)[3]
    cut = executed(values, until=whole[1].step)[3]
    assert len(cut) == 2
    assert cut[-1].stop.rule == "until"
    for one, two in zip(whole, cut, strict=False):
        for key, value in one.metrics.items():
            assert two.metrics[key] == value


@pytest.mark.parametrize("values", [{}, KFOLD], ids=["one", "folds"])
def test_pruned_in_the_middle_every_run_ends_as_pruned(executed, values):
    run, _, nested, reports, _ = executed(values, look=lambda report: report.step < 3)
    assert len(reports) == 2
    for one in (run, *nested):
        assert (last(one)["status"], last(one)["rule"]) == ("FINISHED", "pruned")
        assert not (one.path / "traceback.txt").exists()


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "KILLED"), (ZeroDivisionError, "FAILED")]
)
def test_an_error_ends_the_nested_runs_too(executed, error, status):
    def fail(report):
        if report.step:
            raise error
        return True

    runs = []
    original = Run.__enter__

    def entered(self):
        runs.append(self)
        return original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "__enter__", entered)
        with pytest.raises(error):
            executed(KFOLD, look=fail)
    assert len(runs) == 4
    assert [last(one)["status"] for one in runs] == [status] * 4


def test_one_member_that_diverges_fails_the_run(executed):
    run, _, _, reports, _ = executed({**KFOLD, "optimizer.lr": 1e30})
    assert reports[-1].stop.diverged
    assert last(run)["status"] == "FAILED"


def test_one_that_diverges_cuts_the_others(executed, monkeypatch):
    original = Training.start

    def start(self):
        state = original(self)
        if self.experiment.validation.fold == 1:
            state.theta[...] = np.nan
        return state

    monkeypatch.setattr(Training, "start", start)
    run, _, nested, reports, _ = executed(KFOLD)
    assert len(reports) == 1 and reports[0].stop.diverged
    assert [last(one)["rule"] for one in nested] == ["cut", "diverged", "cut"]
    assert [last(one)["status"] for one in (run, *nested)] == [
        "FAILED",
        "FINISHED",
        "FAILED",
        "FINISHED",
    ]


def test_a_member_that_has_ended_keeps_its_end_and_its_weights(executed):
    patience = {"evaluations": 2, "direction": "maximize", "min_delta": 0.0}
    stopping = {
        "patience": {"metric": "validation/accuracy", **patience},
        "max_epochs": {"epochs": 30},
    }
    runs = []
    original = Run.__enter__

    def entered(self):
        runs.append(self)
        return original(self)

    def fail(report):
        if any(last(one)["type"] == "end" for one in runs):
            raise ZeroDivisionError
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "__enter__", entered)
        with pytest.raises(ZeroDivisionError):
            executed({**KFOLD, "stopping": stopping}, look=fail)
    ends = [last(one)["status"] for one in runs[1:]]
    assert set(ends) == {"FINISHED", "FAILED"}
    for one, status in zip(runs[1:], ends, strict=True):
        assert (one.path / "weights.npz").exists() == (status == "FINISHED")


def test_a_time_budget_ends_all_at_one_report_and_is_reproduced_by_its_step(executed):
    stopping = {"stopping": {"time_budget": {"seconds": 0.5}}}
    _, _, nested, whole, hashes = executed({**KFOLD, **stopping})
    assert whole[-1].stop.rule == "time_budget"
    assert {last(one)["rule"] for one in nested} == {"time_budget"}
    again = executed({**KFOLD, **stopping}, until=whole[-1].step)
    assert again[4] == hashes
    for one, two in zip(whole, again[3], strict=True):
        assert one.metrics == two.metrics


def test_the_data_s_hash_is_the_same_as_that_of_one_training(executed):
    alone, folded = executed()[4], executed(KFOLD)[4]
    assert alone["nnlab.data_sha256"] == folded["nnlab.data_sha256"]
    assert alone["nnlab.weights_sha256"] != folded["nnlab.weights_sha256"]


def test_a_fold_without_examples_is_refused_before_any_run(checked):
    with pytest.raises(UserError, match="every part has an example"):
        Execution(checked({"validation": {"name": "kfold", "folds": 1000}}))


def test_weights_of_a_member_are_its_own(executed):
    _, execution, nested, _, _ = executed({"seeds": 2})
    for member, run in zip(execution.members, nested, strict=True):
        with np.load(run.path / "weights.npz", allow_pickle=False) as arrays:
            weight = member.training.network.layout.views(member.state.theta)["output.weight"]
            np.testing.assert_array_equal(arrays["output.weight"], weight)


def test_the_environment_is_captured_once(executed):
    run, _, nested, _, _ = executed({"seeds": 2})
    for one in nested:
        assert json.loads((one.path / "environment.json").read_text()) == run.environment.facts


# interrupted and gone on with

PATIENT = {
    "stopping": {
        "patience": {
            "evaluations": 2,
            "metric": "validation/accuracy",
            "direction": "maximize",
            "min_delta": 0.0,
        },
        "max_epochs": {"epochs": 6},
    }
}
TIMED = {"stopping": {"time_budget": {"seconds": 0.03}}, "evaluate_every": "1000000 steps"}
GOING_ON = {
    "one": {"checkpoint_every": "1 step"},
    "one, seldom saved": {"checkpoint_every": "never"},
    "folds": {**KFOLD, "checkpoint_every": "2 steps"},
    "folds that end early": {**KFOLD, **PATIENT, "checkpoint_every": "1 epoch"},
    "seeds": {"seeds": 2, "checkpoint_every": "3 steps"},
}


class Crash(BaseException):
    """What nobody catches: the process is as good as dead."""


@pytest.fixture
def signals():
    """Handlers as a command installs them; taken away again."""
    numbers = (*SIGNALS, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    heed()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def attempt(execution, run, look=lambda report: None, started=lambda nested: None):
    """Run an execution as the command does; `look` at each report."""
    with run, execution.recorded(run, started) as stream:
        for report in stream:
            look(report)
        execution.keep_weights(run)


def go_on(config, run, environment, **how):
    """Go on with a run as the command does; its execution and how often it begins anew."""
    again = Run.reopen(run.path, environment)
    again.past.check_resumable(config.plain)
    execution = Execution(config)
    assert execution.restore(again) == []
    attempt(execution, again, **how)
    return execution


def outcome(run):
    """All that must be equal: the reports of a run and of its nested ones, stops, hashes."""
    past = Past(read(run.path / "journal.jsonl"))
    hashes = {key: past.tags[key] for key in HASHES}
    reports = [(r.step, r.epoch, repr(dict(r.metrics)), r.stop) for r in past.reports]  # NaN
    ended = {key: past.end[key] for key in ("status", "rule", "reason")}
    nested = [outcome(SimpleNamespace(path=run.path.with_name(id))) for id in past.members]
    return reports, ended, hashes, nested


def numbered(run):
    """Are the records of the run and of its nested ones numbered without gaps?"""
    records = read(run.path / "journal.jsonl")
    assert [record["n"] for record in records] == list(range(len(records)))
    steps = [record["step"] for record in records if record["type"] == "report"]
    assert steps == sorted(set(steps))


@pytest.fixture
def uninterrupted(checked, environment):
    """The outcome of a config that is run in one go."""

    def whole(values):
        run = Run.of(config := checked(values), "train", environment=environment)
        attempt(Execution(config), run)
        return outcome(run)

    return whole


@pytest.mark.parametrize("values", GOING_ON.values(), ids=GOING_ON)
def test_interrupted_at_any_step_and_gone_on_with_equals_uninterrupted(
    checked, environment, uninterrupted, signals, monkeypatch, values
):
    expected, config = uninterrupted(values), checked(values)
    original, calls = Training.advance, []

    def advance(self, *arguments):
        calls.append(self)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *arguments)

    monkeypatch.setattr(Training, "advance", advance)
    for at in count(1, 3):
        calls.clear()
        run = Run.of(config, "train", environment=environment)
        try:
            attempt(Execution(config), run)
        except Interrupted as error:
            assert error.safe
        else:
            break  # it was not interrupted any more: all steps were tried
        assert last(run)["reason"] == "interrupted by SIGTERM"
        assert list((run.path / "checkpoints").glob("step-*")) or len(expected[3])
        calls.clear()
        at = 2  # and once more, soon after it went on
        with suppress(Interrupted):
            go_on(config, run, environment)
        at = 0
        if last(run)["status"] == "KILLED":
            go_on(config, run, environment)
        numbered(run)
        assert outcome(run) == expected
    assert at > 3


@pytest.mark.parametrize("values", GOING_ON.values(), ids=GOING_ON)
def test_crashed_at_any_report_and_gone_on_with_equals_uninterrupted(
    checked, environment, uninterrupted, values
):
    expected, config = uninterrupted(values), checked(values)
    for at in range(len(expected[0])):

        def crash(report, at=at):
            if report.step == expected[0][at][0]:
                raise Crash

        run = Run.of(config, "train", environment=environment)
        with pytest.raises(Crash):
            attempt(Execution(config), run, crash)
        with pytest.raises(Crash):  # there it crashes again, after it went on
            go_on(config, run, environment, look=crash)
        go_on(config, run, environment)
        numbered(run)
        assert outcome(run) == expected


@pytest.mark.parametrize("at", [0, 1, 2])
def test_crashed_while_its_nested_runs_are_made_it_has_each_once(
    checked, environment, uninterrupted, at
):
    expected, config = uninterrupted(KFOLD), checked(KFOLD)
    made = []

    def crash(nested):
        made.append(nested)
        if len(made) == at + 1:
            raise Crash

    run = Run.of(config, "train", environment=environment)
    with pytest.raises(Crash):
        attempt(Execution(config), run, started=crash)
    go_on(config, run, environment)
    assert outcome(run) == expected
    assert len(Past(read(run.path / "journal.jsonl")).members) == 3


@pytest.mark.parametrize("values", [{}, KFOLD], ids=["one", "folds"])
def test_what_time_ended_ends_there_again(checked, environment, values):
    # it said why it ended, but crashed before it was over
    values = {**values, **TIMED}
    if "validation" in values:
        values |= {"evaluate_every": "1 epoch"}
    config, run = checked(values), None
    run = Run.of(config, "train", environment=environment)

    def crash(report):
        if report.stop:
            raise Crash

    with pytest.raises(Crash):
        attempt(Execution(config), run, crash)
    before = Past(read(run.path / "journal.jsonl")).reports
    assert before[-1].stop.rule == "time_budget"
    go_on(config, run, environment)
    assert repr(Past(read(run.path / "journal.jsonl")).reports) == repr(before)
    assert (last(run)["status"], last(run)["rule"]) == ("FINISHED", "time_budget")
    again = Run.of(config, "train", environment=environment)
    attempt(Execution(config, until=before[-1].step), again)
    assert outcome(again)[2] == outcome(run)[2]


@pytest.mark.parametrize(
    "values",
    [{}, KFOLD, {**KFOLD, **PATIENT}, {"optimizer.lr": 1e30}],
    ids=["one", "folds", "early", "diverged"],
)
def test_a_training_that_came_to_its_end_is_not_trained_further(
    checked, environment, uninterrupted, signals, values
):
    # a trial waits for an answer after its last report too, where a signal is a safe point
    expected, config = uninterrupted(values), checked(values)
    run, execution = Run.of(config, "train", environment=environment), Execution(config)

    def interrupt(report):
        if report.stop:
            os.kill(os.getpid(), signal.SIGTERM)
            execution.heed()

    with pytest.raises(Interrupted):
        attempt(execution, run, interrupt)
    go_on(config, run, environment)
    numbered(run)
    assert outcome(run) == expected


def test_a_signal_before_the_first_step_is_heeded(checked, environment, signals, uninterrupted):
    expected, config = uninterrupted(KFOLD), checked(KFOLD)
    run, nested = Run.of(config, "train", environment=environment), []

    def interrupt(one):
        nested.append(one)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        attempt(Execution(config), run, started=lambda one: nested or interrupt(one))
    assert last(run)["reason"] == "interrupted by SIGINT"
    assert [points(one) for one in (run, *nested)] == [[], []]
    go_on(config, run, environment)
    assert outcome(run) == expected


def test_a_nested_training_that_has_ended_is_not_trained_again(checked, environment, uninterrupted):
    values = {**KFOLD, **PATIENT, "stopping.max_epochs.epochs": 30}
    expected, config = uninterrupted(values), checked(values)
    run, nested = Run.of(config, "train", environment=environment), []

    def crash(report):
        if any(last(one)["type"] == "end" for one in nested):
            raise Crash

    with pytest.raises(Crash):
        attempt(Execution(config), run, crash, nested.append)
    ended = [last(one)["status"] == "FINISHED" for one in nested]
    assert len(set(ended)) == 2, "all ended at once: the test shows nothing"
    execution = go_on(config, run, environment)
    assert [member.state.step == 0 for member in execution.members] == ended
    assert outcome(run) == expected


def test_other_bits_are_noticed_before_anything_is_added(checked, environment, monkeypatch):
    config = checked({"checkpoint_every": "never"})
    run = Run.of(config, "train", environment=environment)
    with pytest.raises(Crash):
        attempt(Execution(config), run, crash_at(8))
    original = Training.start

    def start(self):
        state = original(self)
        state.theta[0] = np.nextafter(state.theta[0], np.float32(1))
        return state

    monkeypatch.setattr(Training, "start", start)
    reports = points(run)
    with pytest.raises(UnequalError, match="start a new one"):
        go_on(config, run, environment)
    assert points(run) == reports


def crash_at(step):
    def crash(report):
        if report.step == step:
            raise Crash

    return crash


def test_a_run_whose_journal_was_cut_goes_on_from_an_older_checkpoint(
    checked, environment, uninterrupted
):
    values = {"checkpoint_every": "1 epoch", "stopping.max_epochs.epochs": 4}
    expected, config = uninterrupted(values), checked(values)
    run = Run.of(config, "train", environment=environment)
    with pytest.raises(Crash):
        attempt(Execution(config), run, crash_at(12))
    journal = run.path / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:4]))  # start, data, the reports of steps 0 and 4
    again = Run.reopen(run.path, environment)
    execution = Execution(config)
    (damage,) = execution.restore(again)
    assert "cannot be used" in damage
    attempt(execution, again)
    assert outcome(run) == expected

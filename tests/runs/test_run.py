import errno
import json
import math
import os
import re
import threading
from dataclasses import replace

import numpy as np
import pytest

from nnlab.errors import UserError
from nnlab.runs.config import prepare
from nnlab.runs.destination import MLflow
from nnlab.runs.environment import Environment
from nnlab.runs.journal import JournalError, being_written, number, read
from nnlab.runs.past import CONFIG, ENVIRONMENT, JOURNAL
from nnlab.runs.plain import load
from nnlab.runs.run import Run, UnequalError, new_directory
from nnlab.training.report import Report, Stop


@pytest.fixture
def new(tmp_path, environment):
    """A run in the test's folder, with some arguments changed."""

    def made(**changes):
        arguments = {
            "kind": "train",
            "name": "digits-mlp",
            "tracking": MLflow(experiment="digits"),
            "config": {"optimizer": {"name": "sgd", "lr": 1e-300}, "seed": 3},
            "environment": environment,
        }
        return Run(tmp_path / "store", **(arguments | changes))

    return made


def report(step, stop=None, **metrics):
    return Report(step, step / 4, metrics or {"train/loss": 1 / (step + 3)}, step / 7, stop)


def end(run):
    """The last record of a run that is over."""
    *_, last = read(run.path / JOURNAL)
    assert last["type"] == "end"
    return last["status"], last["rule"], last["reason"]


# what is written


def test_a_run_begins_with_its_config_its_environment_and_its_start(new, tmp_path, environment):
    with new(tags={"nnlab.sweep": "s1"}, parent="abc") as run:
        assert run.path == tmp_path / "store" / "runs" / run.id
        assert re.fullmatch("[0-9a-f]{12}", run.id)
        assert run.name == f"digits-mlp-{run.id[:4]}"
        assert load(run.path / CONFIG) == {"optimizer": {"name": "sgd", "lr": 1e-300}, "seed": 3}
        facts = json.loads((run.path / ENVIRONMENT).read_text(encoding="utf-8"))
        assert facts == environment.facts
        diff = (run.path / "uncommitted.diff").read_text(encoding="utf-8")
        assert diff == environment.diff
        run.journal.sync()
        (start,) = read(run.path / JOURNAL)
    assert start["type"] == "start"
    assert (start["run"], start["name"], start["kind"]) == (run.id, run.name, "train")
    assert (start["experiment"], start["parent"]) == ("digits", "abc")
    assert start["params"] == {"optimizer.name": "sgd", "optimizer.lr": "1e-300", "seed": "3"}
    assert start["tags"] == {
        "nnlab.version": "0.0",
        "nnlab.git_commit": "c0ffee",
        "nnlab.git_dirty": "True",
        "nnlab.sweep": "s1",
    }


def test_code_that_is_committed_has_no_difference_to_keep(new, environment):
    with new(environment=Environment(environment.facts, "")) as run:
        assert not (run.path / "uncommitted.diff").exists()


def test_the_environment_is_captured_where_none_is_given(new):
    with new(environment=None) as run:
        facts = json.loads((run.path / ENVIRONMENT).read_text(encoding="utf-8"))
    assert facts["packages"]["numpy"] == np.__version__


def test_runs_of_one_store_do_not_meet(new):
    with new() as one, new() as two:
        assert one.id != two.id
        assert one.path.parent == two.path.parent


def test_a_report_is_in_the_journal_before_it_is_passed_on(new):
    with new() as run:
        for k, _ in enumerate(run.record([report(0), report(4), report(8)])):
            run.journal.sync()
            assert len(read(run.path / JOURNAL)) == 1 + k + 1


def test_reports_come_back_with_the_same_bits(new):
    metrics = {"train/loss": 0.1 + 0.2, "train/r2": -math.inf, "lr": 5e-324, "x": math.nan}
    with new() as run:
        (passed,) = run.record([Report(7, 1.75, metrics, 0.125)])
    assert passed == Report(7, 1.75, metrics, 0.125)
    _, record, _ = read(run.path / JOURNAL)
    assert (record["type"], record["step"], record["seconds"]) == ("report", 7, 0.125)
    again = {key: number(value) for key, value in record["metrics"].items()}
    assert math.isnan(again.pop("x"))
    assert again == {
        **{key: metrics[key] for key in ("train/loss", "train/r2", "lr")},
        "epoch": 1.75,
    }


def test_tags_are_added(new):
    with new() as run:
        run.tag({"a": "1"})
        run.tag({"b": "2"})
    assert [one["tags"] for one in read(run.path / JOURNAL)[1:-1]] == [{"a": "1"}, {"b": "2"}]


# how a run ends


def test_a_run_is_being_written_until_it_is_left(new):
    with new() as run:
        assert being_written(run.path / JOURNAL)
    assert not being_written(run.path / JOURNAL)


def test_a_run_ends_as_its_training_did(new):
    with new() as run:
        list(run.record([report(0), report(4, Stop("max_epochs", "1 epoch is done"))]))
    assert end(run) == ("FINISHED", "max_epochs", "1 epoch is done")


def test_a_diverged_run_failed(new):
    with new() as run:
        list(run.record([report(0), report(4, Stop("diverged", "not finite"))]))
    assert end(run) == ("FAILED", "diverged", "not finite")


def test_a_run_without_a_stop_is_done(new):
    with new() as run:
        pass
    assert end(run)[0] == "FINISHED"


def test_a_run_that_raised_failed_and_keeps_its_traceback(new):
    with pytest.raises(ZeroDivisionError), new() as run:
        for _ in run.record([report(0)]):
            raise ZeroDivisionError("the trouble")
    assert end(run) == ("FAILED", "raised", "ZeroDivisionError: the trouble")
    text = (run.path / "traceback.txt").read_text(encoding="utf-8")
    assert "Traceback" in text
    assert 'raise ZeroDivisionError("the trouble")' in text
    assert len(read(run.path / JOURNAL)) == 3  # its report is kept


def test_a_run_that_was_interrupted_is_killed(new):
    with pytest.raises(KeyboardInterrupt), new() as run:
        raise KeyboardInterrupt
    assert end(run) == ("KILLED", "interrupted", "interrupted")
    assert not (run.path / "traceback.txt").exists()


def test_an_interrupt_after_the_last_report_is_still_an_interrupt(new):
    with pytest.raises(KeyboardInterrupt), new() as run:
        list(run.record([report(4, Stop("max_epochs", "done"))]))
        raise KeyboardInterrupt
    assert end(run)[0] == "KILLED"


def test_end_says_how_a_run_ended(new):
    with new() as run:
        list(run.record([report(0)]))
        run.end("KILLED", "pruned", "pruned at step 0")
    assert end(run) == ("KILLED", "pruned", "pruned at step 0")


def test_a_full_disk_is_an_error_that_lets_go_of_the_journal(new, monkeypatch):
    # the tracking process waits for a journal until nobody holds it
    original = os.write

    def full(descriptor, data):
        if threading.current_thread().name == "journal" and os.fstat(descriptor).st_size:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(JournalError, match="No space left on device"), new() as run:
        run.journal.sync()
        for _ in run.record(report(step) for step in range(1000)):
            run.journal.sync()
    assert not being_written(run.path / JOURNAL)
    assert [record["type"] for record in read(run.path / JOURNAL)] == ["start"]


def test_a_traceback_that_cannot_be_written_hides_neither_the_error_nor_the_end(new):
    with pytest.raises(ZeroDivisionError), new() as run:
        (run.path / "traceback.txt").mkdir()
        raise ZeroDivisionError("the trouble")
    assert end(run) == ("FAILED", "raised", "ZeroDivisionError: the trouble")
    assert not being_written(run.path / JOURNAL)


# going on


@pytest.fixture
def interrupted(new):
    """The directory of a run that was interrupted after the reports of steps 0, 4 and 8."""
    with pytest.raises(KeyboardInterrupt), new() as run:
        run.checkpoints.mkdir()
        list(run.record([report(0), report(4), report(8)]))
        raise KeyboardInterrupt
    return run.path


def test_a_run_that_goes_on_keeps_its_records_and_adds_to_them(interrupted, environment):
    before = (interrupted / JOURNAL).read_bytes()
    with Run.reopen(interrupted, environment) as run:
        assert (run.id, run.path) == (interrupted.name, interrupted)
        again = [replace(report(step), seconds=99.0) for step in (0, 4, 8, 12)]
        passed = list(run.record(again))
    assert passed == [report(0), report(4), report(8), again[3]]  # as they are there
    assert (interrupted / JOURNAL).read_bytes().startswith(before)
    records = read(interrupted / JOURNAL)
    kinds = ["start", "report", "report", "report", "end", "resumed", "report", "end"]
    assert [record["type"] for record in records] == kinds
    assert [record["n"] for record in records] == list(range(8))
    assert records[5]["owner"]["pid"] == os.getpid()
    assert end(run)[0] == "FINISHED"


def test_nothing_is_written_before_a_run_goes_on(interrupted, environment):
    before = (interrupted / JOURNAL).read_bytes()
    run = Run.reopen(interrupted, environment)
    assert being_written(interrupted / JOURNAL)
    run.journal.close()
    assert (interrupted / JOURNAL).read_bytes() == before


def test_reports_come_back_from_the_journal_as_they_were(new, environment):
    metrics = {"train/loss": 0.1 + 0.2, "train/r2": -math.inf, "lr": 5e-324, "x": math.nan}
    first = Report(7, 1.75, metrics, 0.125)
    last = Report(8, 2.0, {"train/loss": 1e-300}, 0.25, Stop("max_epochs", "2 epochs"))
    with new() as run:
        list(run.record([first, last]))
    past = Run.reopen(run.path, environment)
    past.journal.close()
    assert repr(past.past.reports) == repr([first, last])


ULP = math.nextafter(1 / 3, 1)
UNEQUAL = {  # what is measured again instead of (0, {"a": 1 / 3, "b": nan}): what is said
    "one ulp": (Report(0, 0.0, {"a": ULP, "b": math.nan}, 0), f"a at step 0 was {1 / 3!r} and"),
    "nan": (Report(0, 0.0, {"a": math.nan, "b": math.nan}, 0), "a at step 0 was 0.33"),
    "a number": (Report(0, 0.0, {"a": 1 / 3, "b": 1.0}, 0), "b at step 0 was nan and is now 1.0"),
    "less": (Report(0, 0.0, {"a": 1 / 3}, 0), "b at step 0 was nan and is now None"),
    "more": (Report(0, 0.0, {"a": 1 / 3, "b": math.nan, "c": 2.0}, 0), "c at step 0 was None and"),
    "step": (Report(1, 0.0, {"a": 1 / 3, "b": math.nan}, 0), "step at step 0 was 0 and is now 1"),
    "epoch": (Report(0, 0.5, {"a": 1 / 3, "b": math.nan}, 0), "epoch at step 0 was 0.0 and is"),
}


@pytest.mark.parametrize(("now", "said"), UNEQUAL.values(), ids=UNEQUAL)
def test_what_is_measured_again_and_is_unequal_ends_the_run(new, environment, now, said):
    then = Report(0, 0.0, {"a": 1 / 3, "b": math.nan}, 0.1)
    with pytest.raises(KeyboardInterrupt), new() as run:
        list(run.record([then]))
        raise KeyboardInterrupt
    with (
        pytest.raises(UnequalError, match=re.escape(said)),
        Run.reopen(run.path, environment) as on,
    ):
        list(on.record([now, report(4)]))
    assert end(on)[:2] == ("FAILED", "raised")
    assert [record["type"] for record in read(run.path / JOURNAL)].count("report") == 1


def test_nan_that_is_nan_again_is_equal(new, environment):
    then = Report(0, 0.0, {"a": math.nan, "b": math.inf}, 0.1)
    with pytest.raises(KeyboardInterrupt), new() as run:
        list(run.record([then]))
        raise KeyboardInterrupt
    with Run.reopen(run.path, environment) as on:
        assert len(list(on.record([replace(then, metrics=dict(then.metrics))]))) == 1


def test_a_run_that_is_being_written_is_refused_by_name_and_process(new, environment):
    with new() as run, pytest.raises(UserError) as error:
        Run.reopen(run.path, environment)
    for word in (run.name, run.id, f"process {os.getpid()}"):
        assert word in str(error.value)


def test_a_torn_last_line_is_cut_off_when_a_run_goes_on(interrupted, environment):
    whole = (interrupted / JOURNAL).read_bytes()
    (interrupted / JOURNAL).write_bytes(whole + b'{"crc":"01234567","n":5,"ti')
    with Run.reopen(interrupted, environment) as run:
        list(run.record([report(0), report(4), report(8), report(12)]))
    assert [record["n"] for record in read(interrupted / JOURNAL)] == list(range(8))
    assert (interrupted / JOURNAL).read_bytes().startswith(whole)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(b""), "has no record"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"train/loss", b"train/lass", 1)),
         "is damaged at byte"),
        (lambda path: path.unlink(), "No such file"),
    ],
    ids=["empty", "damaged", "absent"],
)  # fmt: skip
def test_what_cannot_be_read_cannot_go_on(interrupted, environment, spoil, said):
    spoil(interrupted / JOURNAL)
    with pytest.raises(UserError, match=said):
        Run.reopen(interrupted, environment)
    assert not being_written(interrupted / JOURNAL)


def test_checkpoints_stay_until_a_run_comes_to_its_end(interrupted, environment):
    folder = interrupted / "checkpoints"
    with pytest.raises(ZeroDivisionError), Run.reopen(interrupted, environment):
        raise ZeroDivisionError
    assert folder.is_dir()
    with Run.reopen(interrupted, environment):
        pass
    assert not folder.exists()


# a run of an experiment


def test_a_run_of_an_experiment(checked, environment):
    config = checked()
    training = prepare(config)
    state = training.start()
    with Run.of(config, "train", environment=environment) as run:
        reports = list(run.record(training.run(state)))
        hashes = run.keep_weights(training, state)
    assert run.path.parent == config.store / "runs"
    assert run.name.startswith("iris-linear-momentum-")
    assert load(run.path / CONFIG) == config.plain
    start, *records, tags, _ = read(run.path / JOURNAL)
    assert start["experiment"] == "iris"
    assert [record["step"] for record in records] == [0, 4, 8]
    for record, one in zip(records, reports, strict=True):
        assert record["metrics"] == {**one.metrics, "epoch": one.epoch}
    assert end(run)[:2] == ("FINISHED", "max_epochs")

    assert tags["tags"] == hashes
    assert hashes["nnlab.data_sha256"] == config.experiment.data.load().fingerprint
    assert hashes["nnlab.weights_sha256"] != hashes["nnlab.averaged_sha256"]
    with np.load(run.path / "weights.npz", allow_pickle=False) as arrays:
        layout = training.network.layout
        for name, array in layout.views(state.theta).items():
            np.testing.assert_array_equal(arrays[name], array)
        for name, array in layout.views(training.averaged(state)).items():
            np.testing.assert_array_equal(arrays[f"averaged/{name}"], array)


def test_the_same_config_gives_the_same_hashes(checked, environment):
    hashes = []
    for seed in (0, 0, 1):
        training = prepare(config := checked({"seed": seed}))
        state = training.start()
        with Run.of(config, "train", environment=environment) as run:
            list(run.record(training.run(state)))
            hashes.append(run.keep_weights(training, state))
    assert hashes[0] == hashes[1]
    assert hashes[0]["nnlab.weights_sha256"] != hashes[2]["nnlab.weights_sha256"]
    assert hashes[0]["nnlab.data_sha256"] == hashes[2]["nnlab.data_sha256"]


# where a run cannot be


@pytest.mark.parametrize("occupied", ["store", "store/runs"])
def test_a_store_that_cannot_be_written_is_refused_and_nothing_is_left(new, tmp_path, occupied):
    file = tmp_path / occupied
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("a file")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"store must be a folder that can be written.*\(store\)"):
        new()
    assert sorted(tmp_path.rglob("*")) == before
    assert file.read_text() == "a file"


def test_a_directory_is_new(tmp_path):
    assert new_directory(tmp_path / "a" / "b", {"x": "one", "y": ""}).is_dir()
    with pytest.raises(UserError):
        new_directory(tmp_path / "a" / "b", {"x": "two"})
    assert [file.name for file in (tmp_path / "a" / "b").iterdir()] == ["x"]
    assert (tmp_path / "a" / "b" / "x").read_text() == "one"


def test_a_directory_whose_files_cannot_be_written_is_not_left(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left on device \(store\)"):
        new_directory(tmp_path / "runs" / "b", {"x": "one"})
    assert list((tmp_path / "runs").iterdir()) == []

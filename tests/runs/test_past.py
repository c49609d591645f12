import math
import shutil
from dataclasses import replace

import pytest

from nnlab.errors import UserError
from nnlab.runs.destination import MLflow
from nnlab.runs.journal import Journal, JournalError, being_written, encode, read
from nnlab.runs.owner import Owner
from nnlab.runs.past import DIED, JOURNAL, Past, directories, find, glance, owner_of, reap
from nnlab.runs.run import Run
from nnlab.training.report import Report, Stop

HERE = Owner.here()
DEAD = replace(HERE, pid=2**22 + 1)  # above the highest that Linux gives
ELSEWHERE = replace(DEAD, host="elsewhere")
REPORT = {"type": "report", "step": 1, "metrics": {"loss": 0.5, "epoch": 0.25}, "seconds": 0.1}


@pytest.fixture
def store(tmp_path):
    return tmp_path


@pytest.fixture
def left(store):
    """Makes a run's directory as a process left it that wrote these records."""

    def make(*records, run="abc123", owner=DEAD, kind="train", parent=None, torn=b"", **start):
        path = store / "runs" / run
        path.mkdir(parents=True)
        first = {"type": "start", "run": run, "kind": kind, "name": f"{kind}-{run[:4]}"}
        first |= {"uri": None, "parent": parent, "params": {}, "tags": {}, **start}
        first |= {"owner": owner.plain} if owner else {}
        lines = [encode({"n": n, "time": 5, **one}) for n, one in enumerate([first, *records])]
        (path / JOURNAL).write_bytes(b"".join(line + b"\n" for line in lines) + torn)
        return path

    return make


# the past


def test_what_a_journal_tells():
    start = {"type": "start", "tags": {"a": "1", "b": "1"}}
    end = {"type": "end", "rule": "max_epochs"}
    last = {**REPORT, "metrics": {"loss": "-Infinity", "epoch": 1.0}, "step": 4}
    last["stop"] = {"rule": "max_epochs", "reason": "1 epoch is done"}
    past = Past(
        [
            start,
            REPORT,
            {"type": "tags", "tags": {"b": "2"}},
            {"type": "member", "run": "m1"},
            {"type": "something new", "x": 1},
            last,
            end,
        ]
    )
    assert past.start == start
    assert past.reports == [
        Report(1, 0.25, {"loss": 0.5}, 0.1),
        Report(4, 1.0, {"loss": -math.inf}, 0.1, Stop("max_epochs", "1 epoch is done")),
    ]
    assert past.tags == {"a": "1", "b": "2"}
    assert past.members == ["m1"]
    assert past.end == end


def test_a_study_reports_without_epochs():
    report = {"type": "report", "step": 3, "metrics": {"best/loss": 0.5}, "seconds": 2.0}
    past = Past([{"type": "start", "tags": {}}, {"type": "told", "state": "COMPLETE"}, report])
    assert past.reports == [Report(3, 0.0, {"best/loss": 0.5}, 2.0)]


def test_an_end_is_void_when_the_run_was_resumed():
    records = [{"type": "start", "tags": {}}, {"type": "end", "rule": "died"}, {"type": "resumed"}]
    assert Past(records).end is None
    assert Past([*records, {"type": "end", "rule": "b"}]).end == {"type": "end", "rule": "b"}


# a glance


def test_a_glance_at_a_run_that_is_being_written_and_then_not(store, environment):
    with Run(
        store, kind="train", name="x", tracking=MLflow(), config={}, environment=environment
    ) as run:
        run.journal.sync()
        seen = glance(run.path)
        assert (seen.start["run"], seen.last["type"]) == (run.id, "start")
        assert (seen.live, seen.ended, seen.own) == (True, None, True)
        assert str(seen) == f"{run.name} (run {run.id})"
    seen = glance(run.path)
    assert (seen.live, seen.ended["status"]) == (False, "FINISHED")


@pytest.mark.parametrize("reports", [0, 1, 7, 400])
@pytest.mark.parametrize("torn", [b"", b'{"crc":"0000'])
def test_a_glance_sees_the_last_whole_record_however_long_the_journal(left, reports, torn):
    records = [{**REPORT, "step": k, "text": "x" * 50 * k} for k in range(reports)]
    path = left(*records, {"type": "end", "status": "FAILED"}, torn=torn)
    assert glance(path).last == read(path / JOURNAL)[-1]
    assert glance(path).start == read(path / JOURNAL)[0]


def test_there_is_no_glance_at_what_has_no_start(store, left):
    path = left()
    text = (path / JOURNAL).read_bytes()
    other = encode({"n": 0, "type": "tags"}) + b"\n"
    for content in (b"", text[:-1], b"x" + text, text[:20] + b"\n", other):
        (path / JOURNAL).write_bytes(content)
        assert glance(path) is None
    assert glance(store / "none") is None


# directories


def test_directories_are_those_with_a_journal(store, left):
    assert list(directories(store)) == []
    paths = [left(run=run) for run in ("b1", "a1")]
    (store / "runs" / "empty").mkdir()
    shutil.copytree(paths[0], store / "runs" / ".b1.removed")
    (store / "runs" / "file").touch()
    assert list(directories(store)) == sorted(paths)


def test_a_run_is_found_by_its_id_or_the_beginning(store, left):
    paths = {run: left(run=run) for run in ("abc1", "abc2", "abd", "abc")}
    for text, run in {"abc1": "abc1", "abd": "abd", "abc": "abc"}.items():
        assert find(store, text) == paths[run]
    with pytest.raises(UserError, match=r"^ab begins the ids of 4 runs: abc, abc1, abc2, abd$"):
        find(store, "ab")
    with pytest.raises(UserError, match=r"no run abx1 in .*/runs \(did you mean abc1\?\)"):
        find(store, "abx1")
    with pytest.raises(UserError):
        find(store, "")


def test_the_owner_is_the_last_that_is_said(left):
    assert owner_of(left(REPORT)) == DEAD
    again = {"type": "resumed", "owner": HERE.plain}
    assert owner_of(left(REPORT, {"type": "end"}, again, REPORT, run="b")) == HERE
    assert owner_of(left(REPORT, run="c", owner=None)).gone() is None
    damaged = left(REPORT, again, run="d")
    text = (damaged / JOURNAL).read_bytes()
    (damaged / JOURNAL).write_bytes(text.replace(b"loss", b"lass"))
    assert owner_of(damaged) == DEAD
    (damaged / JOURNAL).write_bytes(b"x" + text)
    assert owner_of(damaged).gone() is None


# reaping


@pytest.mark.parametrize("torn", [b"", b'{"crc":"12'])
def test_a_run_whose_process_is_gone_was_killed(left, torn):
    path = left(REPORT, torn=torn)
    evidence = reap(glance(path))
    assert evidence == "process 4194305 is gone, and nobody holds the lock of the journal"
    start, report, end = read(path / JOURNAL)
    assert (start["type"], report["type"]) == ("start", "report")
    assert end.items() >= {"type": "end", "n": 2, **DIED, "evidence": evidence}.items()
    assert reap(glance(path)) is None
    assert len(read(path / JOURNAL)) == 3


NEVER = {  # never reaped
    "ended": {"records": [{"type": "end", "status": "FINISHED"}]},
    "lives": {"owner": HERE},
    "of another machine": {"owner": ELSEWHERE},
    "of nobody knows whom": {"owner": None},
    "resumed by one that lives": {
        "records": [{"type": "end"}, {"type": "resumed", "owner": HERE.plain}]
    },
}


@pytest.mark.parametrize("case", NEVER)
def test_what_may_live_or_has_ended_is_left_alone(left, case):
    settings = dict(NEVER[case])
    path = left(*settings.pop("records", [REPORT]), **settings)
    before = (path / JOURNAL).read_bytes()
    assert reap(glance(path)) is None
    assert (path / JOURNAL).read_bytes() == before


def test_a_run_that_is_being_written_is_left_alone_whoever_it_says_writes_it(left):
    path = left(REPORT)
    before = glance(path)
    journal = Journal.reopen(path / JOURNAL)
    try:
        assert glance(path).live
        assert reap(glance(path)) is None
        assert reap(before) is None  # what was seen before it was resumed
    finally:
        journal.close()
    assert len(read(path / JOURNAL)) == 2


def test_a_run_that_was_reaped_in_between_is_not_reaped_again(left):
    path = left(REPORT)
    before = glance(path)
    assert reap(before)
    assert reap(before) is None
    assert len(read(path / JOURNAL)) == 3
    assert not being_written(path / JOURNAL)


def test_a_copy_is_left_alone(left):
    path = left(REPORT)
    copy = shutil.copytree(path, path.with_name("copy"))
    assert not glance(copy).own
    assert reap(glance(copy)) is None
    assert len(read(copy / JOURNAL)) == 2


def test_a_damaged_journal_is_an_error_and_stays_as_it_is(left):
    path = left(REPORT, REPORT)
    text = (path / JOURNAL).read_bytes().replace(b"0.5", b"0.6", 1)
    (path / JOURNAL).write_bytes(text)
    with pytest.raises(JournalError, match="damaged at byte"):
        reap(glance(path))
    assert (path / JOURNAL).read_bytes() == text
    assert not being_written(path / JOURNAL)


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ([], "KILLED"),
        ([{"run": "t1", "state": "FAILED"}], "FAILED"),
        ([{"run": "t2", "state": "COMPLETE"}], "KILLED"),
        ([{"run": "t1", "state": "KILLED"}, {"run": "t1", "state": "FAILED"}], "FAILED"),
    ],
)
def test_a_trial_is_in_the_state_that_its_study_said(left, told, state):
    left(*({"type": "told", **one} for one in told), run="s1", kind="study")
    path = left(REPORT, run="t1", kind="trial", parent="s1")
    assert reap(glance(path))
    *_, tags, end = read(path / JOURNAL)
    assert tags["tags"] == {"nnlab.trial_state": state}
    assert (end["type"], end["status"]) == ("end", "KILLED")


def test_a_trial_without_its_study_was_killed(left):
    path = left(run="t1", kind="trial", parent="s1")
    assert reap(glance(path))
    assert Past(read(path / JOURNAL)).tags == {"nnlab.trial_state": "KILLED"}

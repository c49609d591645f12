"""What is said of tracking, with processes that only pretend."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from nnlab.commands.tracked import Trackers
from nnlab.runs.destination import MLflow, Untracked
from nnlab.tracking.process import Tracked

LOCAL = "sqlite:///mlruns/mlflow.db"


@pytest.fixture
def said(capsys, monkeypatch):
    """What is said where runs were followed and this came of it."""

    def finish(tracked, uri=LOCAL, store="mlruns", best=None):
        followed = []

        class Process:
            def __init__(self, uri, store):
                followed.append((uri, store))

            def follow(self, run):
                followed.append(run)

            def finish(self):
                return tracked

        monkeypatch.setattr("nnlab.commands.tracked.TrackingProcess", Process)
        config = SimpleNamespace(tracking=MLflow(uri), store=Path(store))
        with Trackers() as trackers:
            trackers.best = best
            for run in ("a", "b", "a"):
                trackers.follow(Path(run), config)
            assert followed == [(uri, Path(store)), Path("a"), Path("b")]
        return capsys.readouterr().out

    return finish


def runs(*names):
    return Tracked({name: {"mlflow": f"m{name}", "experiment": "1"} for name in names})


def test_one_run_is_named_with_what_to_do_next(said):
    assert said(runs("aa")) == (
        f"in MLflow: run maa of {LOCAL}\nreproduce: nnlab reproduce aa\nbrowse:    nnlab ui\n"
    )


def test_of_several_runs_the_best_is_named(said):
    assert said(runs("aa", "bb"), best="bb") == (
        f"in MLflow: 2 runs of {LOCAL}\nreproduce: nnlab reproduce bb\nbrowse:    nnlab ui\n"
    )
    assert "reproduce" not in said(runs("aa", "bb"))


def test_another_store_or_server_is_part_of_what_to_do_next(said):
    there = said(runs("aa"), "sqlite:///x/mlflow.db", "x")
    assert "nnlab reproduce aa --store x\n" in there
    assert "nnlab ui --store x\n" in there
    remote = said(runs("aa"), "http://h:1")
    assert "nnlab reproduce aa --uri http://h:1\n" in remote
    assert "browse:    http://h:1\n" in remote


@pytest.mark.parametrize("name", ["x[/red]", "a[b]", "a [bold]b", "\\[x"])
def test_names_are_said_as_they_are_though_they_look_like_markup(said, name):
    assert f"nothing is lost: it is in {name}/runs, and `nnlab sync --store {name}` will" in said(
        Tracked(failed={"aa": f"no [/tmp/{name}]"}), f"sqlite:///{name}/mlflow.db", name
    )
    assert f"of sqlite:///{name}/mlflow.db\n" in said(
        runs("aa"), f"sqlite:///{name}/mlflow.db", name
    )


WHY = "http://h:1 does not answer"
NOTHING_LOST = "nothing is lost: it is in mlruns/runs, and `nnlab sync` will send it\n"
MISSING = {
    "one run": (Tracked(failed={"a": WHY}), f"1 run ({WHY})"),
    "of many, once": (Tracked(failed=dict.fromkeys("abc", WHY)), f"3 runs ({WHY})"),
    "two reasons": (Tracked(failed={"a": WHY, "b": "no disk"}), f"2 runs ({WHY}; no disk)"),
    "more": (Tracked(failed={"a": "x", "b": "y", "c": "z"}), "3 runs (x; y; ...)"),
    "open": (Tracked(open={"a": "process 3 on h may go on with it"}),
             "1 run (process 3 on h may go on with it)"),
    "earlier ones too": (Tracked(failed={"a": WHY}, unsent=5), f"1 run ({WHY})"),
}  # fmt: skip


@pytest.mark.parametrize(("tracked", "what"), MISSING.values(), ids=MISSING)
def test_what_is_not_in_mlflow_is_said_in_one_line(said, tracked, what):
    assert said(tracked) == f"not yet in MLflow: {what}; {NOTHING_LOST}"


@pytest.mark.parametrize(
    ("unsent", "line"),
    [
        (1, "1 earlier run is not in MLflow yet: `nnlab sync` sends it\n"),
        (7, "7 earlier runs are not in MLflow yet: `nnlab sync` sends them\n"),
    ],
)
def test_earlier_runs_that_are_not_in_mlflow_are_counted_in_one_line(said, unsent, line):
    assert said(Tracked(unsent=unsent)) == line
    told = said(Tracked(runs("aa").runs, unsent=unsent))
    assert told.startswith(line)
    assert "in MLflow: run maa" in told


def test_what_is_left_is_left_at_once_and_said_in_a_line(monkeypatch, capsys):
    left = []

    class Process:
        def __init__(self, uri, store):
            pass

        def follow(self, run):
            pass

        def leave(self):
            left.append(self)

        finish = None  # it would wait

    monkeypatch.setattr("nnlab.commands.tracked.TrackingProcess", Process)
    with pytest.raises(KeyboardInterrupt), Trackers() as trackers:
        for uri in (LOCAL, "http://h:1"):
            trackers.follow(Path(uri), SimpleNamespace(tracking=MLflow(uri), store=Path("mlruns")))
        raise KeyboardInterrupt
    assert len(left) == 2
    assert capsys.readouterr().out == (
        "the rest goes to MLflow in the background; `nnlab sync` sends what does not get there\n"
    )


def test_an_untracked_run_starts_no_process(monkeypatch, capsys):
    monkeypatch.setattr("nnlab.commands.tracked.TrackingProcess", None)
    with Trackers() as trackers:
        trackers.follow(Path("a"), SimpleNamespace(tracking=Untracked(), store=Path("mlruns")))
    assert capsys.readouterr().out == ""

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
        trackers = Trackers()
        config = SimpleNamespace(tracking=MLflow(uri), store=Path(store))
        for run in ("a", "b", "a"):
            trackers.follow(Path(run), config)
        assert followed == [(uri, Path(store)), Path("a"), Path("b")]
        trackers.finish(best)
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
    assert f"nothing is lost: it is in {name}/runs\n" in said(
        Tracked(errors=(f"no [/tmp/{name}]",)), f"sqlite:///{name}/mlflow.db", name
    )
    assert f"of sqlite:///{name}/mlflow.db\n" in said(
        runs("aa"), f"sqlite:///{name}/mlflow.db", name
    )


def test_each_error_is_said_once_and_that_nothing_is_lost(said):
    out = said(Tracked(errors=("no route", "no disk")))
    assert out.count("not yet in MLflow: ") == 2
    assert "not yet in MLflow: no route\n" in out
    assert "nothing is lost: it is in mlruns/runs\n" in out
    assert "browse" not in out


def test_an_untracked_run_starts_no_process(monkeypatch, capsys):
    monkeypatch.setattr("nnlab.commands.tracked.TrackingProcess", None)
    trackers = Trackers()
    trackers.follow(Path("a"), SimpleNamespace(tracking=Untracked(), store=Path("mlruns")))
    trackers.finish()
    assert capsys.readouterr().out == ""

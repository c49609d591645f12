import subprocess
import sys

import pytest

from nnlab.runs.run import Run
from nnlab.tracking import pictures as module
from nnlab.tracking.pictures import CURVES, Pictures, draw


@pytest.fixture
def pictures():
    made = Pictures()
    yield made
    made.close()


def drawn_here(run):
    """The picture as this process draws it; nothing is left of it."""
    draw(run)
    picture = (run / CURVES).read_bytes()
    (run / CURVES).unlink()
    return picture


def test_pictures_of_runs_that_wait_are_drawn_by_a_process(pictures, finished, monkeypatch):
    runs = [finished([{"train/loss": value}, {"train/loss": 2 * value}]) for value in (1.0, 3.0)]
    expected = [drawn_here(run) for run in runs]
    assert expected[0] != expected[1]
    monkeypatch.setattr(module, "draw", None)
    pictures.ask(runs)
    pictures.ask(runs)
    for run, picture in reversed(list(zip(runs, expected, strict=True))):
        pictures.provide(run)
        assert (run / CURVES).read_bytes() == picture


def test_one_that_was_not_asked_for_is_drawn_here(pictures, finished):
    run = finished()
    expected = drawn_here(run)
    pictures.ask([run])
    assert pictures._process is None
    pictures.provide(run)
    assert (run / CURVES).read_bytes() == expected


def test_a_process_that_is_killed_keeps_no_picture_out(pictures, finished):
    runs = [finished() for _ in range(3)]
    pictures.ask(runs[:2])
    pictures._process.kill()
    pictures._process.wait()
    for run in runs:
        pictures.ask(runs)
        pictures.provide(run)
        assert (run / CURVES).stat().st_size > 1000


def test_what_keeps_a_picture_from_being_drawn_is_raised(pictures, finished):
    runs = [finished(), finished()]
    (runs[0] / CURVES).mkdir()
    pictures.ask(runs)
    with pytest.raises(IsADirectoryError):
        pictures.provide(runs[0])
    pictures.provide(runs[1])
    assert (runs[1] / CURVES).is_file()


def test_a_run_that_went_on_is_drawn_anew(pictures, finished):
    path, other = finished(), finished()
    pictures.ask([path, other])
    pictures.provide(other)  # the first is drawn before it
    with Run.reopen(path) as run:
        pictures.ask([path, other])  # it is being written
        metrics = {"train/loss": 9.0, "train/accuracy": 0.5, "epoch": 1.0}
        run.journal.append("report", step=5, metrics=metrics, seconds=1.0)
    pictures.ask([path, other])
    pictures.provide(path)
    picture = (path / CURVES).read_bytes()
    assert picture == drawn_here(path)


def test_runs_that_have_not_ended_are_not_drawn(pictures, finished, new_run):
    ended, running = finished(), new_run()
    running.journal.sync()
    pictures.ask([ended, running.path, ended.with_name("nothing is there")])
    assert pictures._process is None
    running.journal.close()


def test_two_processes_may_draw_one_run_at_once(finished):
    run = finished()
    command = [sys.executable, "-P", "-m", "nnlab.tracking.pictures"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        print(f"{run}\n" * 40, end="", file=process.stdin, flush=True)
        said = [process.stdout.readline()]
        for _ in range(20):
            draw(run)
            assert (run / CURVES).stat().st_size > 1000
        out, _ = process.communicate()
    assert said + out.splitlines(keepends=True) == ["drawn\n"] * 40
    assert [file.name for file in run.glob("*.new")] == []

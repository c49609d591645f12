"""What `nnlab reproduce` shows of outcomes made by hand, and what a crash leaves."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from nnlab.commands.reproduced import counted, show, show_all
from nnlab.errors import UserError
from nnlab.reproduction.comparison import Compared, Stopped
from nnlab.reproduction.logged import Ended, NotBegunError, Study, Trial
from nnlab.reproduction.parameters import Weights

COMPARED = SimpleNamespace(points=52, first=None)
LINES = [
    (
        Trial(0, "aaaa00000000", "m", "trial-000", "COMPLETE"),
        SimpleNamespace(verdict="identical", equal=True, compared=COMPARED, cause=[]),
    ),
    (
        Trial(1, "aaaa00000001", "m", "trial-001", "PRUNED"),
        SimpleNamespace(
            verdict="different",
            equal=False,
            compared=SimpleNamespace(points=52, first="train/loss at step 3: 1 then, 2 now"),
            cause=["the data are others", "another cause"],
        ),
    ),
    (Trial(2, "aaaa00000002", "m", "t", "FAILED"), NotBegunError("t never began to train: [red]")),
    (Trial(3, "aaaa00000003", "m", "t", "KILLED"), UserError("no artifact config.yaml")),
]


def test_each_trial_has_a_line_and_the_counts_come_last(capsys):
    show_all(Study("s", "digits-s", None, [trial for trial, _ in LINES]), LINES)
    head, *rows, last = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert head == ["trial", "run", "ended", "verdict"]
    assert [" ".join(row) for row in rows] == [
        "0 aaaa00000000 complete identical 52 points",
        "1 aaaa00000001 pruned different train/loss at step 3: 1 then, 2 now; the data are others",
        "2 aaaa00000002 failed skipped t never began to train: [red]",
        "3 aaaa00000003 killed error no artifact config.yaml",
    ]
    assert " ".join(last) == (
        "digits-s: all 4 trials: 1 identical, 1 different, 1 skipped, 1 error"
    )


@pytest.mark.parametrize("number", [0, 4])
def test_every_outcome_is_counted_once(number):
    assert sum(counted(LINES[:number]).values()) == number


CRASHING = """
from nnlab.cli import main
from nnlab.commands import doctor, reproduce

def crash(arguments):
    raise TypeError("x")

doctor.run = reproduce.run = crash
main()
"""


@pytest.mark.parametrize(("command", "code"), [("reproduce", 70), ("doctor", 1)])
def test_a_crash_has_not_the_exit_code_of_a_verdict(bench, tmp_path, command, code):
    script = tmp_path / "crashing.py"
    script.write_text(CRASHING)
    done = bench(command, script=str(script), code=code)
    assert done.err == "nnlab: TypeError: x (--debug shows more)\n"
    again = [sys.executable, str(script), command, "--debug"]
    debugged = subprocess.run(again, capture_output=True, text=True, check=False)
    assert (debugged.returncode, debugged.stderr[:9]) == (code, "Traceback")


def test_an_end_with_another_reason_alone_is_shown_with_both(capsys):
    then, now = Ended("max_epochs", "bored", 40), Ended("max_epochs", "epoch 3 is done", 40)
    show(
        SimpleNamespace(
            compared=Compared(5), stopped=Stopped(then, now, by_config=True), hashes={},
            weights=Weights({}, {}, "none"), environment=[], cause=["it is so"], notes=[],
            equal=False, verdict="different",
        )
    )  # fmt: skip
    shown = " ".join(capsys.readouterr().out.split())
    assert "different: step 40 by max_epochs (bored) then, step 40 by max_epochs (epoch" in shown
    assert "likely cause: it is so" in shown


def test_a_contradiction_with_equal_bits_is_called_the_cause(capsys):
    ended = Ended("max_epochs", "epoch 3 is done", 40)
    show(
        SimpleNamespace(
            compared=Compared(5), stopped=Stopped(ended, ended, by_config=True), hashes={},
            weights=Weights({}, {}, "none"), environment=[], cause=["it was changed"], notes=[],
            equal=True, verdict="different",
        )
    )  # fmt: skip
    assert "\ncause: it was changed\n" in capsys.readouterr().out

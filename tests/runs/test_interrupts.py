"""Signals to this very process, with the handlers that a command installs."""

import math
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from nnlab.runs import interrupts
from nnlab.runs.interrupts import SIGNALS, Halt, Interrupted, check, heed
from nnlab.training.pause import Pause

ALL = (*SIGNALS, signal.SIGALRM)


@pytest.fixture(autouse=True)
def handlers():
    """Every signal as a process has it at first, and as it was for the tests afterwards."""
    before, complaints = {number: signal.getsignal(number) for number in ALL}, sys.unraisablehook
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)
    sys.unraisablehook = complaints


def now():
    return {number: signal.getsignal(number) for number in ALL}


def send(number):
    os.kill(os.getpid(), number)
    time.sleep(0.001)  # Python calls the handler between two instructions


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_is_heeded_raises_with_its_name_and_number(number):
    heed()
    with pytest.raises(Interrupted) as error:
        send(number)
    assert (str(error.value), error.value.number) == (number.name, number)
    assert not error.value.safe
    assert isinstance(error.value, KeyboardInterrupt)  # no `except Exception` catches it


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_was_ignored_stays_ignored(number):
    # as nohup does with SIGHUP, and a shell with SIGINT of what runs in the background
    signal.signal(number, signal.SIG_IGN)
    heed()
    with Halt([pause := Pause()]) as halt:
        send(number)
        halt.check()
    assert pause.at == math.inf
    assert signal.getsignal(number) is signal.SIG_IGN
    other = next(one for one in SIGNALS if one != number)
    with pytest.raises(Interrupted):
        send(other)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_pauses_all_and_raises_at_the_next_safe_point(number):
    heed()
    pauses = [Pause(at=5.0), Pause()]
    with pytest.raises(Interrupted) as error, Halt(pauses) as halt:
        halt.check()
        assert halt.number == 0
        send(number)
        assert [pause.at for pause in pauses] == [-math.inf] * 2
        halt.check()
    assert (error.value.number, error.value.safe) == (number, True)


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_the_second_signal_raises_at_once(first, second):
    heed()
    with pytest.raises(Interrupted) as error, Halt([Pause()]):
        send(first)
        send(second)
        pytest.fail("it went on")
    assert (error.value.number, error.value.safe) == (second, False)


def test_a_step_that_takes_too_long_is_torn(monkeypatch):
    monkeypatch.setattr(interrupts, "PATIENCE", 0.05)
    heed()
    began = time.monotonic()
    with pytest.raises(Interrupted) as error, Halt([Pause()]):
        send(signal.SIGTERM)
        while time.monotonic() < began + 20:
            pass
    assert (error.value.number, error.value.safe) == (signal.SIGTERM, False)
    assert time.monotonic() - began >= 0.05


def test_patience_is_short_enough_for_two_seconds():
    assert 0.5 <= interrupts.PATIENCE <= 1.5


def test_a_halt_leaves_everything_as_it_was(monkeypatch):
    monkeypatch.setattr(interrupts, "PATIENCE", 0.05)
    heed()
    before = now()
    with Halt([]):
        assert now() != before
    assert now() == before
    with Halt([]):
        send(signal.SIGINT)
    assert now() == before  # and the alarm is off
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    time.sleep(0.1)
    with pytest.raises(Interrupted):
        send(signal.SIGINT)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_counts_though_its_exception_was_lost(number):
    # OmegaConf swallows what comes while it validates, Python what comes in a callback
    heed()
    check()
    with suppress(BaseException):
        send(number)
    with pytest.raises(Interrupted) as error:
        check()
    assert (error.value.number, error.value.safe) == (number, False)
    with pytest.raises(Interrupted) as error, Halt([Pause()]) as halt:
        halt.check()
    assert (error.value.number, error.value.safe) == (number, True)
    heed()  # as for a new command
    check()
    with Halt([]) as halt:
        halt.check()


def test_where_signals_are_not_ours_nothing_is_installed():
    before = now()
    with Halt([pause := Pause()]):
        assert now() == before
        with pytest.raises(KeyboardInterrupt) as error:
            send(signal.SIGINT)
    assert now() == before
    assert type(error.value) is KeyboardInterrupt
    assert pause.at == math.inf


TORN = """
import os, signal
from nnlab.runs.interrupts import heed
class Archive:
    def __del__(self):
        raise ValueError("half written")
def torn():
    archive = Archive()
    os.kill(os.getpid(), signal.SIGINT)
    archive.close()
heed()
try:
    torn()
except KeyboardInterrupt as error:
    print(error)
"""


def test_what_is_torn_does_not_complain_when_it_is_thrown_away():
    # as a ZipFile does, one of whose files is being written
    done = subprocess.run([sys.executable, "-c", TORN], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("SIGINT\n", "")

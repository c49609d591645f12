import json
import os
import platform
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from nnlab.runs import owner as module
from nnlab.runs.owner import Owner

SAYS_WHO_IT_IS = """
import json, time
from nnlab.runs.owner import Owner
print(json.dumps(Owner.here().plain), flush=True)
time.sleep(100)
"""


@contextmanager
def process():
    """A process, and what it says of itself."""
    with subprocess.Popen(
        [sys.executable, "-c", SAYS_WHO_IT_IS], stdout=subprocess.PIPE, text=True
    ) as started:
        try:
            yield started, Owner.of(json.loads(started.stdout.readline()))
        finally:
            started.kill()


def test_this_process_lives():
    here = Owner.here()
    assert here == Owner.here()
    assert (here.pid, here.host) == (os.getpid(), platform.node())
    assert here.started
    assert here.boot
    assert here.gone() is None
    assert str(here) == f"process {os.getpid()} on {platform.node()}"


def test_a_process_lives_until_it_is_killed_also_while_it_is_stopped():
    with process() as (started, owner):
        assert owner.pid == started.pid
        assert owner.gone() is None
        started.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, started.pid, os.WSTOPPED | os.WNOWAIT)
        assert owner.gone() is None
        started.send_signal(signal.SIGCONT)
        started.kill()
        os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
        assert owner.gone() == f"process {started.pid} is gone"  # a zombie by now
    assert owner.gone() == f"process {started.pid} is gone"


GONE = {  # what differs from this process: what shows that it is gone
    "another number": ({"pid": 2**22 + 1}, "process 4194305 is gone"),  # above Linux's highest
    "a number that cannot be": ({"pid": 10**30}, f"process {10**30} is gone"),
    "another start": ({"started": "1"}, f"process {os.getpid()} is another one now"),
    "another start of the machine": ({"boot": "x"}, f"{platform.node()} was started again since"),
    "both": ({"boot": "x", "pid": 1}, f"{platform.node()} was started again since"),
    "another machine": ({"host": "elsewhere", "boot": "x", "pid": 2**22 + 1}, None),
    "a start that was not told": ({"started": ""}, None),
    "a machine's start that was not told": ({"boot": ""}, None),
    "no process": ({"pid": 0}, None),
    "a group": ({"pid": -1}, None),
}


@pytest.mark.parametrize("case", GONE)
def test_what_shows_that_a_process_is_gone(case):
    differing, evidence = GONE[case]
    assert replace(Owner.here(), **differing).gone() == evidence


def test_a_process_that_the_system_hides_lives(monkeypatch):
    """With hidepid, /proc has no entry for a process of another user; a signal finds it."""
    here = Owner.here()

    def of_another_user(pid, number):
        raise PermissionError

    monkeypatch.setattr(module.os, "kill", of_another_user)
    monkeypatch.setattr(module, "Path", lambda text: Path("/nowhere"))
    monkeypatch.setattr(module, "_said", lambda *command: None)
    assert here.gone() is None


def test_a_name_may_hold_brackets_and_spaces(monkeypatch, tmp_path):
    (tmp_path / "stat").write_text("7 (a) R (b) S 1 " + " ".join(map(str, range(5, 60))))
    monkeypatch.setattr(module.os, "kill", lambda pid, number: None)
    monkeypatch.setattr(module, "Path", lambda text: tmp_path / "stat")
    assert module._started(7) == "22"


def test_an_owner_comes_back_from_plain_data_and_from_tags():
    here = Owner.here()
    assert Owner.of(here.plain) == here
    assert set(here.tags) == {"nnlab.pid", "nnlab.started", "nnlab.boot", "nnlab.host"}
    assert Owner.of_tags({**here.tags, "nnlab.run": "abc"}) == here


@pytest.mark.parametrize("plain", [{}, {"pid": 3}, {"pid": "x", "started": "", "boot": ""}])
def test_an_owner_that_is_not_said_is_unknown_and_may_live(plain):
    unknown = Owner.of(plain)
    assert unknown.gone() is None
    assert unknown.tags == {}
    assert str(unknown) == "an unknown process"


def test_ps_tells_where_there_is_no_proc(monkeypatch):
    monkeypatch.setattr(module, "Path", lambda text: Path("/nowhere"))
    monkeypatch.setattr(module, "_said", lambda *command: " ".join(command))
    assert module._started(os.getpid()) == f"ps -o lstart= -p {os.getpid()}"


def test_a_command_that_fails_says_nothing():
    assert module._said("nnlab-has-no-such-command") is None
    assert module._said("false") is None
    assert module._said("true") is None
    assert module._said("echo", "word") == "word"

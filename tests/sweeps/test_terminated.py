"""A trial that is terminated by somebody else has failed; the sweep goes on."""

import os
import signal
from contextlib import closing, suppress
from pathlib import Path

from nnlab.runs.compose import compose
from nnlab.runs.environment import Environment
from nnlab.sweeps.engine import LocalEngine
from nnlab.sweeps.trial import Job
from nnlab.training.report import Report

FACTS = {"nnlab": "0", "git": {"commit": None, "dirty": None}}


def children(pid):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(stat.parent.name))
    return found


def test_a_trial_that_gets_sigterm_has_failed(tmp_path):
    def terminate(message):
        if isinstance(message, Report):
            for server in children(os.getpid()):
                for trial in children(server):
                    os.kill(trial, signal.SIGTERM)
        return True

    config = compose(["data=iris", "tracking=none", "stopping.max_epochs.epochs=1000000"])
    job = Job(0, {**config, "store": str(tmp_path)}, "study", Environment(FACTS, ""))
    with closing(LocalEngine(1)) as engine:
        assert engine.submit(job, terminate).result(60).state == "FAILED"

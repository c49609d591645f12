"""Trials with faults, run in the children of an engine: what a trial's number says happens to it.

Imported by name there, so this is a module beside the tests.
"""

import ctypes
import os
import signal
import time
from pathlib import Path

from nnlab.sweeps import trial
from nnlab.training.trainer import Training

KINDS = ("well", "nan", "raise", "exit", "segfault", "hang", "stuck", "killed")
SOUND = Training.advance


def run_trial(job, channel):
    """Run the job with the fault that its number says, after the second evaluation."""
    kind = KINDS[job.number % len(KINDS)]

    def advance(self, state, *rest):
        if state.step:
            happen(kind, state)
        return SOUND(self, state, *rest)

    Training.advance = advance
    trial.run_trial(job, channel)


def happen(kind, state):
    """The fault."""
    match kind:
        case "nan":
            state.theta[...] = float("nan")
        case "raise":
            raise ValueError("no [such] luck")
        case "exit":
            os._exit(1)
        case "segfault":
            ctypes.string_at(0)
        case "hang":
            while True:
                time.sleep(0.01)
        case "stuck":  # as in native code that never returns
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            while True:
                time.sleep(0.01)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)


def once(job, channel):
    """Every trial's first attempt raises, the next one does not."""
    marker = Path(job.config["store"]) / f"tried-{job.number}"
    if not marker.exists():
        marker.touch()
        Training.advance = lambda self, state, *rest: happen("raise", state)
    trial.run_trial(job, channel)

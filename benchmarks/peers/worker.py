"""A peer in a process of its own: it says its first losses, and then trains whenever it is asked.

    python -m benchmarks.peers.worker CASE PEER THREADS

It answers on a line of JSON each: first {"losses": [...], "examples": n} or {"absent": why}; then,
for each line "seconds" it is given, {"wall": [...], "cpu": [...]}, the seconds of each epoch.
"""

import contextlib
import json
import os
import sys
import time
import warnings
from typing import Any

from nnlab.runs.runtime import pin

AGAIN = 20
"""After so many epochs it begins anew: nobody is timed on a network that has nothing to learn."""


def main() -> None:
    """Serve until there is no input."""
    case, name, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    keep_to(threads)
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    try:
        peer, said = prepared(case, name, threads)
    except Exception as error:
        reason = (str(error).strip() or "no reason told").splitlines()[0]
        say(answers, {"absent": f"{type(error).__name__}: {reason}"})
        return
    say(answers, said)
    for line in sys.stdin:
        say(answers, timed(peer, float(line)))


def keep_to(threads: int) -> None:
    """No library may use more cores than it has threads; said before one is loaded."""
    pin(threads)
    eigen = str(threads > 1).lower()
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={eigen}"
    os.environ["JAX_PLATFORMS"] = "cpu"
    with contextlib.suppress(AttributeError, OSError):  # not every system can
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[-threads:])


def prepared(case: str, name: str, threads: int) -> tuple[Any, dict[str, Any]]:
    """The peer, warm, and what it says of itself."""
    from benchmarks.peers.cases import Problem
    from benchmarks.peers.peer import load

    problem = Problem(case)
    peer = load(name)(problem, threads)
    losses = list(peer.first())
    peer.epoch(1)
    return peer, {"losses": losses, "examples": len(problem.y)}


def timed(peer: Any, seconds: float) -> dict[str, list[float]]:
    """The times of epochs that together took so many seconds, at least two."""
    wall: list[float] = []
    cpu: list[float] = []
    while sum(wall) < seconds or len(wall) < 2:
        if len(wall) % AGAIN == 0:
            peer.start()
        began, used = time.perf_counter(), time.process_time()
        peer.epoch(len(wall) % AGAIN)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    return {"wall": wall, "cpu": cpu}


def say(answers: Any, what: dict[str, Any]) -> None:
    """One line."""
    answers.write(json.dumps(what) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()

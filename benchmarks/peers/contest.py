"""Peers that train the same case in turn, round after round, each in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

from benchmarks.peers.peer import LIMITS, OURS

ROOT = Path(__file__).parents[2]
TOLERANCE, LOOSE = 1e-4, {"scikit-learn": 1e-3}
"""Of the first losses, relative: float32 in another order of sums. scikit-learn's Adam adds epsilon
before the bias is corrected, which is a larger one in the first steps."""


@dataclass
class Speeds:
    """Of one peer: examples a second in its best epoch of each round."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """By processor time, of all its threads together."""
    absent: str = ""
    """Why it does not run here."""


class Worker:
    """The process of one peer."""

    def __init__(self, case: str, peer: str, threads: int) -> None:
        command = [sys.executable, "-m", "benchmarks.peers.worker", case, peer, str(threads)]
        pipe = subprocess.PIPE
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            command,
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        )
        self.said = self.heard()

    def heard(self) -> dict[str, Any]:
        """Its next answer; an empty one tells that it is gone."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"absent": "its process ended"}

    def round(self, seconds: float) -> dict[str, Any]:
        """The times of its epochs."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return self.heard()

    def close(self) -> None:
        """It ends."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def contest(
    case: str, peers: Sequence[str], threads: int, rounds: int, seconds: float
) -> dict[str, Speeds]:
    """Time them in turn, another one first in each round.

    Raises `ValueError` where one does not train what nnlab trains.
    """
    found = {peer: Speeds() for peer in peers}
    workers: dict[str, Worker] = {}
    try:
        for peer in peers:
            workers[peer] = Worker(case, peer, threads)
            found[peer].absent = workers[peer].said.get("absent", "")
        present = [peer for peer in peers if not found[peer].absent]
        check({peer: workers[peer].said["losses"] for peer in present})
        for k in range(rounds):
            for peer in present[k % len(present) :] + present[: k % len(present)]:
                said, examples = workers[peer].round(seconds), workers[peer].said["examples"]
                if "absent" in said:
                    raise ValueError(f"{peer}, {case}: {said['absent']} while it was timed")
                found[peer].wall.append(examples / min(said["wall"]))
                found[peer].cpu.append(examples / min(said["cpu"]))
    finally:
        for worker in workers.values():
            worker.close()
    return found


def check(losses: Mapping[str, Sequence[float]]) -> None:
    """Raise `ValueError` unless all had nnlab's first losses (of a mean alone: its mean), so that
    the same training is timed."""
    if OURS not in losses:
        return
    wanted = losses[OURS]
    for peer, got in losses.items():
        if peer in LIMITS:
            continue
        if len(got) not in (1, len(wanted)):
            raise ValueError(f"{peer} told {len(got)} losses of {len(wanted)}")
        pairs = zip(got, wanted if len(got) > 1 else [fmean(wanted)], strict=True)
        for step, (theirs, ours) in enumerate(pairs):
            if not abs(theirs - ours) <= LOOSE.get(peer, TOLERANCE) * abs(ours):
                raise ValueError(
                    f"all peers train the same, but the loss of step {step} is {theirs} of "
                    f"{peer} and {ours} of {OURS}"
                )


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """How many times as fast, the median of the rounds: both had the same noise in one."""
    return median(mine / other for mine, other in zip(ours, theirs, strict=True))

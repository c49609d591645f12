"""What tracking costs a training: with MLflow's database, with a server that is dead or hung.

    python -m benchmarks.tracking [--rounds N] [--seconds S] [--steps N] [--json FILE]

In each round the same training is run once in each way, one after another, each first in turn, and
compared with the untracked one of that round; the table has medians over the rounds. A step's time
is the median between two reports, as the training's caller gets them; a stall is the longest time
between two reports beyond the longest of the untracked one. "untracked again" is the noise of the
machine. A figure that is missed is marked, and the exit code stays 0.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.figure import Figure, save, show
from rich.console import Console
from rich.table import Table

NNLAB = str(Path(sys.executable).with_name("nnlab"))
HUNG = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    time.sleep(60)
"""
TRAIN = """
import json, sys, time
from pathlib import Path

from nnlab.runs.compose import compose
from nnlab.runs.runtime import pin_config

config = compose(sys.argv[1:])
pin_config(config)
from nnlab.commands.tracked import Trackers
from nnlab.runs.config import parse
from nnlab.runs.execution import Execution
from nnlab.runs.run import Run

checked = parse(config)
execution = Execution(checked)
times = []
began = time.process_time()
with Trackers() as trackers:
    with Run.of(checked, "train") as run:
        trackers.follow(run.path, checked)
        with execution.recorded(run) as reports:
            for report in reports:
                times.append(time.perf_counter())
                last = report
    used = time.process_time()
gaps = [after - before for before, after in zip(times, times[1:])]
print(json.dumps({"gaps": gaps, "cpu": (used - began) / last.step}))
"""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--steps", type=int, default=100, help="between two reports")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    times: dict[str, list[Times]] = {}
    with hung() as port:
        ways = {
            "untracked": ["tracking=none"],
            "untracked again": ["tracking=none"],
            "SQLite": [],
            "dead server": [f"tracking.uri=http://127.0.0.1:{free_port()}"],
            "hung server": [f"tracking.uri=http://127.0.0.1:{port}"],
        }
        for k in range(options.rounds):
            names = list(ways)
            for name in names[k % len(names) :] + names[: k % len(names)]:
                times.setdefault(name, []).append(
                    training(ways[name], options.seconds, options.steps)
                )
    table(times, options.steps)
    found = figures(times)
    show(found)
    print(f"{options.rounds} rounds, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if options.json:
        save(options.json, found, rounds=options.rounds, steps=options.steps)


@dataclass(frozen=True)
class Times:
    """Of one training."""

    gaps: list[float]
    """Seconds between its reports."""
    cpu: float
    """Seconds of processor time for each step, its journal and reports included."""


def training(overrides: list[str], seconds: float, steps: int) -> Times:
    """A training of so many seconds; returns when its tracking process has ended too."""
    rules = ["stopping=time_budget", f"stopping.time_budget.seconds={seconds}"]
    every = [f"evaluate_every={steps} steps", "checkpoint_every=never"]
    with TemporaryDirectory(ignore_cleanup_errors=True) as store:
        command = [sys.executable, "-c", TRAIN, f"store={store}", *rules, *every, *overrides]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Times(**json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def hung() -> Iterator[int]:
    """The port of a stopped process: the system accepts connections for it, nobody answers."""
    with subprocess.Popen([sys.executable, "-c", HUNG], stdout=subprocess.PIPE, text=True) as made:
        assert made.stdout is not None
        port = int(made.stdout.readline())
        made.send_signal(signal.SIGSTOP)
        try:
            yield port
        finally:
            made.kill()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def figures(times: dict[str, list[Times]]) -> list[Figure]:
    """What is wanted of MLflow's database, by the clock and by processor time."""
    pairs = list(zip(times["SQLite"], times["untracked"], strict=True))
    wall = median(median(one.gaps) / median(base.gaps) for one, base in pairs)
    cpu = median(one.cpu / base.cpu for one, base in pairs)
    stall = median(max(one.gaps) - max(base.gaps) for one, base in pairs)
    again = list(zip(times["untracked again"], times["untracked"], strict=True))
    noise = median(abs(one.cpu / base.cpu - 1) for one, base in again)
    return [
        Figure("tracking costs, by the clock", 100 * (wall - 1), "<=", 2, "%"),
        Figure("tracking costs the training's processor", 100 * (cpu - 1), "<=", 2, "%"),
        Figure("  two untracked trainings differ by", 100 * noise, unit="%"),
        Figure("stall by tracking, a fresh database", 1000 * stall, "<=", 50, "ms"),
    ]


def table(times: dict[str, list[Times]], steps: int) -> None:
    """The table."""
    shown = Table(box=None)
    for name in ("", "ms per step", "ratio", "CPU ratio", "longest gap, ms", "stall, ms"):
        shown.add_column(name, justify="left" if not name else "right")
    plain = times["untracked"]
    for name, rounds in times.items():
        pairs = list(zip(rounds, plain, strict=True))
        step = median(median(one.gaps) for one in rounds) / steps
        ratio = median(median(one.gaps) / median(base.gaps) for one, base in pairs)
        cpu = median(one.cpu / base.cpu for one, base in pairs)
        longest = median(max(one.gaps) for one in rounds)
        stall = median(max(one.gaps) - max(base.gaps) for one, base in pairs)
        numbers = (f"{1000 * step:.4f}", f"{ratio:.3f}", f"{cpu:.3f}")
        shown.add_row(name, *numbers, f"{1000 * longest:.0f}", f"{1000 * stall:.0f}")
    Console().print(shown)


if __name__ == "__main__":
    main()

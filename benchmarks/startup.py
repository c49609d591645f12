"""Start-up times, the default sweep and a vectorised one, measured as a user would meet them.

    python -m benchmarks.startup [--rounds N] [--json FILE]

Times are wall clock on this machine, the median of N rounds; each sweep is run once on a fresh
store. Beside them is the processor time of all processes: divided by the cores it is what the
clock would say of a machine that does nothing else, at best. A figure that is missed is marked, and
the exit code stays 0: machines differ.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.figure import Figure, save, show

from nnlab.runs.journal import Record, read

NNLAB = str(Path(sys.executable).with_name("nnlab"))
MEASURE = """
import ctypes, os, resource, subprocess, sys, time
if sys.platform == "linux":  # children of children come to us, to be counted
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
began = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
wall = time.perf_counter() - began
try:
    while True:
        os.wait()
except ChildProcessError:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(wall, used.ru_utime + used.ru_stime)
"""


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rounds = range(options.rounds)
    sweep, idle, accuracy = default_sweep()
    vectorised, processor = vectorised_sweep()
    first, later, spent = trainings(options.rounds)
    figures = [
        Figure("nnlab --help", median(seconds([NNLAB, "--help"]) for _ in rounds), "<=", 0.3, "s"),
        Figure("import nnlab", median(import_seconds() for _ in rounds), "<=", 0.25, "s"),
        Figure("first training step", first, "<=", 0.8, "s after launch"),
        Figure("second and later `nnlab train`, all in MLflow", later, "<=", 5.0, "s"),
        Figure("  its processor time", spent, unit="s"),
        Figure("vectorised sweep, 200 trials", vectorised, "<=", 30.0, "s"),
        Figure("  its processor time", processor, "<=", 30.0 * (os.cpu_count() or 1), "s"),
        Figure("default sweep, 40 trials", sweep, "<=", 60.0, "s"),
        Figure("  of which not training", idle, "<=", 15.0, "s"),
        Figure("  test accuracy of the best", 100 * accuracy, ">=", 97.0, "%"),
    ]
    show(figures)
    print(f"{options.rounds} rounds, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if options.json:
        save(options.json, figures, rounds=options.rounds)


def seconds(command: list[str]) -> float:
    """Wall time of a command."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def import_seconds() -> float:
    """Of `import nnlab` beyond an interpreter that imports nothing."""
    return seconds([sys.executable, "-c", "import nnlab"]) - seconds([sys.executable, "-c", ""])


def trainings(rounds: int) -> tuple[float, float, float]:
    """From the launch of `nnlab train`, tracked, to the report of its first update, on a fresh
    store; and all of the default `nnlab train`, a second and later time on one store, by the clock
    and in processor time."""
    first, later, spent = [], [], []
    one = ["evaluate_every=1 step", "stopping=max_steps", "stopping.max_steps.steps=1"]
    for _ in range(rounds):
        with TemporaryDirectory() as store:
            began = time.time()
            subprocess.run(
                [NNLAB, "train", f"store={store}", *one], check=True, stdout=subprocess.DEVNULL
            )
            (journal,) = Path(store, "runs").glob("*/journal.jsonl")
            (report,) = (r for r in read(journal) if r["type"] == "report" and r["step"] == 1)
            first.append(float(report["time"]) / 1000 - began)
            one_later, processor = with_processor([NNLAB, "train", f"store={store}"])
            later.append(one_later)
            spent.append(processor)
    return median(first), median(later), median(spent)


def vectorised_sweep() -> tuple[float, float]:
    """Seconds by the clock and of the processors, all in MLflow."""
    with TemporaryDirectory() as store:
        sweep = ["sweep", "digits", "engine=vectorized", "trials=200", f"store={store}"]
        return with_processor([NNLAB, *sweep])


def with_processor(command: list[str]) -> tuple[float, float]:
    """Wall time of a command, and processor time of it and all that it has begun, those
    that it does not wait for too (on Linux)."""
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, *command], check=True, capture_output=True, text=True
    )
    wall, processor = measured.stdout.split()[-2:]
    return float(wall), float(processor)


def default_sweep() -> tuple[float, float, float]:
    """Seconds in all, seconds in which no trial ran, and the best trial's test accuracy."""
    with TemporaryDirectory() as store:
        total = seconds([NNLAB, "sweep", f"store={store}"])
        journals = [read(path) for path in Path(store, "runs").glob("*/journal.jsonl")]
    (study,) = (journal for journal in journals if journal[0]["kind"] == "study")
    trials = {journal[0]["run"]: journal for journal in journals if journal is not study}
    told = [r for r in study if r["type"] == "told" and r["state"] == "COMPLETE"]
    best = trials[min(told, key=lambda record: record["values"][0])["run"]]
    (last,) = (r for r in best if r["type"] == "report" and "test/accuracy_ema" in r["metrics"])
    return total, total - busy(list(trials.values())), last["metrics"]["test/accuracy_ema"]


def busy(trials: list[list[Record]]) -> float:
    """Seconds in which at least one trial ran: the union of their times."""
    spans = sorted((trial[0]["time"], trial[-1]["time"]) for trial in trials)
    total, until = 0, 0
    for start, end in spans:
        total += max(0, end - max(start, until))
        until = max(until, end)
    return total / 1000


if __name__ == "__main__":
    main()

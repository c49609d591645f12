"""Start-up times and the default sweep, measured as a user would meet them.

    python benchmarks/startup.py [--rounds N] [--json FILE]

Times are wall clock on this machine, the median of N rounds; the sweep is run once on a fresh
store. A figure that is missed is marked, and the exit code stays 0: machines differ.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from nnlab.runs.journal import Record, read

NNLAB = str(Path(sys.executable).with_name("nnlab"))


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rounds = range(options.rounds)
    sweep, idle, accuracy = default_sweep()
    figures = [
        ("nnlab --help", median(seconds([NNLAB, "--help"]) for _ in rounds), "<=", 0.3, "s"),
        ("import nnlab", median(import_seconds() for _ in rounds), "<=", 0.25, "s"),
        ("first training step", median(first_step() for _ in rounds), "<=", 1.2, "s after launch"),
        ("default sweep, 40 trials", sweep, "<=", 60.0, "s"),
        ("  of which not training", idle, "<=", 15.0, "s"),
        ("  test accuracy of the best", 100 * accuracy, ">=", 97.0, "%"),
    ]
    table = Table(box=None)
    for name in ("figure", "measured", "wanted", "unit", ""):
        table.add_column(name, justify="right" if name == "measured" else "left")
    for name, got, relation, wanted, unit in figures:
        met = got <= wanted if relation == "<=" else got >= wanted
        table.add_row(name, f"{got:.2f}", f"{relation} {wanted:g}", unit, "" if met else "missed")
    load = os.getloadavg()[0]
    console = Console()
    console.print(table)
    console.print(f"{options.rounds} rounds, {os.cpu_count()} cores, load {load:.1f} at the end")
    if options.json:
        options.json.write_text(json.dumps({name: got for name, got, *_ in figures}, indent=2))


def seconds(command: list[str]) -> float:
    """Wall time of a command."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def import_seconds() -> float:
    """Of `import nnlab` beyond an interpreter that imports nothing."""
    return seconds([sys.executable, "-c", "import nnlab"]) - seconds([sys.executable, "-c", ""])


def first_step() -> float:
    """From the launch of `nnlab train`, tracked, to the report of its first update."""
    with TemporaryDirectory() as store:
        began = time.time()
        overrides = ["evaluate_every=1 step", "stopping=max_steps", "stopping.max_steps.steps=1"]
        command = [NNLAB, "train", f"store={store}", *overrides]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (journal,) = Path(store, "runs").glob("*/journal.jsonl")
        (report,) = (r for r in read(journal) if r["type"] == "report" and r["step"] == 1)
        return float(report["time"]) / 1000 - began


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

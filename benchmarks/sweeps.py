"""What a sweep costs beside its training: many short random trials.

    python benchmarks/sweeps.py [--trials N] [--workers K] [--tracked]

From the first trial asked for to the last one told, a trial has a slot for some time. The driver's
overhead is the time that a slot is free between two trials; the trial's is what it has its slot for
beyond its training: its process is begun, its run's files are written and synced, each report is
answered. The driver's memory is looked at whenever a tenth is done. `--tracked` sends all to
MLflow, and asks its server for the pages that its interface shows first. A figure that is missed is
marked, and the exit code stays 0.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import Request, urlopen

from rich.console import Console
from rich.table import Table

from nnlab.runs.journal import read

NNLAB = str(Path(sys.executable).with_name("nnlab"))
SWEEP = """
experiment: [data=iris, tracking={tracking}, stopping=max_steps, stopping.max_steps.steps=100,
  evaluate_every="50 steps"]
metric: validation/loss
sampler: random
pruner: median
parameters:
  optimizer.lr: {{low: 1e-4, high: 1e-1, log: true}}
  optimizer.momentum: {{low: 0.1, high: 0.9}}
"""


def main() -> None:
    """Run it and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tracked", action="store_true")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        Path(folder, "sweeps").mkdir()
        Path(folder, "sweeps", "many.yaml").write_text(
            SWEEP.format(tracking="mlflow" if options.tracked else "none")
        )
        began = time.perf_counter()
        memory = watched(folder, options.trials, options.workers)
        wall = time.perf_counter() - began
        (study, *_), training = journals(Path(folder, "mlruns", "runs"))
        first = next(record for record in study if record["type"] == "asked")
        last = next(record for record in reversed(study) if record["type"] == "told")
        spent = (last["time"] - first["time"]) / 1000
        pages = list(shown(folder)) if options.tracked else []
    each = 1000 * training / options.trials
    told = [record for record in study if record["type"] == "told"]
    slot = 1000 * sum(record["seconds"] for record in told) / len(told)
    driver = 1000 * spent * options.workers / options.trials - slot
    table = Table(box=None)
    for name in ("figure", "measured", "wanted", "unit", ""):
        table.add_column(name, justify="right" if name == "measured" else "left")
    tenth, whole = memory[0], memory[-1]
    rows = [
        ("trials", options.trials, "", ""),
        ("wall", f"{wall:.1f}", "", "s"),
        ("training", f"{each:.1f}", "", "ms per trial"),
        ("slot", f"{slot:.1f}", "", "ms per trial"),
        ("driver", f"{driver:.1f}", 15, "ms per trial"),
        ("trial, beside its training", f"{slot - each:.1f}", "", "ms per trial"),
        ("memory after a tenth", f"{tenth / 1e6:.0f}", "", "MB"),
        ("memory at the end", f"{whole / 1e6:.0f}", "", "MB"),
        *((page, f"{seconds:.2f}", 2, "s") for page, seconds in pages),
    ]
    for name, got, wanted, unit in rows:
        missed = wanted != "" and float(got) > wanted
        table.add_row(name, str(got), f"<= {wanted}" if wanted else "", unit, "missed" * missed)
    console = Console()
    console.print(table)
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end")


def watched(folder: str, trials: int, workers: int) -> list[int]:
    """Run the sweep; the driver's memory in bytes whenever another tenth of the trials is done."""
    command = [NNLAB, "sweep", "many", f"trials={trials}", f"workers={workers}"]
    memory, done = [], 0
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            done += line.startswith("trial ")
            if line.startswith("trial ") and done % max(1, trials // 10) == 0:
                pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
                memory.append(int(pages) * os.sysconf("SC_PAGE_SIZE"))
    return memory


def shown(folder: str) -> Iterator[tuple[str, float]]:
    """What MLflow's interface asks for first, and how long its server takes: all runs of the
    experiment, and the trials of the study, 100 a page."""
    with served(folder) as address:

        def ask(what: str, **fields: Any) -> Any:
            request = Request(
                f"{address}/api/2.0/mlflow/{what}",
                json.dumps(fields).encode(),
                {"Content-Type": "application/json"},
            )
            with urlopen(request, timeout=120) as answer:
                return json.load(answer)

        experiments = ask("experiments/search", max_results=10)["experiments"]
        every = [one["experiment_id"] for one in experiments]
        newest = {"experiment_ids": every, "max_results": 100, "order_by": ["start_time DESC"]}
        study = ask("runs/search", experiment_ids=every, filter="tags.`nnlab.kind` = 'study'")
        parent = study["runs"][0]["info"]["run_id"]
        nested = f"tags.`mlflow.parentRunId` = '{parent}'"
        for page, fields in (("newest runs", {}), ("trials of the study", {"filter": nested})):
            began = time.perf_counter()
            runs = ask("runs/search", **newest, **fields)["runs"]
            yield f"MLflow: {len(runs)} {page}", time.perf_counter() - began


@contextmanager
def served(folder: str) -> Iterator[str]:
    """`nnlab ui`, once it answers; its address."""
    command = [NNLAB, "ui", "--port", "5987"]
    silent = subprocess.DEVNULL
    with subprocess.Popen(
        command, cwd=folder, stdout=silent, stderr=silent, start_new_session=True
    ) as process:
        try:
            address, until = "http://127.0.0.1:5987", time.monotonic() + 120
            while time.monotonic() < until:
                with suppress(OSError), urlopen(f"{address}/health", timeout=5):
                    break
                time.sleep(0.2)
            yield address
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def journals(runs: Path) -> tuple[list[list[dict[str, Any]]], float]:
    """The study's journal, and the seconds that all trials trained."""
    studies, training = [], 0.0
    for path in runs.glob("*/journal.jsonl"):
        records = read(path)
        if records[0]["kind"] == "study":
            studies.append([dict(record) for record in records])
        else:
            reports = [record for record in records if record["type"] == "report"]
            training += reports[-1]["seconds"] if reports else 0.0
    return studies, training


if __name__ == "__main__":
    main()

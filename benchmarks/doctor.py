"""How long `nnlab doctor` and `nnlab gc` take on a store of many runs, all of them in MLflow.

    python benchmarks/doctor.py [--runs N] [--rounds N] [--json FILE]

The first run is trained and shown in MLflow's own SQLite database; the others are copies of it, in
the store and in the database, with ids of their own. Times are wall clock of the whole command. A
figure that is missed is marked, and the exit code stays 0: machines differ.
"""

import argparse
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from nnlab.runs.journal import encode, read

NNLAB = str(Path(sys.executable).with_name("nnlab"))
WANTED = 3.0
TABLES = ("runs", "tags", "params", "metrics", "latest_metrics")


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        grow(Path(folder), options.runs)
        figures = {
            f"nnlab {command}": median(seconds(command, folder) for _ in range(options.rounds))
            for command in ("doctor", "gc")
        }
    table = Table(box=None)
    for name in ("figure", "measured", "wanted", "unit", ""):
        table.add_column(name, justify="right" if name == "measured" else "left")
    doctor, gc = figures.values()
    missed = "" if doctor <= WANTED else "missed"
    table.add_row("nnlab doctor", f"{doctor:.2f}", f"<= {WANTED:g}", "s", missed)
    table.add_row("nnlab gc, which lists them all", f"{gc:.2f}", "", "s", "")
    console = Console()
    console.print(table)
    console.print(
        f"{options.runs:,} runs, median of {options.rounds} rounds, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f} at the end"
    )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


def grow(folder: Path, runs: int) -> None:
    """Make a store of that many runs in `folder`/mlruns."""
    subprocess.run([NNLAB, "train"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (first,) = (folder / "mlruns/runs").iterdir()
    with closing(sqlite3.connect(folder / "mlruns/mlflow.db")) as database:
        for _ in range(runs - 1):
            copy(first, secrets.token_hex(6), secrets.token_hex(16), database)
        database.commit()


def copy(first: Path, run: str, mlflow: str, database: sqlite3.Connection) -> None:
    """A copy of a run, with another id of ours and of MLflow's."""
    path = shutil.copytree(first, first.with_name(run))
    start, *rest = read(path / "journal.jsonl")
    records = [{**start, "run": run, "name": f"{start['name'][:-4]}{run[:4]}"}, *rest]
    lines = ({key: value for key, value in record.items() if key != "crc"} for record in records)
    (path / "journal.jsonl").write_bytes(b"".join(encode(line) + b"\n" for line in lines))
    (state,) = json.loads((path / "mlflow.json").read_text()).items()
    old = state[1]["run"]
    (path / "mlflow.json").write_text(json.dumps({state[0]: {**state[1], "run": mlflow}}))
    for table in TABLES:
        names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        chosen = ", ".join("?" if name == "run_uuid" else f'"{name}"' for name in names)
        query = f"INSERT INTO {table} SELECT {chosen} FROM {table} WHERE run_uuid = ?"
        database.execute(query, (mlflow, old))
    query = "UPDATE tags SET value = ? WHERE key = 'nnlab.run' AND run_uuid = ?"
    database.execute(query, (run, mlflow))


def seconds(command: str, folder: str) -> float:
    """Wall time of a command."""
    began = time.perf_counter()
    subprocess.run([NNLAB, command], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

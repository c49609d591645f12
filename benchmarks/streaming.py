"""Data larger than memory: how fast a file is trained on that is read as it is needed.

    python benchmarks/streaming.py [--rounds N] [--rows N] [--folder DIR] [--huge GB] [--json FILE]

The same files (`.npy` of --rows x 784 float32, Parquet of 4 x --rows x 32) are trained on in
memory and streamed from a warm page cache: 784-128-10 (32-128-10), batches of 128, momentum, one
thread of BLAS; rounds in turn, each in a process of its own. Steps alone, and an epoch with its
evaluation of the training and validation parts; of both also the time of all processors together,
which is what it would take on one core. The reader is a thread: with other programs on every core
it waits for its turn. --huge GB trains, by `nnlab train`, on a sparse `.npy` of so many GB for
3,000 steps, evaluations included: what it takes of memory. A figure that is missed is marked, and
the exit code stays 0: machines differ.
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
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table as Printed

from nnlab.core.averaging import NoAveraging
from nnlab.core.losses import CrossEntropy
from nnlab.core.model import MLP
from nnlab.core.optimizers import Momentum
from nnlab.core.penalties import NoPenalty
from nnlab.core.schedules import Constant
from nnlab.data.sources.table import Table
from nnlab.training.experiment import Experiment
from nnlab.training.stopping import MaxEpochs
from nnlab.training.trainer import Training

NNLAB = str(Path(sys.executable).with_name("nnlab"))
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL")}
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Runs a command from a small process: a child begins with the peak of its parent."""
WINDOWS = {"npy": 16_384, "parquet": 131_072}


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=350_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--huge", type=float, default=0, metavar="GB")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(trained(Path(options.child[0]), int(options.child[1]))))
        return
    figures: list[tuple[str, float, str, float, str]] = []
    with TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        for kind, path in (
            ("npy", array_file(folder / "examples.npy", options.rows)),
            ("parquet", parquet_file(folder / "examples.parquet", 4 * options.rows)),
        ):
            figures += compared(kind, path, options.rounds)
            path.unlink()
        if options.huge:
            figures += huge(folder / "huge.npy", int(options.huge * 1e9 / (785 * 4)))
    table = Printed(box=None)
    for name in ("figure", "measured", "wanted", "unit", ""):
        table.add_column(name, justify="right" if name == "measured" else "left")
    for name, got, relation, wanted, unit in figures:
        met = got >= wanted if relation == ">=" else got <= wanted
        shown = f"{relation} {wanted:g}" if relation else ""
        table.add_row(name, f"{got:.2f}", shown, unit, "" if met or not relation else "missed")
    console = Console()
    console.print(table)
    load = os.getloadavg()[0]
    console.print(f"{options.rounds} rounds, {os.cpu_count()} cores, load {load:.1f} at the end")
    if options.json:
        options.json.write_text(json.dumps({name: got for name, got, *_ in figures}, indent=2))


def compared(kind: str, path: Path, rounds: int) -> list[tuple[str, float, str, float, str]]:
    """Ratios of the times in memory to those of the stream, and the memory of both."""
    ways = {"memory": 0, "stream": WINDOWS[kind]}
    measured: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, window in ways.items():
            warm(path)
            child = [sys.executable, __file__, "--child", str(path), str(window)]
            environment = os.environ | ONE_THREAD
            done = subprocess.run(
                child, check=True, stdout=subprocess.PIPE, text=True, env=environment
            )
            measured[way].append(json.loads(done.stdout.splitlines()[-1]))
    of = {
        way: {key: median(one[key] for one in found) for key in found[0]}
        for way, found in measured.items()
    }
    return [
        (f"{kind}: speed of steps", of["memory"]["steps"] / of["stream"]["steps"], ">=", 0.8, ""),
        (
            f"{kind}: speed of an epoch and its evaluation",
            of["memory"]["epoch"] / of["stream"]["epoch"],
            ">=",
            0.8,
            "of that in memory",
        ),
        *(
            (f"  {way}: {key}", of[way][key], "", 0.0, unit)
            for key, unit in (
                ("step", "ms"),
                ("step, processor", "ms"),
                ("epoch", "s"),
                ("epoch, processor", "s"),
                ("ready", "s"),
                ("peak", "MB"),
            )
            for way in ways
        ),
    ]


def warm(path: Path) -> None:
    """Have the file in the page cache."""
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass


def trained(path: Path, window: int) -> dict[str, float]:
    """What an epoch took in this process."""
    experiment = Experiment(
        model=MLP((128,)),
        loss=CrossEntropy(),
        penalty=NoPenalty(),
        optimizer=Momentum(0.05),
        schedule=Constant(),
        data=Table(
            path=str(path), target="target" if path.suffix == ".parquet" else "", window=window
        ),
        averaging=NoAveraging(),
        stopping=(MaxEpochs(2),),
        batch_size=128,
    )
    began = time.perf_counter()
    training = Training(experiment)
    state = training.start()
    ready, before = time.perf_counter(), time.process_time()
    reports = training.run(state)
    next(reports)
    measured, used = time.perf_counter(), time.process_time()
    report = next(reports)
    epoch, work = time.perf_counter() - measured, time.process_time() - used
    reports.close()
    steps, steps_work = epoch - (measured - ready), work - (used - before)
    return {
        "ready": ready - began,
        "epoch": epoch,
        "steps": steps,
        "step": 1000 * steps / report.step,
        "step, processor": 1000 * steps_work / report.step,
        "epoch, processor": work,
        "peak": int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1e3,
    }


def array_file(path: Path, rows: int) -> Path:
    """Ten clouds in 784 dimensions; the last column is the label."""
    with path.open("wb") as file:  # not mapped: a child would begin with the peak of its parent
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, 785)}
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks(rows, 784):
            block.tofile(file)
    return path


def parquet_file(path: Path, rows: int) -> Path:
    """Ten clouds in 32 dimensions, in row groups of 16,384."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    names = [*(f"x{k}" for k in range(32)), "target"]
    writer: Any = None
    for block in blocks(rows, 32):
        table = pa.table([np.ascontiguousarray(column) for column in block.T], names)
        writer = writer or ParquetWriter(path, table.schema)
        writer.write_table(table, 16_384)
    writer.close()
    return path


def blocks(rows: int, features: int) -> Any:
    """Rows of inputs and label."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, features))
    for start in range(0, rows, 16_384):
        y = rng.integers(10, size=min(16_384, rows - start))
        x = centres[y] + rng.normal(size=(len(y), features), scale=3)
        yield np.column_stack([x, y]).astype(np.float32)


def huge(path: Path, rows: int) -> list[tuple[str, float, str, float, str]]:
    """A file that takes no disk: zeros, but for a label here and there."""
    array = np.lib.format.open_memmap(path, "w+", np.float32, (rows, 785))
    for k in range(1, 10):
        array[k * 1000 :: 100_000, -1] = k
    del array
    began = time.perf_counter()
    command = [NNLAB, "train", "data=table", f"data.path={path}", f"data.window={WINDOWS['npy']}"]
    command += ["model.hidden=[128]", "batch_size=128", "tracking=none"]
    command += [
        "stopping=[max_steps]",
        "stopping.max_steps.steps=3000",
        f"store={path.parent}/runs",
    ]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *command], check=True, stdout=subprocess.PIPE, text=True
    )
    seconds = time.perf_counter() - began
    peak = int(done.stdout.split()[-1]) / 1e3
    size = path.stat().st_size / 1e9
    return [
        (f"{size:.0f} GB of .npy: peak of `nnlab train`", peak, "<=", 500.0, "MB"),
        (f"{size:.0f} GB of .npy: 3,000 steps, evaluations of all", seconds, "", 0.0, "s"),
    ]


if __name__ == "__main__":
    main()

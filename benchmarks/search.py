"""One search in three ways, from the command to its result: nnlab, joblib with scikit-learn's
`MLPClassifier`, Optuna with PyTorch.

    python -m benchmarks.search [--trials N] [--epochs E] [--workers K] [--rounds R] [--json FILE]

The same budget: so many trials of so many epochs of a 64-32-10 network on the digits, batch 32,
momentum, learning rate, momentum and l2 drawn at random from the same ranges, float32, on as many
cores as there are workers (a process each, one thread; nnlab's driver is on them, too). Every trial
is judged by its accuracy on held-out examples when it ends. Others are written as their users write
them: joblib's processes; Optuna's processes on one journal file. nnlab with `tracking=none`, with
all trials complete in MLflow, and both with `engine=vectorized`. Wall time; rounds are interleaved.
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
from rich.console import Console
from rich.table import Table

from nnlab.data.sources.bundled import Digits
from nnlab.runs.journal import read

NNLAB = str(Path(sys.executable).with_name("nnlab"))
SWEEP = """
experiment: [data=digits, "model.hidden=[32]", batch_size=32, penalty=l2, optimizer=momentum,
  averaging=none, stopping.max_epochs.epochs={epochs}, "evaluate_every={epochs} epochs",
  checkpoint_every=never]
metric: validation/accuracy
direction: maximize
sampler: random
pruner: none
parameters:
  optimizer.lr: {{low: 1e-3, high: 1.0, log: true}}
  optimizer.momentum: {{low: 0.5, high: 0.99}}
  penalty.l2: {{low: 1e-6, high: 1e-2, log: true}}
"""
DATA = """
import sys
import numpy as np
trials, epochs, workers, seed = map(int, sys.argv[1:5])
with np.load(sys.argv[5]) as file:
    x, y, held_x, held_y = (file[name] for name in ("x", "y", "held_x", "held_y"))
"""
SKLEARN = (
    DATA
    + """
import warnings
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

def trial(lr, momentum, l2):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MLPClassifier((32,), solver="sgd", learning_rate_init=lr, momentum=momentum,
            nesterovs_momentum=False, alpha=2 * 32 * l2, batch_size=32, max_iter=epochs, tol=0.0,
            n_iter_no_change=epochs + 1, random_state=0)
        try:
            return model.fit(x, y).score(held_x, held_y)
        except ValueError:  # it diverged
            return 0.0

rng = np.random.default_rng(seed)
drawn = [(10 ** rng.uniform(-3, 0), rng.uniform(0.5, 0.99), 10 ** rng.uniform(-6, -2))
    for _ in range(trials)]
print(max(Parallel(n_jobs=workers)(delayed(trial)(*one) for one in drawn)))
"""
)
TORCH = (
    DATA
    + """
import multiprocessing
import optuna
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

def objective(trial):
    lr = trial.suggest_float("lr", 1e-3, 1.0, log=True)
    momentum = trial.suggest_float("momentum", 0.5, 0.99)
    l2 = trial.suggest_float("l2", 1e-6, 1e-2, log=True)
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum, weight_decay=2 * l2, fused=True)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(epochs):
        for rows in torch.randperm(len(labels)).split(32):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs[rows]), labels[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        found = model(torch.from_numpy(held_x)).argmax(1)
    return float((found == torch.from_numpy(held_y)).float().mean())

def storage():
    return JournalStorage(JournalFileBackend(sys.argv[6]))

def work(k):
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(study_name="search", storage=storage(),
        sampler=optuna.samplers.RandomSampler(seed=seed + k))
    study.optimize(objective, n_trials=trials // workers + (k < trials % workers))

optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(study_name="search", storage=storage(), direction="maximize")
processes = [multiprocessing.get_context("fork").Process(target=work, args=(k,))
    for k in range(workers)]
for process in processes:
    process.start()
for process in processes:
    process.join()
assert len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE])) == trials
print(study.best_value)
"""
)
OURS = {
    "nnlab": ["tracking=none"],
    "nnlab, in MLflow": [],
    "nnlab, vectorized": ["tracking=none", "engine=vectorized"],
    "nnlab, vectorized, in MLflow": ["engine=vectorized"],
}
"""Each way of ours, and what it adds to the command."""
PEERS = {"joblib + scikit-learn": SKLEARN, "Optuna + PyTorch": TORCH}


def main() -> None:
    """Run them in turn, print tables, write JSON if asked."""
    parser = argparse.ArgumentParser("python -m benchmarks.search", description=__doc__)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # all that is started here inherits it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.workers])
    load, ways = os.getloadavg()[0], [*OURS, *PEERS]
    times: dict[str, list[float]] = {way: [] for way in ways}
    best: dict[str, float] = {}
    absent: dict[str, str] = {}
    for k in range(options.rounds):
        for way in ways[k % len(ways) :] + ways[: k % len(ways)]:
            if way in absent:
                continue
            run = ours if way in OURS else theirs
            try:
                seconds, best[way] = run(way, options, k)
                times[way].append(seconds)
            except subprocess.CalledProcessError as error:
                absent[way] = (error.stderr.strip() or "no reason told").splitlines()[-1]
    table = Table(box=None)
    for name in ("", "seconds", "from", "to", "best accuracy, %"):
        table.add_column(name, justify="right" if name else "left")
    for way, rounds in times.items():
        if way in absent:
            table.add_row(way, f"absent: {absent[way][:70]}")
            continue
        row = [f"{number:.1f}" for number in (median(rounds), min(rounds), max(rounds))]
        table.add_row(way, *row, f"{100 * best[way]:.1f}")
    Console(width=110).print(table)
    found = figures({way: rounds for way, rounds in times.items() if rounds})
    show(found)
    settings = {name: getattr(options, name) for name in ("trials", "epochs", "workers", "rounds")}
    said = ", ".join(f"{number} {name}" for name, number in settings.items())
    print(f"{said}; load {load:.1f} before, {os.getloadavg()[0]:.1f} after")
    if options.json:
        save(options.json, found, **settings, load_before=load, seconds=times, absent=absent)


def figures(times: dict[str, list[float]]) -> list[Figure]:
    """What is wanted: how many times as fast as the better of the others, round by round."""
    found = []
    if tracked := times.get("nnlab, in MLflow"):
        found.append(Figure("the search with MLflow", median(tracked), "<=", 30, "s"))
    present = [way for way in PEERS if way in times]
    if not present:
        return found
    better = min(present, key=lambda way: median(times[way]))
    for way in OURS:
        if way in times:
            pairs = zip(times[better], times[way], strict=True)
            faster = median(other / mine for other, mine in pairs)
            wanted = ">=" if "vectorized" in way else ""
            found.append(Figure(f"{way}: times {better}", faster, wanted, 5, "x"))
    return found


def ours(way: str, options: argparse.Namespace, seed: int) -> tuple[float, float]:
    """Seconds of `nnlab sweep`, and its best accuracy."""
    with TemporaryDirectory() as folder:
        Path(folder, "sweeps").mkdir()
        path = Path(folder, "sweeps", "search.yaml")
        path.write_text(SWEEP.format(epochs=options.epochs))
        command = [NNLAB, "sweep", "search", f"trials={options.trials}"]
        command += [f"workers={options.workers}", f"seed={seed}", *OURS[way]]
        seconds = timed(command, folder)[0]
        journals = [read(found) for found in Path(folder).glob("mlruns/runs/*/journal.jsonl")]
    (study,) = (journal for journal in journals if journal[0]["kind"] == "study")
    told = [record for record in study if record["type"] == "told" and record.get("values")]
    return seconds, max(record["values"][0] for record in told)


def theirs(way: str, options: argparse.Namespace, seed: int) -> tuple[float, float]:
    """Seconds of another one's program, and its best accuracy."""
    import numpy as np

    with TemporaryDirectory() as folder:
        data = Digits().split()
        x, held_x = (np.asarray(part.x[:], np.float32) for part in (data.train, data.validation))
        data_file = Path(folder, "digits.npz")
        np.savez(data_file, x=x, held_x=held_x, y=data.train.y, held_y=data.validation.y)
        numbers = [options.trials, options.epochs, options.workers, seed]
        program = Path(folder, "search.py")
        program.write_text(PEERS[way])
        command = [sys.executable, str(program), *map(str, numbers), str(data_file)]
        seconds, printed = timed([*command, str(Path(folder, "study.log"))], folder)
    return seconds, float(printed.splitlines()[-1])


def timed(command: list[str], folder: str) -> tuple[float, str]:
    """Wall time of a command with one thread for each process, and what it printed."""
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=os.environ | threads, check=True, capture_output=True, text=True
    )
    return time.perf_counter() - began, done.stdout


if __name__ == "__main__":
    main()

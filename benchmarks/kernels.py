"""What `runtime.kernel=portable` costs in speed, beside `native` and beside what any x86-64 can do.

    python benchmarks/kernels.py [--rounds N] [--json FILE]

Gradients of two networks with ReLU and cross-entropy on generated examples in float32, one BLAS
thread: 64-64-10 with batches of 32, and 784-128-10 with batches of 128. Each figure is a process of
its own; rounds are interleaved. Processor time is counted, not the clock's: a shared machine does
not matter; medians. "older" is OpenBLAS's Nehalem kernel and NumPy without AVX2.

On a processor without AVX512, native and portable load the same code, and the figures show noise.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from nnlab.runs.runtime import free, pin, pin_config

NETWORKS = {"64-64-10, batch 32": (64, 64, 32), "784-128-10, batch 128": (784, 128, 128)}
OLDER = {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "X86_V3"}
KERNELS = ("native", "portable", "older")
SECONDS = 1.0


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.one)))
        return
    found: dict[str, list[dict[str, float]]] = {kernel: [] for kernel in KERNELS}
    for _ in range(options.rounds):
        for kernel in KERNELS:
            environment = free(os.environ) | (OLDER if kernel == "older" else {})
            command = [sys.executable, __file__, "--one", kernel]
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True
            )
            found[kernel].append(json.loads(done.stdout))
    figures = {
        name: {kernel: median(one[name] for one in found[kernel]) for kernel in KERNELS}
        for name in NETWORKS
    }
    print(f"{'examples per second of processor time':<40}" + "".join(f"{k:>14}" for k in KERNELS))
    for name, row in figures.items():
        print(f"{name:<40}" + "".join(f"{row[kernel]:>14,.0f}" for kernel in KERNELS))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def measured(kernel: str) -> dict[str, float]:
    """Examples per second of each network in this process, which loads NumPy here."""
    if kernel == "older":
        pin(1)
    else:
        pin_config({"runtime": {"kernel": kernel, "threads": 1}})
    import numpy as np

    from nnlab.core.arrays import Workspace
    from nnlab.core.initialisers import He
    from nnlab.core.losses import CrossEntropy
    from nnlab.core.model import MLP
    from nnlab.core.objective import Batch, NetworkObjective
    from nnlab.core.penalties import NoPenalty

    speeds = {}
    for name, (inputs, hidden, size) in NETWORKS.items():
        rng = np.random.default_rng(0)
        network = MLP((hidden,), "relu").build(inputs, 10)
        theta = network.initial(He(), rng, np.float32)
        labels = rng.integers(10, size=size)
        batch = Batch(rng.standard_normal((size, inputs), dtype=np.float32), labels)
        objective = NetworkObjective(network, CrossEntropy(), NoPenalty())
        gradient, workspace, steps = np.empty_like(theta), Workspace(), 0
        for _ in range(20):
            objective(theta, batch, gradient, workspace)
        began = time.process_time()
        while time.process_time() < began + SECONDS:
            for _ in range(20):
                objective(theta, batch, gradient, workspace)
                theta -= np.float32(1e-3) * gradient
            steps += 20
        speeds[name] = steps * size / (time.process_time() - began)
    return speeds


if __name__ == "__main__":
    main()

"""nnlab beside PyTorch, JAX, scikit-learn, a plain NumPy loop, and what the machine can do at most.

    python -m benchmarks.peers [--cases NAME ...] [--peers NAME ...] [--threads 1 2]
        [--rounds N] [--seconds S] [--data FOLDER] [--json FILE] [--png FILE]

All train the same network from the same weights on the same examples in the same batches, with the
same optimizer in float32, and read the loss of every step; their first losses are compared before
anything is timed. Each is a process of its own that BLAS and others have been given 1 or 2 threads
and as many cores. In each round each trains for so many seconds in turn; what counts is its best
epoch, and of the rounds the median. Nobody evaluates in the timed part.

"products alone" are a step's matrix products into arrays that are there; "optimizer's memory" is to
read and write once what the optimizer must. MNIST is found as nnlab finds it ($NNLAB_DATA, or
`--data`); its cases are left out, with a message, where it is not. A figure that is missed is
marked, and the exit code stays 0.
"""

import argparse
import os
import time
from pathlib import Path

from benchmarks.figure import machine, save, show
from benchmarks.peers.cases import CASES, NETWORKS
from benchmarks.peers.contest import Speeds, contest
from benchmarks.peers.peer import PEERS
from benchmarks.peers.results import draw, figures, plain, table

from nnlab.data.home import VARIABLE
from nnlab.errors import UserError


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser("python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--peers", nargs="+", choices=tuple(PEERS), default=tuple(PEERS))
    parser.add_argument("--threads", nargs="+", type=int, default=(1, 2))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--data", type=Path, help=f"instead of ${VARIABLE}")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--png", type=Path)
    options = parser.parse_args()
    if options.data:
        os.environ[VARIABLE] = str(options.data)
    load, began = os.getloadavg()[0], time.time()
    found: dict[tuple[str, int], dict[str, Speeds]] = {}
    for case in here(options.cases):
        for threads in options.threads:
            ran = contest(case, options.peers, threads, options.rounds, options.seconds)
            found[case, threads] = ran
            table({(case, threads): ran})
    told = figures(found)
    show(told)
    about = machine()
    caption = (
        f"examples a second in the best epoch, one thread; median and spread of "
        f"{options.rounds} rounds\n{about['processor']}, {about['cores']} cores, "
        f"load {load:.1f} to {about['load']:.1f}"
    )
    print(f"{caption}; {time.time() - began:.0f} s in all")
    if options.json:
        settings = {"rounds": options.rounds, "seconds": options.seconds, "load_before": load}
        save(options.json, told, **settings, speeds=plain(found))
    if options.png and found:
        draw(found, options.png, caption)


def here(cases: list[str]) -> list[str]:
    """The cases whose data are on this machine; of others it is said."""
    kept, said = [], set()
    for case in cases:
        network = case.split("-")[0]
        try:
            NETWORKS[network].data.load()
            kept.append(case)
        except UserError as error:
            if str(error) not in said:
                print(f"{case} and others are left out: {error}")
            said.add(str(error))
    return kept


if __name__ == "__main__":
    main()

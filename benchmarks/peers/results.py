"""What a contest tells: a table, figures beside those that are wanted, a picture."""

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.figure import Figure
from benchmarks.peers.contest import Speeds, ratio
from benchmarks.peers.peer import EAGER, LIMITS, OURS, SCAN
from rich.console import Console
from rich.table import Table

Found = Mapping[tuple[str, int], Mapping[str, Speeds]]
"""(case, threads) -> peer -> speeds."""

WANTED = {  # of one thread: times PyTorch eager, times the fastest peer
    "digits-momentum": (3.0, 1.2),
    "mnist-momentum": (2.0, 1.2),
    "mnist2-adam": (1.5, 1.0),
    "wide-momentum": (0.0, 0.95),
    "wide-adam": (0.0, 0.95),
}


def table(found: Found) -> None:
    """Examples a second of the best epoch, median of the rounds, and from the lowest to the
    highest; nnlab beside each by the clock and by processor time."""
    shown = Table(box=None)
    for name in ("", "threads", "examples/s", "from", "to", "nnlab is", "by processor time"):
        shown.add_column(name, justify="right" if name else "left")
    for (case, threads), peers in found.items():
        shown.add_row(f"[bold]{case}")
        ours = peers.get(OURS)
        for peer, speeds in peers.items():
            if speeds.absent:
                shown.add_row(f"  {peer}", str(threads), f"absent: {speeds.absent[:60]}")
                continue
            middle, low, high = median(speeds.wall), min(speeds.wall), max(speeds.wall)
            row = [f"{number / 1e3:,.1f}k" for number in (middle, low, high)]
            if ours and ours.wall:
                row += [f"{ratio(ours.wall, speeds.wall):.2f}x"]
                row += [f"{ratio(ours.cpu, speeds.cpu):.2f}x"]
            shown.add_row(f"  {peer}", str(threads), *row)
    Console(width=110).print(shown)


def figures(found: Found) -> list[Figure]:
    """What is wanted of nnlab, in the cases that were run, by the clock.

    A scan over an epoch gives its losses when the epoch is over: the fastest of those that read
    each when it is made is told as well.
    """
    told = []
    for case, (eager, fastest) in WANTED.items():
        peers = {peer: s for peer, s in found.get((case, 1), {}).items() if s.wall}
        ours = peers.pop(OURS, None)
        others = {peer: median(s.wall) for peer, s in peers.items() if peer not in LIMITS}
        if ours is None or not others:
            continue
        if eager and EAGER in others:
            times = ratio(ours.wall, peers[EAGER].wall)
            told.append(Figure(f"{case}: nnlab / PyTorch", times, ">=", eager, "x"))
        best = max(others, key=lambda peer: others[peer])
        times = ratio(ours.wall, peers[best].wall)
        told.append(Figure(f"{case}: nnlab / the fastest ({best})", times, ">=", fastest, "x"))
        if best == SCAN and others.pop(SCAN) and others:
            best = max(others, key=lambda peer: others[peer])
            times = ratio(ours.wall, peers[best].wall)
            name = f"{case}: nnlab / the fastest step by step ({best})"
            told.append(Figure(name, times, ">=", fastest, "x"))
    for case, threads in found:
        one, two = found.get((case, 1), {}).get(OURS), found[case, threads].get(OURS)
        if threads == 2 and one and two and one.wall and two.wall:
            times = ratio(two.wall, one.wall)
            told.append(Figure(f"{case}: two threads / one", times, ">=", 1.0, "x"))
    return told


def plain(found: Found) -> list[dict[str, Any]]:
    """All that was measured, for JSON."""
    return [
        {
            "case": case,
            "threads": threads,
            "peer": peer,
            "absent": speeds.absent,
            "examples_per_second": _spread(speeds.wall),
            "examples_per_second_of_processor_time": _spread(speeds.cpu),
        }
        for (case, threads), peers in found.items()
        for peer, speeds in peers.items()
    ]


def draw(found: Found, path: Path, caption: str) -> None:
    """Bars of examples a second, a panel for each case; the line at a bar's end is the spread."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    cases = {case: peers for (case, threads), peers in found.items() if threads == 1} or {
        f"{case}, {threads} threads": peers for (case, threads), peers in found.items()
    }
    columns = min(2, len(cases))
    rows = -(-len(cases) // columns)
    figure, axes = plt.subplots(
        rows, columns, squeeze=False, figsize=(6 * columns, 2.7 * rows + 0.6), layout="constrained"
    )
    for axis in axes.flat[len(cases) :]:
        axis.set_visible(False)
    for axis, (case, peers) in zip(axes.flat, cases.items(), strict=False):
        ran = {peer: speeds for peer, speeds in peers.items() if speeds.wall}
        order = sorted(ran, key=lambda peer: (peer in LIMITS, median(ran[peer].wall)))
        fastest = max(median(s.wall) for p, s in ran.items() if p != LIMITS[1])
        axis.set_xlim(0, 1.2 * fastest)
        for k, peer in enumerate(order):
            middle = median(ran[peer].wall)
            low, high = min(ran[peer].wall), max(ran[peer].wall)
            color = "C1" if peer == OURS else "0.85" if peer in LIMITS else "C0"
            axis.barh(k, middle, color=color)
            axis.plot([low, high], [k, k], color="0.3", lw=1)
            beyond = high > 1.1 * fastest
            end = 1.19 * fastest if beyond else high
            side = "right" if beyond else "left"
            axis.text(end, k, f" {middle / 1e3:,.0f}k ", va="center", ha=side, fontsize=8)
        axis.set_yticks(range(len(order)), order, fontsize=8)
        axis.set_title(case, fontsize=10, loc="left")
        axis.xaxis.set_major_formatter(lambda x, _: f"{x / 1e3:,.0f}k")
        axis.tick_params(axis="x", labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(caption, fontsize=8)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _spread(rounds: list[float]) -> dict[str, float]:
    if not rounds:
        return {}
    numbers = {"median": median(rounds), "lowest": min(rounds), "highest": max(rounds)}
    return {name: round(number) for name, number in numbers.items()}

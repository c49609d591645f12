"""Learning curves: what was measured, over the epochs."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

_PARTS = {"train": "tab:blue", "validation": "tab:orange", "test": "tab:green"}


def learning_curves(reports: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss, and accuracy or R^2, of every part of the data; averaged weights are dashed."""
    metrics = [report["metrics"] for report in reports]
    score = "accuracy" if "train/accuracy" in metrics[0] else "r2"
    single = "train/loss" not in metrics[0]
    figure = Figure(figsize=(6 if single else 10, 4), layout="constrained")
    if single:  # not a training: every metric over the step
        axes = figure.subplots()
        for key in metrics[0]:
            axes.plot([r["step"] for r in reports], [float(m[key]) for m in metrics], label=key)
        axes.set_xlabel("step")
        axes.legend(frameon=False)
        return figure
    for axes, kind in zip(figure.subplots(1, 2), ("loss", score), strict=True):
        for part, color in _PARTS.items():
            for key in dict.fromkeys(key for m in metrics for key in m):
                name, _, metric = key.partition("/")
                if name != part or metric.partition("_")[0] != kind:
                    continue
                seen = [(m["epoch"], float(m[key])) for m in metrics if key in m]
                label = f"{part} {metric.partition('_')[2]}".strip()
                marker = "o" if len(seen) == 1 else None
                style = "--" if "_" in metric else "-"
                axes.plot(*zip(*seen, strict=True), style, color=color, label=label, marker=marker)
        axes.set_xlabel("epoch")
        axes.set_title("R²" if kind == "r2" else kind)
        axes.spines[["top", "right"]].set_visible(False)
        if kind == "loss":
            axes.set_yscale("log")
    figure.axes[-1].legend(frameon=False)
    return figure

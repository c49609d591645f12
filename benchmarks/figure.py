"""A figure that was measured beside the one that is wanted, and the machine that it was measured
on: what the benchmarks print, and what `benchmarks/results/` keeps of them."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

PACKAGES = ("nnlab", "numpy", "scipy", "torch", "jax", "jaxlib", "scikit-learn", "joblib", "optuna")


@dataclass(frozen=True)
class Figure:
    """One number; `relation` is <=, >= or nothing, where none is wanted."""

    name: str
    measured: float
    relation: str = ""
    wanted: float = 0.0
    unit: str = ""

    @property
    def met(self) -> bool:
        """Is it what is wanted?"""
        if self.relation == "<=":
            return self.measured <= self.wanted
        return self.relation != ">=" or self.measured >= self.wanted


def show(figures: Sequence[Figure]) -> None:
    """A table; what is missed is marked."""
    table = Table(box=None)
    for name in ("figure", "measured", "wanted", "unit", ""):
        table.add_column(name, justify="right" if name == "measured" else "left")
    for one in figures:
        wanted = f"{one.relation} {one.wanted:g}" if one.relation else ""
        missed = "" if one.met else "missed"
        table.add_row(one.name, f"{one.measured:,.4g}", wanted, one.unit, missed)
    Console(width=120).print(table)


def save(path: Path, figures: Sequence[Figure], **more: Any) -> None:
    """Write figures, machine and whatever else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {"machine": machine(), **more, "figures": [asdict(one) for one in figures]}
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> list[Figure]:
    """The figures that `save` wrote."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return [Figure(**one) for one in found["figures"]]


def machine() -> dict[str, Any]:
    """The processor, the versions of what computes, and how busy it is."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()

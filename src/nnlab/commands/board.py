"""What a sweep shows while it runs: a live table on a terminal, a line for each trial elsewhere."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nnlab.commands.console import console, say, uncertainty_of
from nnlab.sweeps.sweep import Sweep, Trial

_STYLES = {"RUNNING": "cyan", "PRUNED": "dim", "FAILED": "red", "KILLED": "red"}


class Board:
    """The trials of a sweep, as text."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self._began = time.monotonic()

    def shown(self, trials: Iterable[Trial]) -> Iterator[Trial]:
        """The same trials, each change of which is shown."""
        definition = self.sweep.definition
        say(
            f"sweep {definition.name}: {definition.trials} trials, {definition.sampler} "
            f"sampler, {definition.pruner} pruner, {definition.slots} at once; "
            f"{definition.direction} {definition.metric}",
            "bold",
        )
        if not console.is_terminal:
            for trial in trials:
                if trial.state != "RUNNING":
                    say(self._line(trial))
                yield trial
            return
        with Live(console=console, get_renderable=self._table, refresh_per_second=5):
            yield from trials

    def conclude(self) -> None:
        """The counts and the best trial."""
        sweep, best = self.sweep, self.sweep.best
        counts = ", ".join(
            f"{sweep.count(state)} {state.lower()}" for state in ("COMPLETE", "PRUNED", "FAILED")
        )
        say(f"{counts} in {time.monotonic() - self._began:.1f} s")
        failures = [trial for trial in sweep.trials if trial.state == "FAILED"]
        for trial in failures[:3]:
            say(f"trial {trial.number} failed: {trial.reason}", "red")
        if best is None:
            say("no trial was completed", "red")
            return
        metric = sweep.definition.metric
        sure = uncertainty_of(best.metrics, metric)
        say(f"best: trial {best.number}, {metric} {best.value:.5g}{sure}", "bold")
        for key, value in best.values.items():
            say(f"  {key}={_short(value)}")
        tests = [
            f"{key.removeprefix('test/').replace('_', ' ')} {_short(value)}"
            + uncertainty_of(best.metrics, key)
            for key, value in best.metrics.items()
            if key.startswith("test/")
        ]
        say(f"  on the test part: {', '.join(tests)}")

    def _table(self) -> RenderableType:
        trials = self.sweep.trials
        table = Table(box=None, pad_edge=False, header_style="bold")
        keys = list(self.sweep.definition.space)
        for name in ("trial", *keys, "value", "best", "state"):
            table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
        room = max(4, console.height - 5)
        best = self._best_so_far()
        for trial in trials[-room:]:
            cells = (
                str(trial.number),
                *(_short(trial.values[key]) for key in keys),
                _short(self._value(trial)) + self._sure(trial),
                _short(best[trial.number]),
                trial.state.lower(),
            )
            table.add_row(*map(Text, cells), style=_STYLES.get(trial.state, ""))
        return Group(table, Text(self._progress()))

    def _line(self, trial: Trial) -> str:
        values = "  ".join(f"{key}={_short(value)}" for key, value in trial.values.items())
        best = self.sweep.best
        return (
            f"trial {trial.number:>3}  {values}  {trial.state.lower():<8}  "
            f"value {_short(self._value(trial)) + self._sure(trial):<9} "
            f"best {_short(best.value if best else None):<9} {self._left()}"
        )

    def _progress(self) -> str:
        sweep = self.sweep
        ended = len(sweep.trials) - sweep.count("RUNNING")
        return (
            f"{ended} of {sweep.definition.trials} trials, {sweep.count('PRUNED')} pruned, "
            f"{sweep.count('FAILED')} failed, {self._left()}"
        )

    def _left(self) -> str:
        ended = len(self.sweep.trials) - self.sweep.count("RUNNING")
        passed = time.monotonic() - self._began
        if not ended:
            return f"{passed:.0f} s"
        left = passed / ended * (self.sweep.definition.trials - ended)
        return f"{left:.0f} s left" if left else "done"

    def _value(self, trial: Trial) -> float | None:
        if trial.value is not None:
            return trial.value
        return trial.metrics.get(self.sweep.definition.metric)

    def _sure(self, trial: Trial) -> str:
        return uncertainty_of(trial.metrics, self.sweep.definition.metric, ".1g")

    def _best_so_far(self) -> list[float | None]:
        better = min if self.sweep.definition.direction == "minimize" else max
        best: float | None = None
        history = []
        for trial in self.sweep.trials:
            if trial.value is not None:
                best = trial.value if best is None else better(best, trial.value)
            history.append(best)
        return history


def _short(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

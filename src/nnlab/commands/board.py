"""What a sweep shows while it runs: a live table on a terminal, a line for each trial elsewhere."""

import math
import time
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nnlab.commands.console import console, say, uncertainty_of
from nnlab.sweeps.definition import Definition
from nnlab.sweeps.ledger import STATES, Ledger, Trial
from nnlab.sweeps.sweep import Sweep

_STYLES = {"RUNNING": "cyan", "PRUNED": "dim", "FAILED": "red", "KILLED": "red"}


class Board:
    """The trials of a sweep, as text."""

    def __init__(self, sweep: Sweep, said: str = "") -> None:
        """`said` tells how its study came to be worked on."""
        self.sweep = sweep
        self.said = said
        self._ledger = sweep.ledger
        self._before = sweep.ledger.ended
        self._best: list[float | None] = []
        """The best value when each trial had ended, as far as all before it had."""
        self._began = time.monotonic()

    def shown(self, trials: Iterable[Trial]) -> Iterator[Trial]:
        """The same trials, each change of which is shown."""
        definition, ledger = self.sweep.definition, self._ledger
        say(_heading(definition), "bold")
        if self.said:
            far = (
                f": {ledger.ended} of {definition.trials} trials are done" if ledger.trials else ""
            )
            left = len(ledger.unfinished)
            going = f", {left} {'is' if left == 1 else 'are'} resumed" if left else ""
            say(f"{self.said}{far}{going}")
        if not console.is_terminal:
            for trial in trials:
                if trial.state != "RUNNING":
                    say(self._line(trial))
                yield trial
            return
        with Live(console=console, get_renderable=self._table, refresh_per_second=5):
            yield from trials

    def conclude(self) -> None:
        """Why the sweep ended, the counts and the best trial."""
        sweep = self.sweep
        passed = time.monotonic() - self._began
        conclude(self._ledger, f" in {passed:.1f} s")
        if sweep.end and sweep.end.rule != "budget":
            say(f"ended: {sweep.end.reason}")
        if sweep.definition.delay:
            total = passed * sweep.definition.slots
            part = 100 * sweep.idle / total if total else 0.0
            say(f"deterministic: workers were idle for {sweep.idle:.1f} s ({part:.0f} %)")

    def _table(self) -> RenderableType:
        trials = self._ledger.trials
        table = Table(box=None, pad_edge=False, header_style="bold")
        keys = list(self.sweep.definition.space)
        for name in ("trial", *keys, "value", "best", "state"):
            table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
        room = max(4, console.height - 5)
        self._look_at_settled()
        for trial in trials[-room:]:
            best = self._best[trial.number] if trial.number < len(self._best) else None
            cells = (
                str(trial.number),
                *(_short(trial.values.get(key)) for key in keys),
                _short(self._value(trial)) + self._sure(trial),
                _short(best),
                _state(trial),
            )
            table.add_row(*map(Text, cells), style=_STYLES.get(trial.state, ""))
        return Group(table, Text(self._progress()))

    def _look_at_settled(self) -> None:
        """Bring the best so far up to the first trial that has not ended."""
        better = min if self.sweep.definition.direction == "minimize" else max
        best = self._best[-1] if self._best else None
        for trial in self._ledger.trials[len(self._best) : self._ledger.settled]:
            if trial.value is not None and not trial.broken:
                best = trial.value if best is None else better(best, trial.value)
            self._best.append(best)

    def _line(self, trial: Trial) -> str:
        values = "  ".join(f"{key}={_short(value)}" for key, value in trial.values.items())
        best = self._ledger.best
        return (
            f"trial {trial.number:>3}  {values}  {_state(trial):<8}  "
            f"value {_short(self._value(trial)) + self._sure(trial):<9} "
            f"best {_short(best.value if best else None):<9} {self._left()}"
        )

    def _progress(self) -> str:
        ledger, sweep = self._ledger, self.sweep
        parts = [
            f"{ledger.ended} of {sweep.definition.trials} trials",
            f"{ledger.count('PRUNED')} pruned",
            f"{ledger.count('FAILED')} failed",
        ]
        if sweep.definition.epochs:
            parts.append(f"{ledger.epochs:.0f} of {sweep.definition.epochs} epochs")
        if sweep.definition.delay:
            parts.append(f"idle {sweep.idle:.0f} s")
        return ", ".join((*parts, self._left()))

    def _left(self) -> str:
        """The time that is left, if trials go on to end as fast as those of this command; the time
        that has passed until as many have ended as run at once."""
        ended, definition = self._ledger.ended - self._before, self.sweep.definition
        passed = time.monotonic() - self._began
        if ended < min(definition.slots, definition.trials - self._before):
            return f"{passed:.0f} s"
        left = passed / max(ended, 1) * (definition.trials - self._ledger.ended)
        if math.isfinite(self.sweep.definition.seconds):
            left = min(left, max(0.0, self.sweep.definition.seconds - self.sweep.seconds))
        return f"{left:.0f} s left" if left > 0 else "done"

    def _value(self, trial: Trial) -> float | None:
        if trial.value is not None:
            return trial.value
        return trial.metrics.get(self.sweep.definition.metric)

    def _sure(self, trial: Trial) -> str:
        return uncertainty_of(trial.metrics, self.sweep.definition.metric, ".1g")


def conclude(ledger: Ledger, when: str = "") -> None:
    """The counts and the best trial of a study."""
    say(", ".join(f"{ledger.count(state)} {state.lower()}" for state in STATES) + when)
    for trial in [trial for trial in ledger.trials if trial.state == "FAILED"][:3]:
        say(f"trial {trial.number} failed: {trial.reason}", "red")
    best, definition = ledger.best, ledger.definition
    if best is None:
        kept = " that keeps the constraints" if ledger.count("COMPLETE") else ""
        say(f"no trial{kept} was completed", "red")
        return
    if len(definition.metrics) > 1:
        front = ledger.front
        many = "the best compromise" if len(front) == 1 else f"{len(front)} best compromises"
        say(f"{many}:", "bold")
        for trial in front:
            values = zip(definition.metrics, trial.told or (), strict=True)
            shown = ", ".join(f"{metric} {_short(value)}" for metric, value in values)
            say(f"  trial {trial.number}: {shown}  ({_joined(trial)})")
        return
    metric = definition.metric
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
    if tests:
        say(f"  on the test part: {', '.join(tests)}")


def _heading(definition: Definition) -> str:
    goals = ", ".join(
        f"{direction} {metric}"
        for direction, metric in zip(definition.directions, definition.metrics, strict=True)
    )
    pruner = "no pruner" if definition.pruner.name == "none" else f"{definition.pruner} pruner"
    order = f", deterministic with lag {definition.delay}" if definition.delay else ""
    return (
        f"sweep {definition.name}: {definition.trials} trials, {definition.sampler} "
        f"sampler, {pruner}, {definition.parallel}{order}; {goals}"
    )


def _state(trial: Trial) -> str:
    again = f" (failed {trial.failures} times before)" if trial.failures > 1 else ""
    again = again or (" (failed once before)" if trial.failures else "")
    broken = " (breaks a constraint)" if trial.broken else ""
    return trial.state.lower() + broken + again


def _joined(trial: Trial) -> str:
    return "  ".join(f"{key}={_short(value)}" for key, value in trial.values.items())


def _short(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

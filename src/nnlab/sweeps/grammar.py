"""Parameters on the command line, in the grammar that Hydra's users know.

optimizer.lr=interval(1e-4,1)                real numbers
optimizer.lr=tag(log,interval(1e-4,1))       log-uniform
batch_size=int(interval(16,128))             whole numbers, both ends included
batch_size=range(16,128,16)                  16, 32, ..., 112: the end is not included
optimizer=sgd,momentum,adam                  choices, also choice(sgd,momentum,adam)
optimizer=glob(*,exclude=random*)            the choices of a group by their names
"""

import math
from typing import Any

from nnlab.errors import UserError, first_line
from nnlab.runs.compose import choices
from nnlab.sweeps.space import Choices, Parameter, Range


def parameter_of(argument: str) -> tuple[str, Parameter] | None:
    """The key and the parameter that an argument gives, or None if it is a plain override.

    Raises `UserError` for what is neither.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Glob
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException as error:
        raise UserError(f"{argument!r} is not an override: {first_line(error)}") from error
    if not override.is_sweep_override():
        return None
    key = override.get_key_element()
    if key != override.key_or_group:
        raise UserError(
            f"a parameter changes a key that is there: write {override.key_or_group}=..., but got "
            f"{argument}"
        )
    value: Any = override.value()
    if isinstance(value, Glob):
        names = value.filter(choices(key))
        if not names:
            raise UserError(f"no choice of {key} fits {argument}")
        return key, Choices(tuple(names))
    return key, _parameter(argument, value)


def fixed_value(argument: str) -> tuple[str, Any]:
    """The key and the value of a plain override."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    override = OverridesParser.create().parse_override(argument)
    return override.key_or_group, override.value()


def _parameter(argument: str, sweep: Any) -> Parameter:
    from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override

    unknown = sweep.tags - {"log"}
    if unknown:
        raise UserError(f"the only tag is log, but got {', '.join(sorted(unknown))} ({argument})")
    log = "log" in sweep.tags
    if getattr(sweep, "shuffle", False):
        raise UserError(
            f"the order is the sampler's: write sampler=random or sampler=grid instead of "
            f"shuffle ({argument})"
        )
    if isinstance(sweep, IntervalSweep):
        return _interval(argument, sweep, log)
    if isinstance(sweep, ChoiceSweep):
        if log:
            raise UserError(f"log is for intervals, not for choices ({argument})")
        values = tuple(Override._convert_value(value) for value in sweep.list)
        return _choices(argument, values)
    return _range(argument, sweep, log)


def _interval(argument: str, sweep: Any, log: bool) -> Range:
    low, high = sweep.start, sweep.end
    if not math.isfinite(low) or not math.isfinite(high):
        raise UserError(f"an interval has finite ends, but got {low}, {high} ({argument})")
    if not low < high:
        raise UserError(f"`low < high` must hold, but got low={low}, high={high} ({argument})")
    if log and low <= 0:
        raise UserError(f"`low > 0` must hold where log is true, but got low={low} ({argument})")
    return Range(low, high, log)


def _range(argument: str, sweep: Any, log: bool) -> Parameter:
    if log:
        raise UserError(
            f"a range has equal steps: write tag(log,interval(...)), or int(interval(...)) for "
            f"whole numbers ({argument})"
        )
    if sweep.step == 0:
        raise UserError(f"`step != 0` must hold, but got step=0 ({argument})")
    values = sorted(sweep.range())
    if not values:
        raise UserError(f"the range is empty: its end {sweep.stop} is not included ({argument})")
    if len(values) == 1:
        return Choices(tuple(values))
    step = abs(sweep.step)
    return Range(values[0], values[-1], step=None if step == 1 and isinstance(step, int) else step)


def _choices(argument: str, values: tuple[Any, ...]) -> Choices:
    choices = Choices(values)
    if len(set(choices.labels)) < len(values):
        raise UserError(f"a choice is there twice ({argument})")
    return choices

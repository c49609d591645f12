"""`nnlab check [OVERRIDES]`: is the experiment that the overrides compose sound?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nnlab.errors import UserError
from nnlab.runs.compose import compose
from nnlab.runs.runtime import pin_config

if TYPE_CHECKING:
    from nnlab.training.preflight.card import Card

USAGE = """usage: nnlab check [--plugin MODULE] [OVERRIDE ...]

Checks an experiment before money is spent on it: gradients against differences, the initial loss
against its formula, batches, labels, averages; and that it can learn. Keeps nothing.

overrides   as for `nnlab train`: model=linear loss=hinge optimizer.lr=0.05
--plugin    a module with components of your own, also of `nnlab train`; it may be given again

exit code   0 if every check is green, 1 if one is red, 2 for bad input
"""


def run(arguments: Sequence[str]) -> int:
    """Print the card; exit code 1 if a line of it is red."""
    if {"-h", "--help"} & set(arguments):
        print(USAGE, end="")
        return 0
    options = [argument for argument in arguments if argument.startswith("-")]
    if options:
        raise UserError(f"nnlab check has no option {options[0]}; see `nnlab check --help`")
    config = compose(arguments)
    pin_config(config)
    from nnlab.commands.fetching import provide
    from nnlab.runs.config import parse
    from nnlab.runs.execution import Execution
    from nnlab.training.preflight.card import check

    checked = parse(config)
    provide(checked.experiment.data)
    execution = Execution(checked)
    card = check(execution.members[0].config.experiment)
    show(card)
    return 0 if card.passed else 1


def show(card: Card) -> None:
    """Print the card, its red lines in red."""
    from nnlab.commands.console import say

    *lines, done = str(card).splitlines()
    for text, line in zip(lines, card.lines, strict=True):
        say(text, "" if line.passed else "bold red")
    say(done, "bold green" if card.passed else "bold red")

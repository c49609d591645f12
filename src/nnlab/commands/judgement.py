"""How two environments differ, as a table: what can change bits first."""

import re
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from nnlab.reproduction.environment import Row

ROWS = 24
"""So many facts that can change bits are shown, or may, and so many that cannot."""
_CAN = {True: "can change bits", False: "cannot", None: "unknown"}


def judged(rows: Sequence[Row], whole: str) -> Table:
    """The facts that differ between two environments: then, now, can they change bits, why.

    `whole` is where all of them are, if they are too many.
    """
    table = Table(box=None, pad_edge=False, show_header=False)
    shown = [row for row in rows if row.can_change_bits is not False]
    others = [row for row in rows if row.can_change_bits is False]
    for row in (*shown[:ROWS], *others[:ROWS]):
        differs = f"  {row.key}: {_short(row.then)} -> {_short(row.now)}"
        table.add_row(*map(Text, (differs, f"{_CAN[row.can_change_bits]}: {row.why}")))
    for what, some in (("can change bits, or may", shown), ("cannot", others)):
        if len(some) > ROWS:
            table.add_row(f"  and {len(some) - ROWS} more: {whole}", what)
    return table


def _short(text: str) -> str:
    """A hash by its beginning."""
    return text[:12] if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text) else text

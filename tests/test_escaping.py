"""What others wrote does nothing to a terminal."""

import io

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nnlab.commands import console as module
from nnlab.escaping import LINES, escaped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 数 √", "plain é 数 √"),
        ("\x1b]0;owned\x07\x1b[2J", "\\x1b]0;owned\\x07\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb\u2066", "a\\u202eb\\u2066"),
        ("\ud800", "\\ud800"),
        ("a\nb\r", "a\\nb\\r"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(text, shown):
    assert escaped(text) == shown


def test_lines_may_be_kept():
    assert escaped("a\n\tb\r", LINES) == "a\n\tb\\r"


@pytest.mark.parametrize("terminal", [True, False])
def test_only_our_own_styles_reach_a_terminal(monkeypatch, terminal):
    out = io.StringIO()
    made = Console(
        file=out, force_terminal=terminal, color_system="standard" if terminal else None, width=200
    )
    for hook in module.console._render_hooks:
        made.push_render_hook(hook)
    monkeypatch.setattr(module, "console", made)
    table = Table()
    table.add_row(Text("\x1b[2J[red]x[/]"))
    made.print(table)
    module.say("\x1b[31m[red]identical[/]", "bold")
    shown = out.getvalue()
    assert "\\x1b[2J[red]x[/]" in shown
    assert "\\x1b[31m[red]identical[/]" in shown
    assert ("\x1b[1m" in shown) == terminal
    assert "\x1b[2J" not in shown

"""Texts are printed as they are."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from nnlab.commands import board
from nnlab.commands.board import Board


@pytest.mark.parametrize("reason", ["no file [/tmp/x]", "see [b] there"])
def test_a_reason_is_printed_as_it_is(capsys, monkeypatch, reason):
    from rich.console import Console

    monkeypatch.setattr(board, "console", Console(highlight=False, width=200))
    trial = SimpleNamespace(number=0, state="FAILED", reason=reason)
    sweep = SimpleNamespace(best=None, trials=[trial], count=lambda state: 1)
    Board(sweep).conclude()
    assert reason in capsys.readouterr().out


def test_a_choice_is_shown_as_it_is():
    values = {"x": "[/b]"}
    trial = SimpleNamespace(number=0, values=values, value=1.0, state="COMPLETE", metrics={})
    definition = SimpleNamespace(space=values, direction="minimize", trials=1, metric="m")
    sweep = SimpleNamespace(
        trials=[trial], definition=definition, count=lambda state: 0, best=trial
    )
    out = io.StringIO()
    Console(file=out, width=100).print(Board(sweep)._table())
    assert "[/b]" in out.getvalue()

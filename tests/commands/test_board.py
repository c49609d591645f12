"""Texts are printed as they are."""

from types import SimpleNamespace

import pytest

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

"""Texts are printed as they are."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from nnlab.commands import board
from nnlab.commands.board import Board, conclude
from nnlab.sweeps.definition import Definition
from nnlab.sweeps.ledger import Ledger
from nnlab.sweeps.space import Choices


def trial(**fields):
    return (
        {"run": "r", "seconds": 1.0, "epochs": 1.0, "metrics": {}, "curve": [], "decided": 0}
        | {
            "type": "told",
            "trial": 0,
            "state": "COMPLETE",
            "values": [1.0],
            "reason": "done",
        }
        | fields
    )


def ledger_of(parameters, **told):
    """What a study's records of one trial tell."""
    definition = Definition(
        "unit", {key: Choices((one,)) for key, one in parameters.items()}, ("m",)
    )
    asked = {"type": "asked", "trial": 0, "values": parameters, "run": "r"}
    return Ledger(definition, [asked, trial(**told)])


@pytest.mark.parametrize("reason", ["no file [/tmp/x]", "see [b] there"])
def test_a_reason_is_printed_as_it_is(capsys, monkeypatch, reason):
    monkeypatch.setattr(board, "console", Console(highlight=False, width=200))
    conclude(ledger_of({"x": 1}, state="FAILED", values=None, reason=reason))
    assert reason in capsys.readouterr().out


def test_a_choice_is_shown_as_it_is():
    ledger = ledger_of({"x": "[/b]"})
    sweep = SimpleNamespace(ledger=ledger, definition=ledger.definition, idle=0.0, seconds=1.0)
    out = io.StringIO()
    Console(file=out, width=100).print(Board(sweep)._table())
    assert "[/b]" in out.getvalue()

"""The report as data and as a page."""

import json
import math
import re
from contextlib import nullcontext
from html.parser import HTMLParser
from math import inf
from types import SimpleNamespace

import pytest

from nnlab.reproduction.logged import Ended
from nnlab.reproduction.report import HTML, JSON, keep, told

from .conftest import FACTS, POINTS, nudged

OTHER = nudged(POINTS, (40, "train/loss"))
HOSTILE = "<script>alert(1)</script>&\"'"


class Page(HTMLParser):
    """Collects what a page would run or load, and checks that elements are closed."""

    VOID = frozenset(("meta",))

    def __init__(self):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        assert not {"src", "href", "onclick", "onload"} & {name for name, _ in attributes}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def page(folder):
    made = Page()
    made.feed((folder / HTML).read_text())
    made.close()
    assert made.open == []
    assert not {"script", "img", "link", "iframe"} & set(made.tags)
    return made


def test_a_run_that_is_identical(reproduction, tmp_path):
    content = told(reproduction(), "new-0123", FACTS)
    keep(tmp_path, content)
    assert json.loads((tmp_path / JSON).read_text()) == content
    assert content["verdict"] == "identical"
    assert (content["cause"], content["notes"], content["first"]) == ([], [], None)
    assert (content["points"], content["differing"], content["largest_relative"]) == (5, 0, 0.0)
    assert content["parameters"] == {
        "a.weight": {"equal": True, "then": "11", "now": "11", "largest_relative": 0.0}
    }
    assert content["stop"]["then"] == {
        "rule": "max_epochs",
        "reason": "epoch 3 is done",
        "step": 40,
    }
    assert content["original"] == {"run": "run", "mlflow": "mlflow", "name": "name-1234"}
    assert content["new"] == {"run": "0123456789ab", "name": "new-0123"}
    made = page(tmp_path)
    assert "identical: the run is reproduced bit for bit" in made.text
    assert "svg" not in made.tags


def test_a_run_that_differs(logged, reproduction, tmp_path):
    environment = {**FACTS, "libc": "musl 1"}
    result = reproduction(
        logged(environment=environment), points=OTHER, arrays={"a.weight": ("11", "22", inf)}
    )
    content = told(result, "new-0123", FACTS)
    keep(tmp_path, content)
    assert content["verdict"] == "environment differs"
    assert content["first"] == {
        "step": 40, "metric": "train/loss", "then": 0.30000000000000004,
        "now": 0.3000000000000001, "relative": pytest.approx(1.85e-16, rel=0.01),
    }  # fmt: skip
    assert content["over_time"]["steps"] == [0, 40]
    assert content["over_time"]["largest"] == [0.0, content["first"]["relative"]]
    assert content["largest_relative"] == "Infinity"
    assert (content["within"], content["tolerance"]) == (False, 1e-3)
    assert content["first_parameter"] == "a.weight"
    assert content["environment"] == [
        {"key": "libc", "then": "musl 1", "now": "glibc 2.36", "can_change_bits": True,
         "why": "its exp, log, sin, cos, pow"}
    ]  # fmt: skip
    made = page(tmp_path)
    assert "svg" in made.tags
    for text in ("train/loss", "musl 1", "can change bits", "0.30000000000000004", "equal"):
        assert text in made.text


def test_what_the_tracker_says_is_text(logged, reproduction, tmp_path):
    original = logged(
        {(0, HOSTILE): 1.0, (40, HOSTILE): 2.0},
        config={"seed": HOSTILE},
        environment={HOSTILE: HOSTILE, "blas": [{HOSTILE: HOSTILE}]},
        tags={"nnlab.data_sha256": HOSTILE},
    )
    result = reproduction(original, points={(0, HOSTILE): 1.0}, ended=Ended(HOSTILE, HOSTILE, 0))
    keep(tmp_path, told(result, HOSTILE, {HOSTILE: HOSTILE}))
    assert HOSTILE in page(tmp_path).text


@pytest.mark.parametrize("number", [1, 2, 1000])
def test_any_number_of_evaluations_can_be_drawn(logged, reproduction, tmp_path, number):
    then = {(step, "loss"): 1.0 for step in range(number)}
    now = {(step, "loss"): 1.0 + (step % 3) * 1e-9 for step in range(number - 1)}
    keep(tmp_path, told(reproduction(logged(then), points=now), "new", FACTS))
    assert "svg" in page(tmp_path).tags
    drawn = re.findall(r'(?:points|x1|y1|cx|cy)="([^"]*)"', (tmp_path / HTML).read_text())
    assert drawn and all(math.isfinite(float(n)) for one in drawn for n in re.split("[ ,]", one))


def test_a_crash_of_the_report_leaves_no_verdict_behind(reproduction, tmp_path, monkeypatch):
    from nnlab.reproduction import again as module

    result, done = reproduction(), []
    new = SimpleNamespace(
        path=tmp_path, name="new", id="0123456789ab", tag=done.append,
        environment=SimpleNamespace(facts=FACTS),
        journal=SimpleNamespace(
            rest_on=lambda *paths: done.append([one.name for one in paths if one.exists()]),
            append=lambda kind, **more: done.append(kind),
        ),
    )  # fmt: skip
    last = SimpleNamespace(metrics={}, epoch=1.0, step=40, stop=SimpleNamespace(rule="", reason=""))
    execution = SimpleNamespace(
        recorded=lambda new, started: nullcontext([last]),
        keep_weights=lambda new: {},
        total=40,
    )
    monkeypatch.setattr(module, "_compared", lambda *arguments: result)

    def again():
        return module.again(
            result.logged, execution, new, lambda run: None, lambda reports, total: reports
        )

    with monkeypatch.context() as patch:
        patch.setattr(module.report, "html", lambda content: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            again()
    assert done == []
    again()
    assert done == [[JSON, HTML], {"nnlab.reproduction": "identical"}, "reproduced"]

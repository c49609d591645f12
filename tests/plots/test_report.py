import re
import shutil
import subprocess
from html.parser import HTMLParser
from math import nan

import numpy as np
import pytest
from plotly import graph_objects

from nnlab.plots.report import _figures, html, write
from nnlab.plots.study import Study, Trial

SPACE = {
    "optimizer.lr": {"low": 1e-3, "high": 1.0, "log": True},
    "optimizer.momentum": {"low": 0.5, "high": 0.99},
    "model.activation": ["relu", "tanh"],
}


def trial(k, state="COMPLETE", **more):
    rng = np.random.default_rng(k)
    values = {
        "optimizer.lr": float(10 ** rng.uniform(-3, 0)),
        "optimizer.momentum": float(rng.uniform(0.5, 0.99)),
        "model.activation": str(rng.choice(["relu", "tanh"])),
    }
    reached = (float(rng.uniform(0.1, 1)),) if state == "COMPLETE" else ()
    curve = tuple((10 * step, float(2 / (1 + step))) for step in range(5))
    made = {"values": values, "objectives": reached, "curve": curve, "run": f"{k:012x}"}
    made |= {"reason": "epoch 5 is done", **more}
    return Trial(k, state=state, seconds=0.1, epochs=5.0, **made)


def study(*trials, **more):
    told = {"importances": {"optimizer.lr": 0.7, "optimizer.momentum": 0.3}, **more}
    return Study("digits", "5e4d", ("validation/loss",), ("minimize",), SPACE, trials, **told)


WHOLE = study(*(trial(k, "PRUNED" if k % 3 == 1 else "COMPLETE") for k in range(20)))
EMPTY = {"values": {}, "objectives": (), "curve": ()}
STUDIES = {
    "whole": WHOLE,
    "nothing yet": study(importances={}),
    "all failed": study(*(trial(k, "FAILED", **EMPTY) for k in range(3)), importances={}),
    "one trial": study(trial(0)),
    "only pruned": study(*(trial(k, "PRUNED") for k in range(3))),
    "not finite": study(trial(0, curve=((0, 1.0), (1, nan))), trial(1, objectives=(nan,))),
    "all alike": study(*(trial(0, values={**trial(0).values}) for _ in range(8))),
    "conditional": study(
        *(trial(k, values={"model.activation": "relu"}) for k in range(4)),
        *(trial(k) for k in range(4, 8)),
    ),
    "of choices": study(*(trial(k, values={"model.activation": "tanh"}) for k in range(4))),
    "negative": study(*(trial(k, objectives=(-float(k),)) for k in range(8))),
    "two objectives": Study(
        "front", "5", ("loss", "parameters"), ("minimize", "minimize"), SPACE,
        tuple(trial(k, objectives=(float(k), float(9 - k))) for k in range(9)),
    ),
}  # fmt: skip


class Page(HTMLParser):
    """What a browser would fetch or run, and what the page says."""

    def __init__(self, text):
        super().__init__()
        self.fetched, self.tags, self.links, self.text = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.fetched += [v for k, v in attributes if k in ("src", "srcset") and v]
        self.links += [v for k, v in attributes if k == "href"]

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("name", STUDIES)
def test_plotly_knows_every_property_of_the_pictures(name):
    made = STUDIES[name]
    for _, _, draw in _figures(made):
        if figure := draw(made):
            assert len(graph_objects.Figure(figure).data) == len(figure["data"])
            figure["data"][0]["colour"] = "red"
            with pytest.raises(ValueError, match="colour"):
                graph_objects.Figure(figure)


@pytest.mark.parametrize("name", STUDIES)
def test_a_report_needs_no_network_and_has_a_row_for_each_trial(name):
    made = STUDIES[name]
    page = Page(html(made, {}, ""))
    assert not page.fetched
    assert not page.links
    assert page.tags.count("tr") == 1 + len(made.trials)
    assert page.tags.count("h1") == 1


def test_a_whole_report_has_every_picture_and_says_how_to_reproduce():
    text = html(WHOLE, {f"{0:012x}": "http://127.0.0.1:5000/#/runs/0"}, "nnlab reproduce 0")
    page = Page(text)
    said = " ".join(page.text)
    for title in (
        "History",
        "What matters",
        "Learning curves",
        "Slices",
        "Parallel coordinates",
        "The two that matter most",
        "All trials",
        "nnlab reproduce 0",
        "epochs saved by pruning",
    ):
        assert title in said
    assert page.links == ["http://127.0.0.1:5000/#/runs/0"]
    assert len(re.findall(r'id="figure-\d+"', text)) == 6


def test_the_best_is_marked_and_said():
    text = html(WHOLE, {}, "")
    (best,) = WHOLE.best
    assert f"Best: trial {best.number} " in text
    assert f'<tr class="COMPLETE best"><td>{best.number}</td>' in text


def test_what_a_name_holds_is_shown_and_not_run():
    bad = "</script><script>alert(1)</script>"
    hostile = Study(
        bad, bad, (bad,), ("minimize",), {bad: [bad]},
        tuple(trial(k, values={bad: bad}, run=bad, reason=bad) for k in range(3)),
    )  # fmt: skip
    text = html(hostile, {bad: "x"}, bad)
    assert "<script>alert" not in text
    assert "</script><script" not in text
    assert "alert(1)" in " ".join(Page(text).text)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["whole", "two objectives", "conditional", "all failed"])
def test_a_browser_draws_it(name, tmp_path):
    browser = shutil.which("chromium")
    if not browser:
        pytest.skip("needs chromium (apt-get install chromium)")
    path = tmp_path / "report.html"
    write(STUDIES[name], path, {}, "")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=20000", "--timeout=40000", "--dump-dom", path.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    drawn = Page(html(STUDIES[name], {}, "")).tags.count("h2") - 1  # the last is the table's
    assert dom.count('class="main-svg"') >= drawn
    assert dom.count("plot-container") >= drawn

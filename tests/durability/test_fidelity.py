"""What MLflow shows of a run is what was measured: also of one that diverges, also long values."""

import json
import runpy
from math import isfinite
from pathlib import Path

import pytest
import yaml

from nnlab.runs.journal import read

Lab = runpy.run_path(str(Path(__file__).parents[1] / "commands" / "conftest.py"))["Lab"]
pytestmark = pytest.mark.slow
DIVERGING = ["train", "data=iris", "stopping.max_epochs.epochs=30", "evaluate_every=1 step"]


@pytest.fixture(scope="module")
def diverged(tmp_path_factory):
    """A training whose loss grows until it is not a number; its folder, id and records."""
    lab = Lab(tmp_path_factory.mktemp("diverged"))
    done = lab(*DIVERGING, "optimizer.lr=60", code=1)
    (run,) = done.runs
    return lab, run, read(lab.store / "runs" / run / "journal.jsonl")


def split(records):
    """The finite values (key, step, value, time) of a journal, and the others (key, step, text)."""
    finite, other = set(), set()
    for record in records:
        if record["type"] == "report":
            for key, value in (record["metrics"] | {"time/seconds": record["seconds"]}).items():
                if isfinite(float(value)):
                    finite.add((key, record["step"], float(value), record["time"]))
                else:
                    other.add((key, record["step"], value))
    return finite, other


def test_a_diverged_run_has_failed_and_says_why(diverged):
    lab, run, records = diverged
    logged = lab.logged(run)
    assert logged.status == "FAILED"
    assert logged.tags["nnlab.status"] == "FAILED"
    assert logged.tags["nnlab.stop_rule"] == "diverged"
    assert logged.tags["stop_reason"] == records[-1]["reason"]
    assert logged.tags["stop_reason"].startswith("a value is not finite at step ")


def test_its_curves_are_shown_to_their_last_finite_value(diverged):
    """A metric whose last value is NaN has no chart, and infinity is a number that nobody saw."""
    lab, run, records = diverged
    finite, other = split(records)
    assert other and len({step for _, step, *_ in finite}) > 3
    logged = lab.logged(run)
    marks = {(k, s, v, t) for k, s, v, t, _ in logged.points if k == "non_finite"}
    assert {(k, s, v, t) for k, s, v, t, _ in logged.points} - marks == finite
    assert not any(is_nan for *_, is_nan in logged.points)
    assert max(abs(value) for _, _, value, *_ in logged.points) < 1e308
    latest = lab.rows(
        "SELECT key, step, value, is_nan FROM latest_metrics WHERE run_uuid = ?", logged.mlflow
    )
    assert {(key, step, value) for key, step, value, _ in latest} == {
        max((point for point in finite | marks if point[0] == key), key=lambda point: point[1])[:3]
        for key, *_ in finite | marks
    }


def test_what_is_not_finite_is_beside_the_curves_and_its_step_is_marked(diverged):
    lab, run, records = diverged
    _, other = split(records)
    logged = lab.logged(run)
    tags = {
        (key.removeprefix("non_finite/"), int(step), text)
        for key, value in logged.tags.items()
        if key.startswith("non_finite/")
        for step, text in (pair.split(":") for pair in value.split(","))
    }
    assert tags == other
    marks = {step: value for key, step, value, *_ in logged.points if key == "non_finite"}
    steps = {step for _, step, _ in other}
    assert marks == {step: sum(s == step for _, s, _ in other) for step in steps}


def test_it_is_reproduced_bit_for_bit_with_each_value_that_is_not_finite(diverged):
    lab, run, records = diverged
    finite, other = split(records)
    points = sum(not key.startswith("time/") for key, *_ in (*finite, *other))
    done = lab("reproduce", run)
    assert f"{points} of {points} identical" in done.out
    assert "\nidentical: the run is reproduced bit for bit\n" in done.out


def test_one_value_that_is_not_finite_and_was_another_is_found(diverged):
    lab, run, records = diverged
    _, other = split(records)
    key, step, text = min(other, key=lambda one: (one[1], one[0]))
    wrong = "-Infinity" if text != "-Infinity" else "NaN"
    tag = f"non_finite/{key}"
    value = lab.logged(run).tags[tag]
    lab.change(
        "UPDATE tags SET value = ? WHERE key = ? AND run_uuid = ?",
        *(value.replace(f"{step}:{text}", f"{step}:{wrong}"), tag, lab.logged(run).mlflow),
    )
    try:
        done = lab("reproduce", run, code=1)
    finally:
        lab.change(
            "UPDATE tags SET value = ? WHERE key = ? AND run_uuid = ?",
            *(value, tag, lab.logged(run).mlflow),
        )
    then, now = float(wrong), float(text)
    assert f"first difference: {key} at step {step}: {then!r} then, {now!r} now\n" in done.out


def test_a_param_that_is_too_long_is_whole_in_the_artifact_and_says_so(diverged):
    lab, *_ = diverged
    hidden = [1] * 2100
    steps = ["stopping=max_steps", "stopping.max_steps.steps=1"]
    done = lab("train", "data=iris", *steps, f"model.hidden={json.dumps(hidden)}")
    logged = lab.logged(done.runs[0])
    param = logged.params["model.hidden"]
    assert len(str(hidden)) > 6000 >= len(param)
    assert param.startswith("[1, 1, 1, ")
    assert param.endswith("... (cut; whole in the artifact config.yaml)")
    config = yaml.safe_load((logged.artifacts / "config.yaml").read_text())
    assert config["model"]["hidden"] == hidden

"""What records become, by hand; MLflow's own limits are the judge of lengths."""

from math import inf, isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnlab.tracking.entries import (
    Point,
    Translation,
    batches,
    fitting_param,
    fitting_tag,
    last_words,
    non_finite,
)


def report(step, time=0, seconds=0.5, **metrics):
    return {"type": "report", "time": time, "step": step, "metrics": metrics, "seconds": seconds}


def test_a_start_is_params_and_reports_are_points_at_their_time():
    start = {"type": "start", "params": {"a": "1"}, "tags": {"made": "with the run"}, "time": 5}
    entries = Translation()([start, report(3, 7, loss=0.25, lr=1)])
    assert entries.params == {"a": "1"}
    assert entries.points == [
        Point("loss", 0.25, 7, 3),
        Point("lr", 1.0, 7, 3),
        Point("time/seconds", 0.5, 7, 3),
    ]
    assert (entries.tags, entries.revived) == ({}, False)


def test_tags_are_tags_and_the_later_wins():
    tags = [{"type": "tags", "tags": {"a": "1", "b": "1"}}, {"type": "tags", "tags": {"a": "2"}}]
    assert Translation()(tags).tags == {"a": "2", "b": "1"}


def test_what_a_reproduction_says_of_another_run_is_a_tag_of_that():
    said = [{"type": "reproduced", "of": "m", "tags": {"a": "1"}},
            {"type": "reproduced", "of": "m", "tags": {"b": "x" * 9000}}]  # fmt: skip
    entries = Translation()(said)
    assert entries.tags == {}
    assert entries.others == {"m": {"a": "1", "b": fitting_tag("x" * 9000)}}


def test_what_is_not_known_is_passed_over():
    known = report(0, loss=1.0)
    other = [{"type": "asked", "trial": 0}, {"type": "of tomorrow"}, {"type": "end"}]
    assert Translation()([*other, known]) == Translation()([known])


def test_a_resumed_run_is_revived_and_has_another_process():
    owner = {"pid": 7, "started": "1", "boot": "b", "host": "h"}
    entries = Translation()([{"type": "resumed", "owner": owner}])
    assert entries.revived
    assert entries.tags == {f"nnlab.{key}": str(value) for key, value in owner.items()}


values = st.floats(allow_nan=True, allow_infinity=True, width=64)
reports = st.lists(
    st.dictionaries(st.sampled_from(["loss", "lr", "a/b"]), values, min_size=1), max_size=8
)


def text(value):
    """As the journal writes it."""
    return "NaN" if isnan(value) else f"{'-' * (value < 0)}Infinity" if abs(value) == inf else value


@given(reports, st.integers(0, 8))
def test_every_value_is_a_point_or_in_a_tag_and_comes_back_the_same(history, cut):
    """Whatever the parts in which it was sent, and though a part was sent twice."""
    records = [
        report(step, 0, 0.0, **{key: text(value) for key, value in metrics.items()})
        for step, metrics in enumerate(history)
    ]
    translate = Translation()
    parts = [translate(records[:cut]), translate(records[cut:]), translate(records[cut:])]
    back, marks = {}, {}
    for entries in parts:
        back |= {(p.key, p.step): p.value for p in entries.points}
        for key, tag in entries.tags.items():
            name = key.removeprefix("non_finite/")
            assert name != key
            for step, value in non_finite(tag):
                assert (name, step) not in {(p.key, p.step) for p in entries.points}
                back[name, step] = value
    marks = {step: back.pop(("non_finite", step)) for k, step in list(back) if k == "non_finite"}
    expected = {(k, step): v for step, one in enumerate(history) for k, v in one.items()}
    expected |= {("time/seconds", step): 0.0 for step in range(len(history))}
    assert back.keys() == expected.keys()
    assert all(repr(back[at]) == repr(expected[at]) for at in expected)
    wrong = [sum(text(v) != v for v in one.values()) for one in history]
    assert marks == {step: count for step, count in enumerate(wrong) if count}


def test_the_last_words_of_a_run():
    end = {"type": "end", "status": "KILLED", "rule": "died", "reason": "gone", "evidence": "pid 3"}
    assert last_words(end) == {
        "nnlab.status": "KILLED",
        "nnlab.stop_rule": "died",
        "stop_reason": "gone",
        "nnlab.evidence": "pid 3",
    }
    del end["evidence"]
    assert "nnlab.evidence" not in last_words(end)


@pytest.mark.parametrize(("fitting", "limit"), [(fitting_param, 6000), (fitting_tag, 8000)])
def test_what_is_longer_than_mlflow_s_limit_says_that_it_is_cut(fitting, limit):
    assert fitting("x" * limit) == "x" * limit
    cut = fitting("x" * (limit + 1))
    assert len(cut) <= limit
    assert "... (cut; whole in the artifact " in cut


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=60).map(lambda s: s * 100)))
def test_batches_hold_each_value_once_and_fit(values):
    made = list(batches(values))
    assert [item for batch in made for item in batch.items()] == list(values.items())
    for batch in made:
        assert 1 <= len(batch) <= 100
        assert len(batch) == 1 or sum(map(len, batch.values())) <= 50_000


def test_a_hundred_and_one_short_values_are_two_batches():
    assert [len(batch) for batch in batches({str(k): "" for k in range(101)})] == [100, 1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")
def test_the_limits_are_those_of_mlflow():
    from mlflow.utils.validation import (
        MAX_METRICS_PER_BATCH,
        MAX_PARAM_VAL_LENGTH,
        MAX_PARAMS_TAGS_PER_BATCH,
        MAX_TAG_VAL_LENGTH,
    )

    for fitting, limit in (
        (fitting_param, MAX_PARAM_VAL_LENGTH),
        (fitting_tag, MAX_TAG_VAL_LENGTH),
    ):
        assert fitting("x" * limit) == "x" * limit
        assert len(fitting("x" * (limit + 1))) <= limit
    assert (MAX_METRICS_PER_BATCH, MAX_PARAMS_TAGS_PER_BATCH) == (1000, 100)

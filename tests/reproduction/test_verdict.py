"""Every verdict and every cause, on hand-made runs."""

import copy
import math

import pytest

from nnlab.reproduction.logged import Ended
from nnlab.reproduction.verdict import CODES, DIFFERENT, ENVIRONMENT, IDENTICAL

from .conftest import CONFIG, END, FACTS, HASHES, POINTS, journal, nudged, tagged

OTHER = nudged(POINTS, (40, "train/loss"))


def then(**facts):
    """The environment of a run that was another one."""
    made = copy.deepcopy(FACTS)
    for key, value in facts.items():
        if key == "numpy":
            made["packages"]["numpy"] = value
        elif key in ("num_threads", "architecture"):
            made["blas"][0][key] = value
        else:
            made[key] = value
    return made


def test_equal_in_all_is_identical(reproduction):
    found = reproduction()
    assert (found.verdict, found.cause, found.notes) == (IDENTICAL, [], [])
    assert (found.largest_relative, found.within) == (0.0, True)
    assert str(found) == "identical: the run is reproduced bit for bit"
    assert CODES[found.verdict] == 0


def test_differences_that_cannot_change_bits_are_identical(logged, reproduction):
    assert reproduction(logged(environment=then(cpus=64, system="Linux 1"))).verdict == IDENTICAL


@pytest.mark.parametrize(
    "different",
    [
        {"points": OTHER},
        {"hashes": {"nnlab.weights_sha256": "xx"}},
        {"hashes": {"nnlab.averaged_sha256": "xx"}},
        {"hashes": {"nnlab.data_sha256": "xx"}},
        {"hashes": {"nnlab.batches_sha256": "xx"}},
        {"ended": Ended("patience", "x", 40)},
        {"ended": Ended("max_epochs", "epoch 3 is done", 39)},
        {"arrays": {"a.weight": ("11", "22", 1e-7)}},
    ],
    ids=str,
)
def test_anything_that_differs_in_the_same_environment_is_different(reproduction, different):
    found = reproduction(**different)
    assert found.verdict == DIFFERENT
    assert found.cause
    assert CODES[found.verdict] == 1


def test_nothing_to_compare_is_not_identical(logged, reproduction):
    nothing = logged({}, tags={})
    assert reproduction(nothing, points={}).verdict == DIFFERENT


@pytest.mark.parametrize(
    "facts", [{"numpy": "1.0.0"}, {"num_threads": 2}, {"libc": "musl"}], ids=str
)
@pytest.mark.parametrize("points", [POINTS, OTHER], ids=["equal bits", "other bits"])
def test_only_another_environment_is_never_called_identical(logged, reproduction, facts, points):
    found = reproduction(logged(environment=then(**facts)), points=points)
    assert found.verdict == ENVIRONMENT
    assert CODES[found.verdict] == 3
    assert found.within
    assert "identical" not in str(found)
    assert ("every bit is equal all the same" in str(found)) == (points is POINTS)


@pytest.mark.parametrize(("tolerance", "within"), [(0.0, False), (1e-20, False), (1e-9, True)])
def test_the_tolerance(logged, reproduction, tolerance, within):
    found = reproduction(logged(environment=then(numpy="1")), points=OTHER, tolerance=tolerance)
    assert 0 < found.largest_relative < 2e-16
    assert found.within is within
    assert ("is within" if within else "exceeds") in str(found)


def test_an_end_at_another_step_is_not_within_any_tolerance(logged, reproduction):
    environment = then(numpy="1.0.0")
    found = reproduction(
        logged(environment=environment), ended=Ended("max_epochs", "epoch 3 is done", 80),
        tolerance=math.inf,
    )  # fmt: skip
    assert (found.verdict, found.within) == (ENVIRONMENT, False)


def test_parameters_count_for_the_largest_difference(logged, reproduction):
    found = reproduction(
        logged(environment=then(numpy="1.0.0")),
        arrays={"a": ("1", "2", 0.25), "b": ("1", "1", 0.0)},
    )
    assert (found.largest_relative, found.within) == (0.25, False)


def test_another_environment_explains_no_other_data(logged, reproduction):
    found = reproduction(
        logged(environment=then(numpy="1.0.0")), points=OTHER, hashes={"nnlab.data_sha256": "xx"}
    )
    assert found.verdict == DIFFERENT
    assert found.cause[0].startswith("the data are others: ")
    assert "had the fingerprint cc then and has xx now" in found.cause[0]
    assert found.cause[1] == "numpy was 1.0.0 then and is 2.4.6 now (it computes)"


def test_another_code_with_other_bits_is_different_and_with_equal_ones_not_identical(
    logged, reproduction
):
    original = logged(environment=then(code="edited"))
    files = ["src/nnlab/core/model.py"]
    found = reproduction(original, points=OTHER, files=files)
    assert found.verdict == DIFFERENT
    assert found.cause == ["the code is another (what differs: src/nnlab/core/model.py)"]
    assert reproduction(original, files=files).verdict == ENVIRONMENT
    many = reproduction(original, points=OTHER, files=[f"src/nnlab/{k}.py" for k in range(10)])
    assert many.cause[0].endswith("src/nnlab/7.py and 2 more)")
    unknown = reproduction(original, points=OTHER)
    assert unknown.cause == ["the code is another (git cannot tell which files)"]


def cause(found):
    """The most specific cause of a run that is not identical."""
    assert found.verdict != IDENTICAL
    return found.cause[0]


def with_config(**values):
    return {"config": {**CONFIG, **values}}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"optimizer": {"name": "sgd", "lr": math.nextafter(0.05, 1)}},
            "config.yaml says optimizer.lr=0.05000000000000001, but MLflow's parameters say 0.05 "
            "and the run's own journal says 0.05",
        ),
        (
            {"seed": 4},
            "config.yaml says seed=4, but MLflow's parameters say 3 "
            "and the run's own journal says 3",
        ),
        (
            {"runtime": {"threads": 2}},
            "config.yaml says runtime.threads=2, but MLflow's parameters say nothing and the run's "
            "own journal says nothing",
        ),
    ],
    ids=["one ulp", "seed", "threads"],
)
def test_a_config_that_was_edited_is_named_with_all_values(logged, reproduction, values, said):
    found = reproduction(logged(**with_config(**values)), points=OTHER)
    assert (found.verdict, cause(found)) == (DIFFERENT, said)
    numpy = reproduction(logged(environment=then(numpy="1"), **with_config(**values)), points=OTHER)
    assert numpy.verdict == DIFFERENT  # the environment is no excuse
    same = reproduction(logged(**with_config(**values)))
    assert (same.verdict, same.cause, same.notes) == (DIFFERENT, [said], [])
    assert str(same).startswith("different: every bit that was compared is equal, but the tracker")


def test_without_a_journal_the_parameters_tell(logged, reproduction):
    original = logged(journal=None, **with_config(seed=4))
    found = reproduction(original, points=OTHER)
    assert cause(found) == "config.yaml says seed=4, but MLflow's parameters say 3"


def test_a_value_that_mlflow_cuts_is_the_same(logged, reproduction):
    from nnlab.tracking.entries import fitting_param

    config = {**CONFIG, "note": "x" * 7000}
    params = {"seed": "3", "optimizer.name": "sgd", "optimizer.lr": "0.05",
              "note": fitting_param("x" * 7000)}  # fmt: skip
    original = logged(config=config, params=params, journal=journal(config))
    assert reproduction(original).verdict == IDENTICAL


def test_a_metric_that_was_edited_in_the_tracker_is_named_with_both_values(logged, reproduction):
    edited = nudged(POINTS, (40, "validation/loss"))
    found = reproduction(logged(edited))
    assert found.verdict == DIFFERENT
    assert found.cause == [
        "the tracker was changed: of validation/loss at step 40 MLflow says 0.5000000000000001 and "
        "the run's own journal 0.5"
    ]
    excuse = reproduction(logged(edited, environment=then(numpy="1.0.0")))
    assert excuse.verdict == DIFFERENT


def test_a_metric_that_was_removed_or_added_in_the_tracker(logged, reproduction):
    fewer = {key: value for key, value in POINTS.items() if key != (0, "train/loss")}
    assert "MLflow says nothing and the run's own journal 2.5" in cause(reproduction(logged(fewer)))
    more = POINTS | {(0, "extra"): 1.0, (20, "extra"): 2.0}
    assert cause(reproduction(logged(more))).endswith(
        "of extra at step 0 MLflow says 1.0 and the run's own journal nothing, and 1 more points "
        "differ"
    )


def test_points_behind_the_end_of_the_journal_are_no_change_of_a_run_that_was_resumed(
    logged, reproduction
):
    more = POINTS | {(80, "train/loss"): 1.0}  # it has not sent its journal again
    interrupted = {**END, "rule": "interrupted", "status": "KILLED"}
    for records in (
        journal(end=interrupted),
        [*journal(end=interrupted), {"type": "resumed", "owner": {}}],
    ):
        original = logged(more, rule=None, status="RUNNING", journal=records)
        assert original.ended == Ended(None, None, 80)
        ended = Ended("until", "step 80 is reached", 80)
        assert reproduction(original, points=more, ended=ended).verdict == IDENTICAL
    assert "of train/loss at step 80 MLflow says 1.0 and" in cause(reproduction(logged(more)))
    began = logged(rule=None, status="RUNNING", journal=journal(end=interrupted))
    assert began.went_on and not reproduction(began).inconsistent


def test_a_hash_that_was_edited_in_the_tracker(logged, reproduction):
    found = reproduction(logged(tags=HASHES | {"nnlab.weights_sha256": "0000"}))
    assert found.cause == [
        "the tracker was changed: of the final weights MLflow says nnlab.weights_sha256=0000 and "
        "the run's own journal aa"
    ]


def test_a_damaged_journal_is_told(logged, reproduction):
    found = reproduction(logged(journal=None, damage="journal.jsonl is damaged at byte 7"))
    assert (found.verdict, found.notes) == (DIFFERENT, [])
    assert found.cause == [
        "the run's own record in the tracker was changed or cut: journal.jsonl is damaged at byte 7"
    ]


def test_a_journal_without_an_end_was_cut(logged, reproduction):
    assert reproduction(logged(journal=journal(end=None))).cause == [
        "the run's own record in the tracker was cut: it does not say how the run ended"
    ]


def test_two_values_of_one_point_are_named(logged, reproduction):
    several = {(40, "validation/loss"): [0.25, 0.5]}
    assert reproduction(logged(several=several)).cause == [
        "the tracker was changed: of validation/loss at step 40 MLflow says 0.25 and 0.5"
    ]


LATEST = {"train/loss": 0.1 + 0.2, "validation/loss": 0.5, "test/loss": 0.75, "time/seconds": 9.0}


def test_the_last_value_that_mlflow_shows_is_compared_with_the_history(logged, reproduction):
    assert reproduction(logged(latest=LATEST)).verdict == IDENTICAL
    edited = nudged(LATEST, "validation/loss")
    assert reproduction(logged(latest=edited)).cause == [
        "the tracker was changed: as the last validation/loss MLflow shows 0.5000000000000001, "
        "and its history says 0.5"
    ]
    gone = {name: value for name, value in LATEST.items() if name != "test/loss"}
    assert "shows nothing, and its history" in cause(reproduction(logged(latest=gone)))
    assert "extra MLflow shows 1.0" in cause(reproduction(logged(latest=LATEST | {"extra": 1.0})))


def test_mlflow_shows_the_last_finite_value_and_how_many_were_not(logged, reproduction):
    points = POINTS | {(80, "train/loss"): math.nan, (80, "test/loss"): -math.inf}
    points |= {(80, "always"): math.inf, (20, "always"): math.inf}

    def found(latest):
        original = logged(points, journal=journal(points=points), latest=latest)
        ended = Ended("max_epochs", "epoch 3 is done", 80)
        return reproduction(original, points=points, ended=ended)

    assert found(LATEST | {"non_finite": 3.0}).verdict == IDENTICAL
    for wrong in (LATEST, LATEST | {"non_finite": 1.0}):
        assert cause(found(wrong)).startswith("the tracker was changed: as the last non_finite")
    shown = LATEST | {"non_finite": 3.0, "train/loss": math.nan}
    assert "as the last train/loss MLflow shows nan" in cause(found(shown))


@pytest.mark.parametrize(
    ("edited", "said"),
    [
        ({"nnlab.stop_rule": "pruned"}, "nnlab.stop_rule=pruned and the run's own journal max_ep"),
        ({"stop_reason": "bored"}, "stop_reason=bored and the run's own journal epoch 3 is done"),
        ({"nnlab.status": "KILLED"}, "nnlab.status=KILLED and the run's own journal FINISHED"),
        ({"nnlab.git_commit": "x"}, f"nnlab.git_commit=x and the run's own journal {'1' * 40}"),
        ({"nnlab.run": "other"}, "nnlab.run=other and the run's own journal run"),
    ],
    ids=str,
)
def test_a_tag_that_was_edited_is_named_and_turns_nothing_off(logged, reproduction, edited, said):
    original = logged(ended=edited)
    assert original.by_config
    (only,) = reproduction(original).cause
    assert only.startswith("the tracker was changed: MLflow says ") and said in only
    other = reproduction(original, ended=Ended("patience", "x", 40))
    assert not other.equal and "it ended by patience (x), and the original by max_epoch" in str(
        other.cause
    )


@pytest.mark.parametrize("status", ["KILLED", "RUNNING", "FAILED"])
def test_a_status_that_was_edited_is_named(logged, reproduction, status):
    assert reproduction(logged(status=status)).cause == [
        f"the tracker was changed: as the run's status MLflow says {status} and the run's own "
        "journal FINISHED"
    ]


def test_the_last_of_several_ends_counts(logged, reproduction):
    first = journal(end={**END, "rule": "interrupted", "status": "KILLED", "reason": "x"})
    original = logged(journal=[*first, {"type": "resumed", "owner": {}}, END])
    assert original.end == END
    assert reproduction(original).verdict == IDENTICAL


def test_a_reaped_run_contradicts_nothing(logged, reproduction):
    died = {**END, "rule": "died", "status": "KILLED", "evidence": "process 7 is gone"}
    original = logged(
        rule="died", status="KILLED", journal=journal(end=died),
        ended={"nnlab.status": "KILLED", "nnlab.evidence": "process 7 is gone"},
    )  # fmt: skip
    assert not original.by_config and not original.went_on
    assert reproduction(original, ended=Ended("until", "x", 40)).verdict == IDENTICAL


def test_without_a_journal_another_reason_is_the_cause(logged, reproduction):
    original = logged(journal=None, ended={"stop_reason": "bored"})
    assert reproduction(original).cause == [
        "it ended by max_epochs (epoch 3 is done), and the original by max_epochs (bored)"
    ]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"nnlab": "9"}, "environment.json says version=9, but the run's tags say 0.1.0"),
        ({"git": {"commit": "x", "dirty": False}}, "says git_commit=x, but the run's tags say 11"),
        ({"git": {"commit": "1" * 40, "dirty": True}}, "says git_dirty=True, but the run's tags"),
        ({"git": 7}, "says git_commit=nothing, but the run's tags say 1111"),
        ({"plugins": {"mine": {}}}, "environment.json says plugins=mine, but the run's tags say "),
    ],
    ids=str,
)
def test_an_environment_that_was_edited_is_named(logged, reproduction, facts, said):
    told = {**tagged(FACTS), "nnlab.plugins": ""}
    for records in (journal(), None):
        found = reproduction(logged(environment=then(**facts), journal=records, ended=told))
        assert found.verdict == DIFFERENT
        assert said in cause(found)


DATA = {"name": "t.csv", "read_from": {"path": {"sha256": "ab", "bytes": 7}}, "examples": 3}


def test_what_is_said_of_the_data_was_edited(logged, reproduction):
    assert reproduction(logged(data=DATA)).verdict == IDENTICAL
    records = journal(data={"crc": "x", "n": 1, "time": 2, **DATA})
    other = {**DATA, "read_from": {"path": {"sha256": "cd", "bytes": 7}}}
    assert reproduction(logged(data=other, journal=records)).cause == [
        "data.json says read_from.path.sha256=cd, but the run's own journal says ab"
    ]
    gone = cause(reproduction(logged(data=None, journal=records)))
    assert gone == "data.json says examples=nothing, but the run's own journal says 3"
    added = cause(reproduction(logged(data=DATA, journal=journal())))
    assert added == "data.json says examples=3, but the run's own journal says nothing"


def test_where_nothing_but_the_metrics_was_compared_that_is_noted(logged, reproduction):
    found = reproduction(logged(journal=None), arrays={})
    assert found.verdict == IDENTICAL
    assert [note.partition(":")[0] for note in found.notes] == [
        "no array of the weights was compared",
        "the tracker has no journal.jsonl of it",
    ]
    killed = logged(rule="interrupted", status="KILLED", journal=None)
    assert reproduction(killed, arrays={}).notes == []


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"num_threads": 2}, "BLAS had 2 threads then and has 1 now (runtime.threads)"),
        ({"architecture": "Zen"}, "BLAS had the kernel Zen then and has Haswell now (runtime.k"),
        ({"numpy": "1.0.0"}, "numpy was 1.0.0 then and is 2.4.6 now"),
        ({"python": "3.11.0"}, "python was 3.11.0 then and is 3.12.1 now (sums of floats"),
        ({"cpu_features": []}, "cpu_features was  then and is X86_V2 X86_V3 now (NumPy chooses"),
        ({"plugins": {"mine": {"sha256": "a"}}}, "the plugin mine is another, or is there"),
    ],
    ids=str,
)
def test_what_differs_around_the_program_is_named(logged, reproduction, facts, said):
    assert cause(reproduction(logged(environment=then(**facts)), points=OTHER)).startswith(said)


def test_another_order_of_batches_with_the_same_seed_data_and_code(reproduction):
    found = reproduction(points=OTHER, hashes={"nnlab.batches_sha256": "xx"})
    assert found.cause == [
        "the order of batches is another one, though seeds, data and code are the same"
    ]


def test_a_run_that_would_go_on_is_told(reproduction):
    found = reproduction(ended=Ended("until", "step 40 is reached", 40))
    assert found.verdict == DIFFERENT
    assert found.cause == [
        "it went on beyond step 40, where the original was ended by max_epochs, and was stopped"
    ]
    assert reproduction(ended=Ended("patience", "x", 20)).cause == [
        "it ended at step 20 by patience, and the original at step 40"
    ]


def test_where_nothing_differs_but_the_bits_that_is_said(logged, reproduction):
    late = cause(reproduction(points=OTHER))
    assert late.startswith("nothing that was recorded differs")
    assert "the evaluations before step 40 are equal" in late
    early = cause(reproduction(points=nudged(POINTS, (0, "train/loss"))))
    assert "from the first evaluation on: look at the initial weights and the data" in early
    older = reproduction(logged(journal=None, environment=then(libc=None)), points=OTHER)
    assert "no journal.jsonl" in cause(older) or "libc" in cause(older)

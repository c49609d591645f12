"""Cross-validation and several seeds: nested runs, their mean, a sweep over them, reproduction."""

import re

import pytest

pytestmark = pytest.mark.slow
SMALL = ("data=iris", "stopping.max_epochs.epochs=3")


def final(run, metric):
    """The value at the last step."""
    return max((step, value) for key, step, value, *_ in run.points if key == metric)[1]


def children(lab, run):
    """The runs nested in this one, by their name."""
    query = "SELECT run_uuid FROM tags WHERE key = 'mlflow.parentRunId' AND value = ?"
    ours = "SELECT value FROM tags WHERE key = 'nnlab.run' AND run_uuid = ?"
    runs = [lab.rows(ours, child)[0][0] for (child,) in lab.rows(query, lab.logged(run).mlflow)]
    return {lab.logged(one).name.rpartition("-")[0]: lab.logged(one) for one in runs}


@pytest.fixture(scope="module")
def folded(lab, trained):
    """A training with three folds and two seeds."""
    return lab("train", *SMALL, "validation=kfold", "validation.folds=3", "seeds=2")


def test_folds_and_seeds_are_runs_nested_in_the_mean_s(lab, folded):
    (run,) = folded.runs
    mean, nested = lab.logged(run), children(lab, run)
    assert sorted(nested) == [f"seed-{seed}-fold-{fold}" for seed in (0, 1) for fold in (0, 1, 2)]
    losses = [final(one, "validation/loss") for one in nested.values()]
    assert final(mean, "validation/loss") == pytest.approx(sum(losses) / 6, rel=1e-12)
    assert {one.status for one in (mean, *nested.values())} == {"FINISHED"}
    assert nested["seed-1-fold-2"].params["validation.fold"] == "2"
    assert nested["seed-1-fold-2"].params["seed"] == "1"
    names = {key for key, *_ in mean.points}
    assert {"se/validation/loss", "ci95/test/accuracy"} <= names


def test_the_mean_is_printed_with_its_uncertainty(lab, folded):
    mean = lab.logged(folded.runs[0])
    value, half = final(mean, "validation/loss"), final(mean, "ci95/validation/loss")
    assert f" {value:.5g} ± {half:.2g} " in folded.out
    assert "mean of 2 seeds and 3 folds ± 95 % interval over seeds\n" in folded.out
    assert f"reproduce: nnlab reproduce {folded.runs[0]}\n" in folded.out


def test_the_mean_and_each_fold_are_reproduced_bit_for_bit(lab, folded):
    (run,) = folded.runs
    fold = children(lab, run)["seed-1-fold-0"].tags["nnlab.run"]
    for one in (run, fold):
        assert "identical: the run is reproduced bit for bit" in lab("reproduce", one).out


def test_a_sweep_over_folds_seeks_the_best_mean(lab, trained):
    done = lab(
        "sweep",
        "trials=7",
        "workers=2",
        "validation=kfold",
        "validation.folds=2",
        "data=iris",
        "stopping.max_epochs.epochs=8",
    )
    value, error = re.findall(r"^best: trial .+_ema (\S+) ± (\S+)$", done.out, re.MULTILINE)[0]
    (best,) = re.findall(r"nnlab reproduce ([0-9a-f]{12})", done.out)
    trial = lab.logged(best)
    assert f"{final(trial, 'validation/loss_ema'):.5g}" == value
    assert f"{final(trial, 'se/validation/loss_ema'):.2g}" == error
    parent = trial.tags["nnlab.study"]
    trials = [one.tags["nnlab.run"] for one in children(lab, parent).values()]
    assert len(trials) == 7
    pruned = []
    for one in trials:
        folds = children(lab, one)
        assert sorted(folds) == ["fold-0", "fold-1"]
        assert {fold.status for fold in folds.values()} == {"FINISHED"}
        if lab.logged(one).tags["nnlab.trial_state"] == "PRUNED":
            pruned.append(one)
            rules = {fold.tags["nnlab.stop_rule"] for fold in folds.values()}
            assert rules == {"pruned"}
    for one in (best, *pruned[:1]):
        assert "identical: the run is reproduced bit for bit" in lab("reproduce", one).out


def test_a_metric_of_the_uncertainty_can_be_looked_at(bench):
    done = bench("sweep", "metric=se/validation/los", "validation=kfold", "data=iris", code=2)
    assert "se/validation/loss" in done.err

"""`nnlab compare`: its numbers are those of the journals, read here by other means."""

import json
import re
import shutil

import pytest

SHORT = ("tracking=none", "data=iris", "stopping.max_epochs.epochs=3")


@pytest.fixture(scope="module")
def three(tmp_path_factory, request):
    """A folder with the same training twice, and another one."""
    made = type(request.getfixturevalue("lab"))(tmp_path_factory.mktemp("three"))
    made.ids = [
        made("train", *SHORT, *more).runs[0]
        for more in ([], [], ["optimizer=adam", "batch_size=16", "evaluate_every=5 steps"])
    ]
    return made


def told(lab, *arguments):
    return json.loads(lab("compare", *arguments, "--json").out)


def final(lab, run):
    """The last metrics in a journal."""
    return [record for record in lab.records(run) if record["type"] == "report"][-1]["metrics"]


def test_equal_runs_are_equal_in_all(three):
    first, second, _ = three.ids
    said = told(three, first, second)
    assert [one["run"] for one in said["runs"]] == [first, second]
    assert said["config"] == {}
    points = sum(
        not name.startswith(("epoch", "time/"))
        for record in three.records(first)
        if record["type"] == "report"
        for name in record["metrics"]
    )
    assert said["points"] == [{"all": points, "equal": points}]
    assert set(map(tuple, said["hashes"].values())) == {(True,)}
    assert len(said["hashes"]) == 4
    assert said["environment"] == [[]]
    out = three("compare", first, second).out
    assert "config: the same" in out
    assert f"metric points of B and A: {points} of {points} are equal" in out
    assert "final weights of B and A: the same" in out
    assert "environment of B and A: the same" in out


def test_what_differs_is_told_with_the_values(three):
    first, second, other = three.ids
    said = told(three, first, second, other)
    params = [three.records(run)[0]["params"] for run in three.ids]
    keys = {key for one in params for key in one}
    differing = {key for key in keys if len({one.get(key) for one in params}) > 1}
    assert said["config"].keys() == differing
    assert said["config"]["batch_size"] == ["32", "32", "16"]
    assert said["config"]["optimizer.momentum"] == ["0.9", "0.9", None]
    for name, values in said["metrics"].items():
        assert values == [final(three, run).get(name) for run in three.ids]
    assert said["hashes"]["nnlab.weights_sha256"] == [True, False]
    assert said["hashes"]["nnlab.data_sha256"] == [True, True]
    out = three("compare", *three.ids).out
    a, c = (final(three, run)["validation/loss"] for run in (first, other))
    (row,) = [line for line in out.splitlines() if line.startswith("validation/loss  ")]
    assert row.split()[1:] == [
        *(f"{a:.5g}", f"{a:.5g}", "(equal)"),
        *(f"{c:.5g}", f"({c - a:+.2g})"),
    ]
    assert "final weights of C and A: different" in out


def test_curves_are_compared_where_all_were_evaluated(three):
    first, _, other = three.ids
    said = told(three, first, other)["curves"]
    reports = [
        {r["metrics"]["epoch"]: r["metrics"] for r in three.records(run) if r["type"] == "report"}
        for run in (first, other)
    ]
    common = sorted(reports[0].keys() & reports[1].keys())
    assert (said["over"], said["at"]) == ("epoch", common)
    assert 0 < len(common) < len(reports[1])
    for name in ("validation/loss", "validation/accuracy_ema"):
        assert said[name] == [[one[epoch][name] for epoch in common] for one in reports]


def test_a_long_curve_is_shown_in_a_few_rows_from_its_first_to_its_last(bench):
    long = ["tracking=none", "data=iris", "stopping.max_epochs.epochs=40"]
    runs = [bench("train", *long, f"seed={seed}").runs[0] for seed in (0, 1)]
    out = bench("compare", *runs).out
    (block,) = [part for part in out.split("\n\n") if part.startswith("validation/loss, epoch")]
    epochs = [int(line.split()[0]) for line in block.splitlines()[1:]]
    assert (epochs[0], epochs[-1], len(epochs)) == (0, 40, 12)
    assert epochs == sorted(set(epochs))


def test_a_picture_is_drawn_where_it_is_wanted(three):
    first, second, _ = three.ids
    assert "drawn in compare.png" in three("compare", first, second).out
    assert (three.folder / "compare.png").read_bytes().startswith(b"\x89PNG")
    before = set(three.folder.iterdir())
    three("compare", first, second, "--json")
    assert set(three.folder.iterdir()) == before
    said = json.loads(three("compare", first, second, "--json", "--picture", "other.png").out)
    assert said["runs"]
    assert (three.folder / "other.png").stat().st_size > 1000
    done = three("compare", first, second, "--picture", "nowhere/a.png", code=2)
    assert done.err.startswith("nnlab: nowhere/a.png cannot be written")


def test_runs_are_found_by_prefix_and_name(three):
    first, _, other = three.ids
    name = three.records(other)[0]["name"]
    assert [one["run"] for one in told(three, first[:7], name)["runs"]] == [first, other]


def test_an_environment_that_differs_is_told(three):
    first, second, _ = three.ids
    file = three.store / "runs" / second / "environment.json"
    text = file.read_text()
    changed = json.loads(text)
    now, changed["packages"]["numpy"] = changed["packages"]["numpy"], "1.0.0"
    file.write_text(json.dumps(changed))
    try:
        assert told(three, first, second)["environment"] == [
            [{"key": "packages.numpy", "then": now, "now": "1.0.0", "can_change_bits": True,
              "why": "it computes"}]
        ]  # fmt: skip
        out = three("compare", first, second).out
        file.unlink()
        assert told(three, first, second)["environment"] == [None]
    finally:
        file.write_text(text)
    differs = (
        rf"differs \(A -> B\):\n  packages.numpy: {now} -> 1.0.0 +can change bits: it computes"
    )
    assert re.search(f"environment of B and A: {differs}", out)


def test_values_that_are_not_finite_are_texts(bench):
    runs = [
        bench("train", *SHORT, f"optimizer.lr={lr}", code=code).runs[0]
        for lr, code in (("1e30", 1), ("0.1", 0))
    ]
    done = bench("compare", *runs, "--json")
    assert not {"NaN,", "Infinity,"} & set(done.out.split())
    assert {"NaN", "Infinity"} & {json.loads(done.out)["metrics"]["train/loss"][0]}
    bench("compare", *runs)


BAD = {
    "nothing": ([], "the following arguments are required: RUN"),
    "one run": (["A"], "two or more runs are compared, but got only"),
    "the same twice": (["A", "A"], "different runs are compared, but iris-mlp-momentum-"),
    "an unknown one": (["A", "0123456789ab"], "there is no run 0123456789ab in mlruns/runs"),
    "two words": (["A", "b c"], "a run is an id, a name, or 'best of STUDY', but got 'b c'"),
    "no store": (["A", "B", "--store", "nowhere"], "there is no folder nowhere (--store)"),
    "no server": (["A", "B", "--uri", "nonsense"], "uri must be a database"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_in_one_line(three, arguments, message):
    runs = dict(zip("AB", three.ids, strict=False))
    done = three("compare", *(runs.get(word, word) for word in arguments), code=2)
    assert done.err.startswith(f"nnlab: {message}")
    assert done.err.count("\n") == 1


@pytest.mark.slow
def test_studies_are_compared_by_their_best_values(bench):
    sweep = ["sweep", "workers=2", *SHORT]
    for trials in (2, 4):
        bench(*sweep, f"trials={trials}", f"sweep.seed={trials}", "--fresh")
    starts = {run: bench.records(run)[0] for run in bench.runs()}
    studies = [run for run, start in starts.items() if start["kind"] == "study"]
    said = told(bench, *studies)
    assert said["curves"]["over"] == "trials"
    (values,) = said["metrics"].values()
    assert values == [next(iter(final(bench, study).values())) for study in studies]
    assert "best/validation/loss_ema" in bench("compare", *studies).out
    best = told(bench, *(f"best of {study}" for study in studies))
    assert [one["kind"] for one in best["runs"]] == ["trial", "trial"]
    mixed = bench("compare", studies[0], best["runs"][0]["run"], code=2)
    assert "studies are compared with studies" in mixed.err


@pytest.mark.slow
def test_a_run_whose_directory_is_gone_is_compared_by_what_the_tracker_has(lab, trained, tmp_path):
    (first,) = trained.runs
    (other,) = lab("train", "stopping.max_epochs.epochs=3", "seed=8").runs
    here = told(lab, first, other)
    assert here["config"] == {"seed": ["7", "8"]}
    shutil.move(lab.store / "runs" / first, tmp_path / first)
    try:
        there = told(lab, first, other)
        elsewhere = type(lab)(tmp_path)
        uri = f"sqlite:///{lab.database}"
        far = told(elsewhere, first, other, "--uri", uri)
    finally:
        shutil.move(tmp_path / first, lab.store / "runs" / first)
    assert there == here
    assert far == here

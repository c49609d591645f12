import json
import math
import re
import shutil

import pytest

HOSTILE = {"OMP_NUM_THREADS": "7", "OPENBLAS_NUM_THREADS": "4", "MKL_NUM_THREADS": "3"}


@pytest.fixture(scope="module")
def reproduced(lab, trained, tmp_path_factory):
    """The first training, reproduced by its MLflow id from another folder, its own files gone."""
    (run,) = trained.runs
    kept = tmp_path_factory.mktemp("kept") / run
    shutil.move(lab.store / "runs" / run, kept)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    uri = f"sqlite:///{lab.database}"
    try:
        other = type(lab)(elsewhere)
        return other, other("reproduce", lab.logged(run).mlflow, "--uri", uri, **HOSTILE)
    finally:
        shutil.move(kept, lab.store / "runs" / run)


def table(done):
    """The rows of the verdict."""
    return dict(re.findall(r"^(metric points|data|final weights|averaged weights) +(.+?) *$",
                           done.out, re.MULTILINE))  # fmt: skip


def new_run(done):
    """The id of the run that a reproduction made."""
    return re.findall(r"^reproducing .+ as ([0-9a-f]{12})$", done.out, re.MULTILINE)[0]


SAME = {"data": "identical", "final weights": "identical", "averaged weights": "identical"}


def test_a_run_is_reproduced_from_mlflow_alone_whatever_the_environment_says(
    lab, trained, reproduced
):
    other, done = reproduced
    original = lab.logged(trained.runs[0])
    points = sum(not key.startswith("time/") for key, *_ in original.points)
    assert table(done) == {"metric points": f"{points} of {points} identical", **SAME}
    assert "\nidentical: the run is reproduced bit for bit\n" in done.out
    assert done.err == ""
    assert other.runs() == {new_run(done)}


def test_the_new_run_points_at_the_original(lab, trained, reproduced):
    _, done = reproduced
    original, new = lab.logged(trained.runs[0]), lab.logged(new_run(done))
    assert new.status == "FINISHED"
    assert new.tags["nnlab.kind"] == "reproduction"
    assert new.tags["nnlab.reproduction"] == "identical"
    assert new.tags["nnlab.reproduces"] == trained.runs[0]
    assert new.tags["nnlab.reproduces_mlflow"] == original.mlflow
    assert new.tags["nnlab.weights_sha256"] == original.tags["nnlab.weights_sha256"]
    same = {key for key in original.params if not key.startswith(("tracking.", "store"))}
    assert {key: new.params[key] for key in same} == {key: original.params[key] for key in same}

    def measured(run):
        return {(k, step, value) for k, step, value, *_ in run.points if not k.startswith("time/")}

    assert measured(new) == measured(original)


@pytest.mark.slow
def test_the_best_of_a_study_is_reproduced(lab, swept):
    (best,) = re.findall(r"nnlab reproduce ([0-9a-f]{12})", swept.out)
    done = lab("reproduce", "best", "of", lab.logged(best).tags["nnlab.study"])
    assert lab.logged(new_run(done)).tags["nnlab.reproduces"] == best
    assert SAME.items() <= table(done).items()


@pytest.mark.slow
def test_an_interrupted_run_is_reproduced_up_to_its_last_step(lab, interrupted):
    lab("sync")  # the interrupted command did not wait
    done = lab("reproduce", interrupted.run)
    original, new = lab.logged(interrupted.run), lab.logged(new_run(done))
    assert "nnlab.weights_sha256" not in original.tags
    assert table(done)["final weights"] == "not logged then"
    assert max(step for _, step, *_ in new.points) == max(step for _, step, *_ in original.points)


@pytest.mark.slow
def test_a_run_that_diverged_is_reproduced_with_its_nans(lab, grid):
    done = lab("reproduce", grid.runs[1])
    assert lab.logged(new_run(done)).status == "FAILED"
    assert SAME.items() <= table(done).items()


@pytest.mark.slow
def test_an_environment_that_differs_is_named(lab, trained):
    file = lab.logged(trained.runs[0]).artifacts / "environment.json"
    text = file.read_text()
    environment = json.loads(text)
    now = environment["packages"]["numpy"]
    environment["packages"]["numpy"] = "1.0.0"
    file.write_text(json.dumps(environment))
    try:
        done = lab("reproduce", trained.runs[0][:10])
    finally:
        file.write_text(text)
    assert "the environment differs (then -> now):\n" in done.out
    assert f"  packages.numpy: 1.0.0 -> {now}\n" in done.out
    assert SAME.items() <= table(done).items()


@pytest.mark.slow
def test_one_bit_of_a_metric_and_a_hash_that_differ_are_found_and_named(twin, trained):
    (run,) = trained.runs
    logged = twin.logged(run)
    ((value,),) = twin.rows(
        "SELECT value FROM metrics WHERE run_uuid = ? AND key = ? AND step = ?",
        *(logged.mlflow, "validation/loss", 80),
    )
    changed = math.nextafter(value, math.inf)
    twin.change(
        "UPDATE metrics SET value = ? WHERE run_uuid = ? AND key = ? AND step = ?",
        *(changed, logged.mlflow, "validation/loss", 80),
    )
    twin.change(
        "UPDATE tags SET value = ? WHERE run_uuid = ? AND key = 'nnlab.weights_sha256'",
        *("0" * 64, logged.mlflow),
    )
    done = twin("reproduce", run, code=1)
    assert f"first difference: validation/loss at step 80: {changed!r} then, {value!r} now\n" in (
        done.out
    )
    points = sum(not key.startswith("time/") for key, *_ in logged.points)
    assert table(done) == {
        "metric points": f"{points - 1} of {points} identical",
        **SAME,
        "final weights": "different",
    }
    assert "\ndifferent: the run is not reproduced\n" in done.out
    assert twin.logged(new_run(done)).tags["nnlab.reproduction"] == "different"


@pytest.mark.slow
def test_without_a_database_there_is_nothing_to_reproduce(bench):
    done = bench("reproduce", "abcdef", code=2)
    assert done.err == (
        "nnlab: there is no MLflow database mlruns/mlflow.db (--store or --uri names it)\n"
    )
    assert list(bench.folder.iterdir()) == []


@pytest.mark.slow
def test_an_unknown_run_is_refused(lab, trained):
    known = lab.runs()
    done = lab("reproduce", "0123456789ab", code=2)
    assert done.err.startswith(
        "nnlab: no run of nnlab in MLflow has an id that begins with 0123456789ab"
    )
    assert done.err.count("\n") == 1
    assert lab.runs() == known


@pytest.mark.slow
def test_a_beginning_of_several_runs_is_refused(twin, trained):
    other = twin.logged(trained.runs[0]).mlflow
    for (mlflow,) in twin.rows("SELECT run_uuid FROM runs"):
        last = "0" if mlflow == other else mlflow[0]
        twin.change(
            "UPDATE tags SET value = ? WHERE run_uuid = ? AND key = 'nnlab.run'",
            *(f"fffffffff{last}", mlflow),
        )
    done = twin("reproduce", "ffffff", code=2)
    assert re.match(r"nnlab: ffffff begins the ids of \d+ runs: fffffffff", done.err)


BAD = {
    "nothing": ([], "the following arguments are required: RUN; see `nnlab reproduce --help`"),
    "two runs": (["abc", "def"], "one run at a time, or `best of STUDY`, but got 'abc def'"),
    "an unknown option": (["abc", "--foo"], "unrecognized arguments: --foo; see"),
    "no server": (["abc", "--uri", "nonsense"], "uri must be a database (sqlite:///"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_in_one_line(bench, arguments, message):
    done = bench("reproduce", *arguments, code=2)
    assert done.err.startswith(f"nnlab: {message}")
    assert done.err.count("\n") == 1
    assert list(bench.folder.iterdir()) == []

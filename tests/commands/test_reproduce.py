import json
import math
import re
import shutil
from contextlib import contextmanager
from hashlib import sha256

import numpy as np
import pytest
import yaml

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
    rows = "|".join(("metric points", "end", "arrays of the weights", *HASHES))
    return dict(re.findall(rf"^({rows}) +(.+?) *$", done.out, re.MULTILINE))


def report(lab, run):
    """What the artifact reproduction.json of a reproduction says."""
    return json.loads((lab.logged(run).artifacts / "reproduction.json").read_text())


@contextmanager
def edited(file, change):
    """The file with its text changed, for a while."""
    text = file.read_text()
    file.write_text(change(text))
    try:
        yield
    finally:
        file.write_text(text)


def new_run(done):
    """The id of the run that a reproduction made."""
    return re.findall(r"^reproducing .+ as ([0-9a-f]{12})$", done.out, re.MULTILINE)[0]


HASHES = ("data", "final weights", "averaged weights", "order of batches")
SAME = dict.fromkeys(HASHES, "identical")


def test_a_run_is_reproduced_from_mlflow_alone_whatever_the_environment_says(
    lab, trained, reproduced
):
    other, done = reproduced
    original = lab.logged(trained.runs[0])
    points = sum(not key.startswith("time/") for key, *_ in original.points)
    assert table(done) == {
        "metric points": f"{points} of {points} identical",
        "end": "identical: epoch 3 is done",
        "arrays of the weights": "8 of 8 identical",
        **SAME,
    }
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
    assert original.tags["nnlab.reproduced"] == f"identical by {new.tags['nnlab.run']}"
    assert new.tags["nnlab.weights_sha256"] == original.tags["nnlab.weights_sha256"]
    same = {key for key in original.params if not key.startswith(("tracking.", "store"))}
    assert {key: new.params[key] for key in same} == {key: original.params[key] for key in same}

    def measured(run):
        return {(k, step, value) for k, step, value, *_ in run.points if not k.startswith("time/")}

    assert measured(new) == measured(original)


def test_the_report_is_an_artifact_of_the_new_run(lab, trained, reproduced):
    _, done = reproduced
    new = new_run(done)
    said = report(lab, new)
    original = lab.logged(trained.runs[0])
    assert said["verdict"] == "identical"
    assert said["original"] == {
        "run": trained.runs[0], "mlflow": original.mlflow, "name": original.name,
    }  # fmt: skip
    assert (said["new"]["run"], said["cause"], said["first"]) == (new, [], None)
    with np.load(original.artifacts / "weights.npz") as arrays:
        assert list(said["parameters"]) == list(arrays)
        for name, one in said["parameters"].items():
            array = arrays[name]
            content = array.dtype.str.encode() + array.tobytes()
            assert one["then"] == one["now"] == sha256(content).hexdigest()
    page = (lab.logged(new).artifacts / "reproduction.html").read_text()
    assert "identical: the run is reproduced bit for bit" in page


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
def test_an_environment_that_differs_is_named_and_never_called_identical(lab, trained):
    file = lab.logged(trained.runs[0]).artifacts / "environment.json"
    now = json.loads(file.read_text())["packages"]["numpy"]
    with edited(file, lambda text: text.replace(f'"numpy": "{now}"', '"numpy": "1.0.0"')):
        done = lab("reproduce", trained.runs[0][:10], "--json", code=3)
    assert "the environment differs (then -> now):\n" in done.err
    assert re.search(rf"packages.numpy: 1.0.0 -> {now} +can change bits: it computes", done.err)
    said = json.loads(done.out)
    assert (said["verdict"], said["differing"]) == ("environment differs", 0)
    assert (said["largest_relative"], said["within"]) == (0.0, True)
    assert said["cause"] == [f"numpy was 1.0.0 then and is {now} now (it computes)"]
    new = said["new"]["run"]
    assert report(lab, new) == said
    assert lab.logged(new).tags["nnlab.reproduction"] == "environment differs"
    original = lab.logged(trained.runs[0])
    assert original.tags["nnlab.reproduced"] == f"environment differs by {new}"


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
    right = logged.tags["nnlab.weights_sha256"]
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
        "end": "identical: epoch 3 is done",
        "arrays of the weights": "8 of 8 identical",
        **SAME,
        "final weights": "different",
    }
    assert (
        "likely cause: the tracker was changed: of validation/loss at step 80 MLflow says "
        f"{changed!r} and the run's own journal {value!r}\n"
    ) in done.out
    assert f"nnlab.weights_sha256={'0' * 64} and the run's own journal {right}\n" in done.out
    assert "\ndifferent: the run is not reproduced\n" in done.out
    assert twin.logged(new_run(done)).tags["nnlab.reproduction"] == "different"


@pytest.mark.slow
def test_a_learning_rate_that_was_changed_by_one_bit_is_the_cause(lab, trained):
    (run,) = trained.runs
    file = lab.logged(run).artifacts / "config.yaml"
    lr = yaml.safe_load(file.read_text())["optimizer"]["lr"]
    other = math.nextafter(lr, math.inf)
    with edited(file, lambda text: text.replace(f"lr: {lr}", f"lr: {other}")):
        done = lab("reproduce", run, "--json", code=1)
    said = json.loads(done.out)
    assert said["verdict"] == "different"
    assert said["cause"][0] == (
        f"config.yaml says optimizer.lr={other!r}, but MLflow's parameters say {lr!r} and the "
        f"run's own journal says {lr!r}"
    )
    # the weights may be the same: they are float32, and the learning rate is not
    assert said["first"]["metric"] == "lr"
    assert (said["first"]["then"], said["first"]["now"]) == (lr, other)
    assert 0 < said["largest_relative"] < 1e-2


@pytest.mark.slow
def test_a_run_never_goes_on_beyond_the_last_step_of_the_original(lab, trained):
    (run,) = trained.runs
    file = lab.logged(run).artifacts / "config.yaml"
    with edited(file, lambda text: text.replace("epochs: 3", "epochs: 1000000")):
        done = lab("reproduce", run, "--json", code=1)
    said = json.loads(done.out)
    assert said["stop"]["beyond"] and not said["stop"]["equal"]
    last = max(step for _, step, *_ in lab.logged(run).points)
    assert said["stop"]["now"] == {
        "rule": "until",
        "reason": f"step {last} is reached",
        "step": last,
    }
    assert said["cause"][-1].startswith(f"it went on beyond step {last}, where the original was")
    assert said["cause"][0].startswith("config.yaml says stopping.max_epochs.epochs=1000000, but")


@pytest.mark.slow
def test_some_trials_of_a_study_are_reproduced_and_which_is_drawn_by_the_seed(lab, swept):
    (best,) = re.findall(r"nnlab reproduce ([0-9a-f]{12})", swept.out)
    study = lab.logged(best).tags["nnlab.study"]
    done = lab("reproduce", lab.logged(study).name, "--all", "--sample", "2", "--seed", "1")
    assert re.search(r": 2 of 6 trials: 2 identical$", done.out, re.MULTILINE)
    again = lab("reproduce", study[:9], "--all", "--sample", "2", "--seed", "1", "--json")
    said = json.loads(again.out)
    assert said["counts"] == {
        "identical": 2, "environment differs": 0, "different": 0, "skipped": 0, "error": 0,
    }  # fmt: skip
    assert (said["study"], [one["verdict"] for one in said["trials"]]) == (study, ["identical"] * 2)
    drawn = {str(one["trial"]) for one in said["trials"]}
    assert drawn == set(re.findall(r"^(\d) +[0-9a-f]{12}", done.out, re.MULTILINE))


@pytest.mark.slow
def test_a_run_of_folds_is_reproduced_with_the_weights_of_each(lab, trained):
    run = lab(
        "train",
        "data=iris",
        "validation=kfold",
        "validation.folds=2",
        "stopping.max_epochs.epochs=2",
    ).runs[0]
    done = lab("reproduce", run, "--json")
    said = json.loads(done.out)
    assert said["verdict"] == "identical"
    assert {name.partition(":")[0] for name in said["parameters"]} == {"member 0", "member 1"}
    assert len(lab.rows("SELECT 1 FROM tags WHERE key = 'nnlab.reproduced' AND value LIKE ?",
                        f"identical by {said['new']['run']}")) == 1  # fmt: skip


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
    "best and all": (["abc", "--best", "--all"], "--best is one trial and --all are all of them"),
    "a sample of one": (["abc", "--sample", "3"], "--sample N >= 1 goes with --all, but got"),
    "no sample": (["abc", "--all", "--sample", "0"], "--sample N >= 1 goes with --all, but got"),
    "a seed of nothing": (
        ["abc", "--all", "--seed", "1"],
        "--seed S goes with --sample N, but got",
    ),
    "no such data": (["abc", "--data", "/none"], "--data names a file or a folder, but /none does"),
    "no tolerance": (["abc", "--tolerance", "nan"], "--tolerance must be finite and >= 0, but got"),
    "an unknown option": (["abc", "--foo"], "unrecognized arguments: --foo; see"),
    "no server": (["abc", "--uri", "nonsense"], "uri must be a database (sqlite:///"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_in_one_line(bench, arguments, message):
    done = bench("reproduce", *arguments, code=2)
    assert done.err.startswith(f"nnlab: {message}")
    assert done.err.count("\n") == 1
    assert list(bench.folder.iterdir()) == []

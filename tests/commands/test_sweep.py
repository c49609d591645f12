import os
import re
import signal
import time

import pytest

METRIC = "validation/loss_ema"
MINE = """
experiment: [data=iris, tracking=none, stopping.max_epochs.epochs=2]
metric: validation/loss
trials: 2
workers: 1
parameters:
  optimizer.lr: {low: LOW, high: HIGH, log: true}
"""


def mine(bench, low, high):
    (bench.folder / "sweeps").mkdir()
    text = MINE.replace("LOW", low).replace("HIGH", high)
    (bench.folder / "sweeps" / "mine.yaml").write_text(text)


def study(lab, done):
    """The study of a sweep, and its trials by number, as MLflow has them."""
    (best,) = re.findall(r"nnlab reproduce ([0-9a-f]{12})", done.out)
    parent = lab.logged(best).tags["nnlab.study"]
    query = (
        "SELECT name.value FROM tags AS name JOIN tags AS study USING (run_uuid) "
        "WHERE name.key = 'nnlab.run' AND study.key = 'nnlab.study' AND study.value = ?"
    )
    trials = [lab.logged(run) for (run,) in lab.rows(query, parent)]
    return lab.logged(parent), {int(trial.tags["nnlab.trial"]): trial for trial in trials}


def final(trial, metric):
    """The value at the last step."""
    return max((step, value) for key, step, value, *_ in trial.points if key == metric)[1]


@pytest.fixture(scope="module")
def trials(lab, swept):
    return study(lab, swept)[1]


@pytest.fixture(scope="module")
def parent(lab, swept):
    return study(lab, swept)[0]


@pytest.mark.slow
def test_every_trial_is_a_finished_run_nested_in_the_study_s(parent, trials):
    assert sorted(trials) == list(range(6))
    assert (parent.status, parent.tags["nnlab.kind"]) == ("FINISHED", "study")
    for trial in trials.values():
        assert trial.status == "FINISHED"
        assert trial.tags["nnlab.kind"] == "trial"
        assert trial.tags["mlflow.parentRunId"] == parent.mlflow
        assert trial.tags["nnlab.study"] == parent.tags["nnlab.run"]


@pytest.mark.slow
def test_the_counts_are_the_budget(parent, trials):
    counts = [int(parent.tags[f"nnlab.{state}"]) for state in ("complete", "pruned", "failed")]
    states = [trial.tags["nnlab.trial_state"] for trial in trials.values()]
    assert counts == [states.count("COMPLETE"), states.count("PRUNED"), 0]
    assert sum(counts) == 6


@pytest.mark.slow
def test_the_best_that_is_printed_is_the_best_of_the_trials(swept, parent, trials):
    losses = {
        number: final(trial, "validation/loss_ema")
        for number, trial in trials.items()
        if trial.tags["nnlab.trial_state"] == "COMPLETE"
    }
    best = min(losses, key=losses.get)
    assert f"best: trial {best}, validation/loss_ema {losses[best]:.5g}\n" in swept.out
    assert parent.tags["nnlab.best_trial"] == str(best)
    assert parent.tags["nnlab.best_run"] == trials[best].tags["nnlab.run"]
    assert float(parent.tags["nnlab.best_value"]) == losses[best]
    assert f"nnlab reproduce {trials[best].tags['nnlab.run']}\n" in swept.out
    lr = float(trials[best].params["optimizer.lr"])
    assert f"  optimizer.lr={lr:.4g}\n" in swept.out
    (curve,) = [value for key, step, value, *_ in parent.points if step == 6 and "best/" in key]
    assert curve == losses[best]


@pytest.mark.slow
def test_every_trial_has_its_line(swept, trials):
    lines = re.findall(r"^trial +(\d+)  (.+)$", swept.out, re.MULTILINE)
    assert sorted(int(number) for number, _ in lines) == list(range(6))
    for number, line in lines:
        trial = trials[int(number)]
        assert f"optimizer.lr={float(trial.params['optimizer.lr']):.4g} " in line
        assert trial.tags["nnlab.trial_state"].lower() in line
        assert f"value {final(trial, 'validation/loss_ema'):.4g} " in line
    assert lines[-1][1].endswith("done")
    assert swept.err == ""


@pytest.mark.slow
def test_the_study_s_params_say_what_was_searched(parent):
    assert parent.params["sweep.trials"] == "6"
    assert parent.params["sweep.sampler.name"] == "tpe"
    assert parent.params["sweep.space.optimizer.lr.high"] == "1.0"
    assert parent.params["experiment.data.name"] == "digits"
    assert (parent.artifacts / "curves.png").exists()


@pytest.mark.slow
def test_settings_and_overrides_of_the_command_line(lab, trained):
    done = lab(
        "sweep", "data=iris", "trials=4", "workers=1", "sampler=random", "stopping=[max_steps]",
        "stopping.max_steps.steps=40", "sweep.seed=3",
    )  # fmt: skip
    parent, trials = study(lab, done)
    assert parent.params["sweep.sampler.name"] == "random"
    assert parent.params["sweep.seed"] == "3"
    assert sorted(trials) == [0, 1, 2, 3]
    assert {trial.params["data.name"] for trial in trials.values()} == {"iris"}
    assert {trial.params["stopping.max_steps.steps"] for trial in trials.values()} == {"40"}
    assert {trial.status for trial in trials.values()} == {"FINISHED"}
    assert len({trial.params["optimizer.lr"] for trial in trials.values()}) == 4
    assert "4 complete, 0 pruned, 0 failed" in done.out
    began = [lab.records(trials[k].tags["nnlab.run"])[0]["time"] for k in range(4)]
    ended = [lab.records(trials[k].tags["nnlab.run"])[-1]["time"] for k in range(4)]
    assert all(end <= begin for end, begin in zip(ended, began[1:], strict=False))


def test_a_sweep_of_the_working_directory_is_found(bench):
    mine(bench, "1e-3", "1e-1")
    done = bench("sweep", "mine", "trials=3")
    assert "sweep mine: 3 trials" in done.out
    assert "3 complete, 0 pruned, 0 failed" in done.out
    assert len(bench.runs()) == 4
    assert "mine" in bench("sweep", "--help").out


def test_a_sweep_whose_trials_all_diverge_exits_with_1(bench):
    mine(bench, "1e30", "1e32")
    done = bench("sweep", "mine", code=1)
    assert "0 complete, 0 pruned, 2 failed" in done.out
    assert "no trial was completed" in done.out
    ends = {bench.records(run)[0]["kind"]: bench.records(run)[-1] for run in bench.runs()}
    assert (ends["study"]["status"], ends["study"]["rule"]) == ("FAILED", "no trial")
    assert (ends["trial"]["status"], ends["trial"]["rule"]) == ("FAILED", "diverged")


BAD = {
    "an unknown sweep": (["nothere"], "there is no sweep nothere; the sweeps are "),
    "an unknown metric": (["metric=loss"], "metric must be one of "),
    "an unknown option": (["--foo"], "nnlab sweep has no option --foo"),
    "an unknown key": (
        ["optimizer=sgd"],
        "parameters.optimizer.momentum is not a key of the config",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_in_one_line_before_anything_is_written(bench, arguments, message):
    done = bench("sweep", *arguments, code=2)
    assert done.err.startswith(f"nnlab: {message}")
    assert done.err.count("\n") == 1
    assert list(bench.folder.iterdir()) == []


@pytest.mark.slow
def test_an_interrupted_sweep_leaves_nothing_running(lab, trained):
    known = lab.runs()
    arguments = ("sweep", "--fresh", "workers=2", "stopping.max_epochs.epochs=100000")
    with lab.start(*arguments) as process:
        lab.wait_for_runs(process, known, 2)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "nnlab: interrupted by SIGINT\n")
    new = lab.runs() - known
    assert len(new) == 3
    assert {lab.records(run)[-1]["status"] for run in new} == {"KILLED"}
    lab("sync")  # the command did not wait
    assert {lab.status(run) for run in new} == {"KILLED"}
    lab.wait_until_none_runs()


@pytest.mark.slow
def test_a_sweep_that_is_killed_leaves_nothing_running(lab, trained):
    known = lab.runs()
    arguments = ("sweep", "--fresh", "workers=2", "stopping.max_epochs.epochs=100000")
    with lab.start(*arguments) as process:
        lab.wait_for_runs(process, known, 2)
        process.kill()
    deadline = time.monotonic() + 60
    while {lab.status(run) for run in lab.runs() - known} != {"KILLED"}:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    lab.wait_until_none_runs()


@pytest.mark.slow
def test_a_sweep_on_a_terminal_shows_a_table(bench, on_a_terminal):
    mine(bench, "1e-3", "1e-1")
    code, shown = on_a_terminal(bench, "sweep", "mine")
    assert code == 0
    assert re.search(r"trial +optimizer.lr +value +best +state", shown)
    assert re.search(r"^ +1 .* complete", shown, re.MULTILINE)
    assert "2 of 2 trials" in shown


def changed(bench, *arguments, code=0):
    """`nnlab sweep mine` with arguments; the study it worked on, by what the store has."""
    done = bench("sweep", "mine", *arguments, code=code)
    studies = [one for one in bench.journals().values() if one[0]["kind"] == "study"]
    return done, sorted(studies, key=lambda journal: journal[0]["time"])


def told(journal):
    return [record["trial"] for record in journal if record["type"] == "told"]


def test_a_finished_sweep_is_shown_again_and_a_larger_budget_goes_on_with_it(bench):
    mine(bench, "1e-3", "1e-1")
    changed(bench)
    runs = bench.runs()
    done, (study,) = changed(bench)
    assert f"study {study[0]['run']} is finished: 2 trials are done\n" in done.out
    assert "2 complete, 0 pruned, 0 failed\n" in done.out
    assert bench.runs() == runs
    done, (study,) = changed(bench, "trials=4", "workers=2")
    assert f"goes on with study {study[0]['run']}: 2 of 4 trials are done\n" in done.out
    assert sorted(told(study)) == [0, 1, 2, 3]
    assert len(bench.runs()) == 5
    assert [r["type"] for r in study].count("resumed") == 1


def test_another_search_of_the_same_name_begins_anew_when_the_last_is_finished(bench):
    mine(bench, "1e-3", "1e-1")
    changed(bench)
    done, studies = changed(bench, "model=linear")
    assert len(studies) == 2
    assert f"study {studies[0][0]['run']} is finished, and was another search" in done.out
    done, studies = changed(bench, "model=linear", "--fresh")
    assert len(studies) == 3


def cut_off(bench):
    """A sweep that was killed when its second trial was at work."""
    mine(bench, "1e-3", "1e-1")
    file = bench.folder / "sweeps" / "mine.yaml"
    file.write_text(
        file.read_text().replace("trials: 2", "trials: 30").replace("epochs=2", "epochs=6")
    )
    with bench.start("sweep", "mine") as process:
        bench.wait_for_runs(process, set(), 2)
        os.killpg(process.pid, signal.SIGKILL)


def test_an_unfinished_sweep_that_is_another_search_now_is_refused_with_the_difference(bench):
    cut_off(bench)
    before = bench.runs()
    done, (study,) = changed(bench, "optimizer.momentum=0.5", "sweep.seed=9", code=2)
    assert f"study {study[0]['run']} of the sweep mine is not finished" in done.err
    assert "  experiment.optimizer.momentum: 0.9 -> 0.5\n" in done.err
    assert "  sweep.seed: 0 -> 9\n" in done.err
    assert "--fork" in done.err
    assert "--fresh" in done.err
    assert bench.runs() == before


def test_a_fork_knows_the_results_of_the_study_it_is_made_of(bench):
    cut_off(bench)
    done, studies = changed(bench, "optimizer.momentum=0.5", "trials=3", "--fork")
    old, new = studies
    complete = [r for r in old if r["type"] == "told" and r["state"] == "COMPLETE"]
    known = [record for record in new if record["type"] == "known"]
    assert [r["outcome"] for r in known] == [r["values"] for r in complete] != []
    assert f"which knows {len(complete)} of {len(complete)} results" in done.out
    assert sorted(told(new)) == [0, 1, 2]  # they are not of its budget
    assert (old[-1]["status"], old[-1]["rule"]) == ("KILLED", "abandoned")
    asked = [record["values"] for record in new if record["type"] == "asked"]
    assert not [values for values in asked if values in [record["values"] for record in known]]


def test_a_fresh_sweep_abandons_the_unfinished_one(bench):
    cut_off(bench)
    done, (old, new) = changed(bench, "trials=2", "--fresh")
    assert (old[-1]["status"], old[-1]["rule"]) == ("KILLED", "abandoned")
    assert (new[-1]["status"], new[-1]["rule"]) == ("FINISHED", "budget")
    assert "a new study\n" in done.out


def test_nothing_can_be_forked_where_nothing_is(bench):
    mine(bench, "1e-3", "1e-1")
    assert (
        "there is no study of the sweep mine to fork"
        in bench("sweep", "mine", "--fork", code=2).err
    )


def test_a_second_driver_is_refused_by_the_name_and_process_of_the_first(bench):
    mine(bench, "1e-3", "1e-1")
    endless = ("sweep", "mine", "stopping.max_epochs.epochs=1000000")
    with bench.start(*endless) as process:
        bench.wait_for_runs(process, set(), 1)
        for options in ([], ["--fresh"]):
            done = bench(*endless, *options, code=2)
            assert f"is being written by process {process.pid} on " in done.err
            assert "(run " in done.err
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)


def test_an_interrupted_sweep_says_that_the_same_command_goes_on(bench):
    mine(bench, "1e-3", "1e-1")
    with bench.start("sweep", "mine", "stopping.max_epochs.epochs=3000") as process:
        bench.wait_for_runs(process, set(), 1)
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "to go on: the same command again (0 of 2 trials are done; study " in out
    done, (study,) = changed(bench, "stopping.max_epochs.epochs=3000")
    assert "0 of 2 trials are done, 1 is resumed" in done.out
    assert sorted(told(study)) == [0, 1]
    attempts = [record for record in study if record["type"] == "attempt"]
    assert [record["trial"] for record in attempts] == [0, 0, 1]
    assert attempts[0]["run"] == attempts[1]["run"]
    trial = bench.records(attempts[0]["run"])
    assert [r["type"] for r in trial if r["type"] in ("start", "resumed", "end")] == [
        "start",
        "end",
        "resumed",
        "end",
    ]
    steps = [record["step"] for record in trial if record["type"] == "report"]
    assert steps == sorted(set(steps))  # each once


@pytest.mark.slow
def test_a_sweep_that_was_killed_and_goes_on_is_whole_in_mlflow(lab, trained):
    known = lab.runs()
    arguments = ("sweep", "trials=6", "workers=2", "stopping.max_epochs.epochs=150")
    with lab.start(*arguments, "--fresh") as process:
        lab.wait_for_runs(process, known, 2)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = lab(*arguments)
    said = r"goes on with study \w+: \d of 6 trials are done, \d (is|are) resumed"
    assert re.search(said, done.out)
    assert "not yet in MLflow" not in done.out
    journals = {run: journal for run, journal in lab.journals().items() if run not in known}
    (parent,) = (run for run, journal in journals.items() if journal[0]["kind"] == "study")
    told = [record for record in journals[parent] if record["type"] == "told"]
    assert sorted(record["trial"] for record in told) == list(range(6))
    assert journals.keys() == {parent, *(record["run"] for record in told)}
    for record in told:
        shown = lab.logged(record["run"])
        assert shown.tags["nnlab.trial_state"] == record["state"]
        assert shown.status == "FINISHED"
        assert shown.tags["mlflow.parentRunId"] == lab.logged(parent).mlflow
        points = [(step, value) for key, step, value, *_ in shown.points if key == METRIC]
        assert sorted(points) == [tuple(point) for point in record["curve"]]
    assert lab.status(parent) == "FINISHED"
    assert lab.rows("SELECT COUNT(*) FROM runs WHERE status = 'RUNNING'") == [(0,)]
